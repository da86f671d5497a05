"""Pictures on their way into a network: decoded once, passed through the frozen part once for every view.

A view is one of `VIEWS`: the square that predictions are made on, its mirror image, and both again with
more of the picture in it. What is kept is kept under the sha256 of the picture's file.
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
from fewtune.types import FloatArray

# (0: as predictions see it, 1: all of the shorter side; whether it is mirrored).
VIEWS = ((0, False), (0, True), (1, False), (1, True))
_PICTURES_PER_SEGMENT = 64


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

    def features(self, paths: Sequence[str], views: int = 1) -> FloatArray:
        """(n, views, width) of every picture through the whole frozen network."""

        def compute(squares: list[np.ndarray], step: Step) -> list[FloatArray]:
            return list(self.backbone.features(squares, threads=self.run.threads, step=step)[:, None])

        what = f"Encode pictures with {self.backbone.info.name}"
        rows = self._blocks(paths, views, self._name("features"), compute, what)
        return np.concatenate(rows).reshape(len(paths), views, -1)

    def maps(self, paths: Sequence[str], cut: int, views: int = 1) -> list[FloatArray]:
        """(views, channels, height, width) float16 of every picture after the first `cut` stages."""

        def compute(squares: list[np.ndarray], step: Step) -> list[FloatArray]:
            maps = self.backbone.maps(squares, cut, threads=self.run.threads, step=step)
            return list(maps.astype(np.float16)[:, None])

        what = f"Encode pictures with {cut} stages of {self.backbone.info.name}"
        blocks = self._blocks(paths, views, self._name(f"maps-{cut}"), compute, what)
        return [np.concatenate(blocks[i * views : (i + 1) * views]) for i in range(len(paths))]

    def _blocks(
        self,
        paths: Sequence[str],
        views: int,
        name: str,
        compute: Callable[[list[np.ndarray], Step], list[FloatArray]],
        what: str,
    ) -> list[FloatArray]:
        """A block for every view of every picture, a picture's views one after the other."""
        path_of = {f"{_key(path)}/{view}": (path, view) for path in paths for view in range(views)}

        def compute_missing(keys: list[str], step: Step) -> list[FloatArray]:
            wanted = [path_of[key] for key in keys]
            squares = dict(zip((path for path, _ in wanted), self.squares([path for path, _ in wanted]), strict=True))
            return compute([seen(squares[path], view) for path, view in wanted], step)

        cache = TrunkCache(self.run.work / "features", name, chunk=len(VIEWS) * _PICTURES_PER_SEGMENT)
        keys = [f"{_key(path)}/{view}" for path in paths for view in range(views)]
        return cache.blocks(keys, compute_missing, progress=self.run.progress, name=what)

    def _name(self, kind: str) -> str:
        return f"{kind}-{self.backbone.fingerprint}"


def seen(squares: np.ndarray, view: int) -> np.ndarray:
    """(size, size, 3) one view of a picture's (2, size, size, 3) squares."""
    which, mirrored = VIEWS[view]
    return squares[which, :, ::-1] if mirrored else squares[which]


def _key(path: str) -> str:
    return facts(path).sha256 or picture_sha256(path)
