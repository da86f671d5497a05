"""Views of the pictures that are learnt from: as predictions see it, and as a policy changes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fewtune.augment.picture_policy import Frame, PicturePolicy, one_thread

if TYPE_CHECKING:
    from fewtune.augment.scene import Scene

MOST_VIEWS = 16
VIEWS_HELP = f"how many views of each picture are computed once and kept, itself among them, 1 to {MOST_VIEWS}"
# Draws for each view that is wanted: some change nothing, and the same ones come up again.
_TRIES = 4
# A picture's squares: as predictions see it, and all of its shorter side.
PLAIN, WIDER = 0, 1


@dataclass(frozen=True, slots=True)
class PictureViews:
    """How many views of each picture are computed once and kept, and what they are.

    Attributes:
        policy: makes them.
        count: views of each picture; the first is the picture as predictions see it.
    """

    policy: PicturePolicy
    count: int

    @property
    def key(self) -> str:
        """Of the cache; the first view is the same whatever the policy."""
        return self.policy.full_name

    def of(self, squares: np.ndarray, seed: int) -> list[np.ndarray]:
        """`count` (size, size, 3) views of a picture's (2, size, size, 3) squares, different as far as they can be."""
        import torch

        found = [np.ascontiguousarray(squares[PLAIN])]
        known = {found[0].tobytes()}
        with torch.random.fork_rng(devices=[]), one_thread():
            torch.manual_seed(seed)
            for _ in range(_TRIES * self.count):
                if len(found) == self.count:
                    break
                view = changed(squares, self.policy)
                if view.tobytes() not in known:
                    known.add(view.tobytes())
                    found.append(view)
        # What gives fewer views is seen more than once.
        return [found[number % len(found)] for number in range(self.count)]


def changed(squares: np.ndarray, policy: PicturePolicy) -> np.ndarray:
    """(size, size, 3) a view of a picture's (2, size, size, 3) squares, drawn from torch's generator."""
    from fewtune.augment.scene import Scene

    seen = squares[WIDER if policy.crops else PLAIN]
    size = len(seen)
    return policy.view(Scene.of(seen), Frame(size, size, farther=False)).picture


def kept_count(settings: Mapping[str, Any], policy: PicturePolicy) -> int:
    """How many views of each picture are kept: what the settings say, or else all of a few, or four."""
    if not policy.changes_pictures:
        return 1
    usual = 2 if policy.name == "flip" else 4
    return min(MOST_VIEWS, max(1, int(settings.get("views", usual))))


def drawn(
    scenes: Sequence[Scene], policy: PicturePolicy, frame: Frame, other: Callable[[], Scene] | None = None
) -> list[Scene]:
    """A view of each scene, drawn from torch's generator."""
    with one_thread():
        return [policy.view(scene, frame, other) for scene in scenes]
