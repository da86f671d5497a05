"""Slips of character recognition: shapes that are taken for each other (as nlpaug's OcrAug; Kukich 1992)."""

from __future__ import annotations

import re

import numpy as np

from fewtune.augment.by_words import ByWords, shuffled
from fewtune.augment.words import Words

_SHAPES = {
    "rn": ("m",),
    "m": ("rn",),
    "cl": ("d",),
    "d": ("cl",),
    "vv": ("w",),
    "w": ("vv",),
    "li": ("h",),
    "h": ("b",),
    "l": ("1", "I"),
    "i": ("l", "j"),
    "o": ("0",),
    "e": ("c",),
    "s": ("5",),
    "a": ("o",),
    "t": ("f",),
    "u": ("v",),
    "n": ("ri",),
    "g": ("q", "9"),
    "O": ("0", "Q"),
    "I": ("l", "1"),
    "S": ("5",),
    "B": ("8",),
    "Z": ("2",),
    "E": ("F",),
    "D": ("O",),
}
_HAN_SHAPES = (
    "人入八 大太犬 土士 日曰目 己已 干千于 天夫 木本 王玉 刀力 由田甲 住往 休体 看着 今令 处外 拔拨 候侯 折拆 間問"
)
_ALIKE: dict[str, tuple[str, ...]] = {
    **_SHAPES,
    **{char: tuple(group.replace(char, "")) for group in _HAN_SHAPES.split() for char in group},
}
_SHAPE = re.compile("|".join(sorted(map(re.escape, _ALIKE), key=len, reverse=True)))


class OcrNoise(ByWords):
    """Takes a shape for one that looks alike, in each of some words."""

    name = "ocr"
    help = "mistakes shapes, as character recognition does"

    def change(self, pieces: list[str], words: Words, generator: np.random.Generator) -> bool:
        """Misread words."""
        wanted = self.count(words.free)
        for index in shuffled(words.free, generator):
            shapes = list(_SHAPE.finditer(pieces[index]))
            if not shapes:
                continue
            where, which = generator.random(2).tolist()
            shape = shapes[int(where * len(shapes))]
            alike = _ALIKE[shape[0]]
            pieces[index] = (
                f"{shape.string[: shape.start()]}{alike[int(which * len(alike))]}{shape.string[shape.end() :]}"
            )
            wanted -= 1
            if not wanted:
                break
        return wanted < self.count(words.free)
