"""The synonyms of WordNet (Miller 1995), read from its own files: Debian's `wordnet-base`, or NLTK's data.

NLTK's reader takes seconds to import and refuses folders other than its own, so the three kinds of
file that are needed are read here (format: wndb(5WN), morphology: morphy(7WN)).
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from functools import cache
from pathlib import Path

_NLTK_PLACES = ("~/nltk_data", "/usr/share/nltk_data", "/usr/local/share/nltk_data")
_PARTS = ("noun", "verb", "adj", "adv")
# What WordNet writes for each part of speech in a sense key; satellites are adjectives too.
_KEY_PARTS = {"1": "noun", "2": "verb", "3": "adj", "4": "adv", "5": "adj"}
# Senses that are met at least this often beside the commonest one count.
_COMMON_SENSE = 0.5


def find_wordnet() -> Path | None:
    """The folder of an installed WordNet; None where there is none."""
    nltk = (*filter(None, os.environ.get("NLTK_DATA", "").split(os.pathsep)), *_NLTK_PLACES)
    places = [Path(os.environ.get("WNSEARCHDIR", "/usr/share/wordnet"))]
    places += [Path(place).expanduser() / "corpora" / "wordnet" for place in nltk]
    return next((place for place in places if (place / "data.noun").is_file()), None)


class WordNet:
    """A WordNet on disk. Its indices are read whole, synonym sets where they are asked for."""

    def __init__(self, folder: Path) -> None:
        """Read the indices of `folder`."""
        self._offsets = {part: _read_index(folder / f"index.{part}") for part in _PARTS}
        self._data = {part: (folder / f"data.{part}").read_bytes() for part in _PARTS}
        self._uses = _read_uses(folder / "cntlist.rev")
        self.lemmas_of = {part: _read_exceptions(folder / f"{part}.exc") for part in _PARTS}
        self.irregular = {part: _inverted(self.lemmas_of[part]) for part in _PARTS}

    def knows(self, lemma: str, part: str) -> bool:
        """Whether there is a lemma of that part of speech."""
        return lemma in self._offsets[part]

    def uses(self, lemma: str, part: str) -> int:
        """How often it was counted in the texts that WordNet's authors read."""
        return sum(self._uses.get((lemma, part), {}).values())

    def synonyms(self, lemma: str, part: str) -> list[str]:
        """Single words, in small letters and of some use, that share a common sense with `lemma`."""
        counts = self._uses.get((lemma, part), {})
        found: dict[str, None] = {}
        for sense, offset in enumerate(self._offsets[part].get(lemma, ()), start=1):
            if sense == 1 or counts.get(sense, 0) >= max(1.0, _COMMON_SENSE * counts.get(1, 0)):
                found |= dict.fromkeys(self._words(part, offset))
        single = [word for word in found if word != lemma and word.isalpha() and word.islower()]
        return [word for word in single if not self._uses or self.uses(word, part)]

    def every_synonym(self, lemma: str, part: str) -> list[str]:
        """Single words that share any sense with `lemma`, whatever their use, in the case that WordNet writes."""
        words = (word for offset in self._offsets[part].get(lemma, ()) for word in self._words(part, offset))
        return [word for word in dict.fromkeys(words) if word.isalpha() and word.lower() != lemma]

    def _words(self, part: str, offset: int) -> list[str]:
        data = self._data[part]
        line = data[offset : data.index(b"\n", offset)].decode()
        fields = line.split(" ", 4 + 2 * 64)
        count = int(fields[3], 16)
        # Adjectives have their place in a sentence in brackets: "galore(ip)".
        return [re.sub(r"\(\w+\)$", "", word) for word in fields[4 : 4 + 2 * count : 2]]


@cache
def open_wordnet() -> WordNet | None:
    """The installed WordNet, opened once; None where there is none."""
    folder = find_wordnet()
    return WordNet(folder) if folder else None


def _read_index(path: Path) -> dict[str, tuple[int, ...]]:
    """Lemma to the places of its synonym sets, the commonest sense first."""
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith(" ") and "_" not in line.split(" ", 1)[0]:
            fields = line.split()
            found[fields[0]] = tuple(int(offset) for offset in fields[-int(fields[2]) :])
    return found


def _read_uses(path: Path) -> dict[tuple[str, str], dict[int, int]]:
    """(lemma, part of speech) to sense number to how often it was met; nothing where the file is missing."""
    found: dict[tuple[str, str], dict[int, int]] = defaultdict(dict)
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            key, sense, count = line.split()
            lemma, _, rest = key.partition("%")
            found[lemma, _KEY_PARTS[rest[0]]][int(sense)] = int(count)
    return found


def _read_exceptions(path: Path) -> dict[str, str]:
    """Irregular form to its lemma."""
    rows = (line.split() for line in path.read_text(encoding="utf-8").splitlines())
    return {row[0]: row[1] for row in rows if len(row) > 1}


def _inverted(lemma_of: dict[str, str]) -> dict[str, list[str]]:
    forms: dict[str, list[str]] = defaultdict(list)
    for form, lemma in lemma_of.items():
        forms[lemma].append(form)
    return dict(forms)
