"""Slips of the keyboard: a key beside the right one, two letters changed round, one left out, one struck twice.

As in Belinkov & Bisk 2018 (arXiv:1711.02173). In Chinese, the input method's slip: a character that sounds alike.
"""

from __future__ import annotations

import re

import numpy as np

from fewtune.augment.by_words import ByWords, like, shuffled
from fewtune.augment.chinese import is_han
from fewtune.augment.words import Words

_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_SHORTEST = 4
_LETTERS = re.compile("[a-z]+", re.IGNORECASE)
_SOUND_ALIKE = (
    "的地得 在再 做作坐座 那哪 他她它 吗嘛妈 以已 像象向 园圆元 进近 个各 长常 时实事 住主 和合河 会回 带代 画话 "
    "件见间 期其 气汽 店点电 服付 物务 情请清 期齐 觉决绝 号好 员圆 馆管 餐参 价架 环还 早找 "
    "見間件 點電店 氣汽 請情清 個各 時實事 話畫 進近 員圓 館管 價架"
).split()


def _neighbours() -> dict[str, str]:
    """Every letter to the keys around it."""
    at = {key: (column + 0.4 * row, row) for row, keys in enumerate(_ROWS) for column, key in enumerate(keys)}
    return {
        key: "".join(other for other, (u, v) in at.items() if other != key and abs(u - x) <= 1 and abs(v - y) <= 1)
        for key, (x, y) in at.items()
    }


_BESIDE = _neighbours()
_ALIKE = {char: group.replace(char, "") for group in _SOUND_ALIKE for char in group}


class KeyboardNoise(ByWords):
    """Makes a slip in each of some words; the first letter stays."""

    name = "keyboard"
    help = "makes typing errors"

    def change(self, pieces: list[str], words: Words, generator: np.random.Generator) -> bool:
        """Misspell words."""
        wanted = self.count(words.free)
        for index in shuffled(words.free, generator):
            slip = _slip(pieces[index], *generator.random(3).tolist())
            if slip != pieces[index]:
                pieces[index] = slip
                wanted -= 1
                if not wanted:
                    break
        return wanted < self.count(words.free)


def _slip(word: str, where: float, kind: float, which: float) -> str:
    """A word with a slip; the word itself where none is known. The draws are from 0 to 1."""
    if is_han(word):
        places = [place for place, char in enumerate(word) if char in _ALIKE]
        if not places:
            return word
        place = places[int(where * len(places))]
        others = _ALIKE[word[place]]
        return word[:place] + others[int(which * len(others))] + word[place + 1 :]
    if len(word) < _SHORTEST or not _LETTERS.fullmatch(word):
        return word
    place = 1 + int(where * (len(word) - 2))
    char, after = word[place], word[place + 1]
    beside = _BESIDE[char.lower()]
    slips = (like(beside[int(which * len(beside))], char), after + char, "", char + char)
    chosen = int(kind * len(slips))
    return word[:place] + slips[chosen] + word[place + (2 if chosen == 1 else 1) :]
