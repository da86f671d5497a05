"""Whether pictures of a kind have an up and a right: then they must not be flipped.

What can be told from a picture's frozen features alone, upright or not, means something to a network (the task that
Gidaris et al. 2018, arXiv:1803.07728, teach networks by). Cells under a microscope have no up; streets have.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from fewtune.backbones.vision import VisionBackbone
from fewtune.types import FloatArray

_MOST_PICTURES = 48
_FEWEST_PICTURES = 10
_FOLDS = 5
# Share of the answers that are right from which a change is told.
_TOLD_FROM = 0.7
_STRENGTH = 1.0


@dataclass(frozen=True, slots=True)
class Orientation:
    """What makes no difference to pictures: left and right, top and bottom, the two axes."""

    mirror: bool
    upside_down: bool
    turn: bool

    @property
    def names(self) -> list[str]:
        """Of the augmentations that do so."""
        free = {"flip": self.mirror, "vertical-flip": self.upside_down, "turn": self.turn}
        return [name for name, is_free in free.items() if is_free]


def free_orientation(network: VisionBackbone, paths: Sequence[str], *, threads: int) -> Orientation:
    """Which of the changes a linear classifier on frozen features does not tell in other pictures.

    With fewer than ten pictures, nobody can say: then left and right alone are exchanged.
    """
    some = list(paths)[:: max(1, -(-len(paths) // _MOST_PICTURES))]
    if len(some) < _FEWEST_PICTURES:
        return Orientation(mirror=True, upside_down=False, turn=False)
    squares = [network.preprocess.square(path, crop=1.0) for path in some]
    plain = network.features(squares, threads=threads)

    def free(change: Callable[[np.ndarray], np.ndarray]) -> bool:
        changed = network.features([np.ascontiguousarray(change(square)) for square in squares], threads=threads)
        return _told(plain, changed) < _TOLD_FROM

    return Orientation(
        mirror=free(lambda square: square[:, ::-1]),
        upside_down=free(lambda square: square[::-1]),
        turn=free(lambda square: square.transpose(1, 0, 2)),
    )


def _told(plain: FloatArray, changed: FloatArray) -> float:
    """Share of pictures, and changed ones, that are rightly told apart by what was learnt on others."""
    from sklearn.linear_model import LogisticRegression

    fold = np.arange(len(plain)) % _FOLDS
    right = []
    for one in range(_FOLDS):
        train, valid = fold != one, fold == one
        model = LogisticRegression(C=_STRENGTH, max_iter=200)
        model.fit(np.concatenate([plain[train], changed[train]]), np.repeat([0, 1], train.sum()))
        right.append(model.predict(plain[valid]) == 0)
        right.append(model.predict(changed[valid]) == 1)
    return float(np.concatenate(right).mean())
