"""Pictures on their way into a network: decoded once, passed through the frozen part once for every view.

What is kept is kept under the sha256 of the picture's file, and of a view also under what made it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from fewtune.backbones.vision import VisionBackbone
from fewtune.data.picture import facts, picture_sha256
from fewtune.interfaces import RunContext
from fewtune.progress import Step
from fewtune.tune.cache import TrunkCache
from fewtune.tune.picture_views import PLAIN, PictureViews
from fewtune.types import FloatArray

_PICTURES_PER_SEGMENT = 64
_VIEWS_PER_SEGMENT = 256


@dataclass(frozen=True, slots=True)
class PictureStore:
    """What one backbone makes of pictures, on disk.

    Attributes:
        backbone: the network and its preprocessing.
        run: work folder, threads, progress.
    """

    backbone: VisionBackbone
    run: RunContext

    def squares(self, paths: Sequence[str]) -> list[np.ndarray]:
        """(2, size, size, 3) uint8 of every picture: the square that is predicted on, and the larger one."""
        preprocess = self.backbone.preprocess
        path_of = {_key(path): path for path in paths}

        def decode(keys: list[str], step: Step) -> list[np.ndarray]:
            found = []
            for key in keys:
                crops = (preprocess.crop, 1.0)
                found.append(np.stack([preprocess.square(path_of[key], crop=crop) for crop in crops]))
                step.advance()
            return found

        cache = TrunkCache(self.run.work / "features", self._name("pictures"), chunk=_PICTURES_PER_SEGMENT)
        return cache.blocks(
            [_key(path) for path in paths], decode, progress=self.run.progress, name="Read the pictures"
        )

    def features(self, paths: Sequence[str], views: PictureViews | None = None) -> FloatArray:
        """(n, views, width) of every picture through the whole frozen network; one view where none are named."""

        def compute(squares: list[np.ndarray], step: Step) -> list[FloatArray]:
            return list(self.backbone.features(squares, threads=self.run.threads, step=step)[:, None])

        what = f"Encode pictures with {self.backbone.info.name}"
        rows = self._blocks(paths, views, self._name("features"), compute, what)
        return np.concatenate(rows).reshape(len(paths), _count(views), -1)

    def maps(self, paths: Sequence[str], cut: int, views: PictureViews) -> list[FloatArray]:
        """(views, channels, height, width) float16 of every picture after the first `cut` stages."""

        def compute(squares: list[np.ndarray], step: Step) -> list[FloatArray]:
            maps = self.backbone.maps(squares, cut, threads=self.run.threads, step=step)
            return list(maps.astype(np.float16)[:, None])

        what = f"Encode pictures with {cut} stages of {self.backbone.info.name}"
        blocks = self._blocks(paths, views, self._name(f"maps-{cut}"), compute, what)
        return [np.concatenate(blocks[i * views.count : (i + 1) * views.count]) for i in range(len(paths))]

    def _blocks(
        self,
        paths: Sequence[str],
        views: PictureViews | None,
        name: str,
        compute: Callable[[list[np.ndarray], Step], list[FloatArray]],
        what: str,
    ) -> list[FloatArray]:
        """A block for every view of every picture, a picture's views one after the other."""
        wanted = [(path, number) for path in paths for number in range(_count(views))]
        keys = [self._view_key(path, views, number) for path, number in wanted]
        where_of = dict(zip(keys, wanted, strict=True))

        def compute_missing(missing: list[str], step: Step) -> list[FloatArray]:
            absent = [where_of[key] for key in missing]
            some = list(dict.fromkeys(path for path, _ in absent))
            squares = zip(some, self.squares(some), strict=True)
            made = {path: self._views(path, square, views) for path, square in squares}
            return compute([made[path][number] for path, number in absent], step)

        cache = TrunkCache(self.run.work / "features", name, chunk=_VIEWS_PER_SEGMENT)
        return cache.blocks(keys, compute_missing, progress=self.run.progress, name=what)

    def _views(self, path: str, squares: np.ndarray, views: PictureViews | None) -> list[np.ndarray]:
        if views is None:
            return [squares[PLAIN]]
        return views.of(squares, self.run.seed_of("augment", _key(path), views.key))

    def _view_key(self, path: str, views: PictureViews | None, number: int) -> str:
        if views is None or number == 0:
            return f"{_key(path)}/plain"
        return f"{_key(path)}/{self.run.seed}/{views.key}/{number}"

    def _name(self, kind: str) -> str:
        return f"{kind}-{self.backbone.fingerprint}"


def _count(views: PictureViews | None) -> int:
    return 1 if views is None else views.count


def _key(path: str) -> str:
    return facts(path).sha256 or picture_sha256(path)
