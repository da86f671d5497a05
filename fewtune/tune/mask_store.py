"""Pictures and their masks on their way into a segmenter: decoded and scaled once, kept on disk."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fewtune.data.mask import ClassIds, mask_facts, read_mask
from fewtune.data.picture import facts, open_picture, picture_sha256
from fewtune.interfaces import RunContext
from fewtune.progress import Step
from fewtune.runtime.scaled import Scaled
from fewtune.tune.cache import TrunkCache
from fewtune.types import Example

# Four bytes a pixel: red, green, blue, class id.
Masked = np.ndarray
_PICTURES_PER_SEGMENT = 64
_PROBED = 8


@dataclass(frozen=True, slots=True)
class MaskStore:
    """Pictures at the size that a network sees, with their masks.

    Attributes:
        preprocess: says how they are scaled.
        run: work folder, progress.
    """

    preprocess: Scaled
    run: RunContext

    def pictures(self, examples: Sequence[Example]) -> list[Masked]:
        """Of n examples, (h, w, 4) uint8: colours and class ids, mapped from the disk.

        Raises:
            DataError: a picture or a mask cannot be read.
        """
        example_of = {_key(example): example for example in examples}

        def decode(keys: list[str], step: Step) -> list[np.ndarray]:
            found = []
            for key in keys:
                found.append(self.decoded(example_of[key]).reshape(-1, 4))
                step.advance()
            return found

        name = f"masked-{self.preprocess.size_px}"
        cache = TrunkCache(self.run.work / "features", name, chunk=_PICTURES_PER_SEGMENT)
        keys = [_key(example) for example in examples]
        blocks = cache.blocks(keys, decode, progress=self.run.progress, name="Read the pictures and masks")
        return [block.reshape(*self._shape(example), 4) for block, example in zip(blocks, examples, strict=True)]

    def seconds(self, examples: Sequence[Example]) -> float:
        """What decoding all of them is foreseen to take, from a few."""
        few = examples[:: max(1, len(examples) // _PROBED)][:_PROBED]
        started = time.perf_counter()
        for example in few:
            self.decoded(example)
        return (time.perf_counter() - started) * len(examples) / len(few)

    def decoded(self, example: Example) -> Masked:
        """(h, w, 4) one picture with its mask; raises DataError where one of them cannot be read."""
        colours = self.preprocess.scale(open_picture(example.input))
        ids = scaled_mask(read_mask(example.target), colours.shape[1], colours.shape[0])
        return np.dstack([colours, ids])

    def _shape(self, example: Example) -> tuple[int, int]:
        seen = mask_facts(example.target)
        width, height = self.preprocess.size_of(seen.width, seen.height)
        return height, width


def scaled_mask(ids: ClassIds, width: int, height: int) -> ClassIds:
    """The ids at another size: of each pixel the nearest."""
    from PIL import Image

    return np.asarray(Image.fromarray(ids).resize((width, height), resample=0))


def _key(example: Example) -> str:
    picture = facts(example.input).sha256 or picture_sha256(example.input)
    return f"{picture} {picture_sha256(example.target)}"
