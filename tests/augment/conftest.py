"""A WordNet of a few words, in the format of the real one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fewtune.augment import english, wordnet
from fewtune.augment import thesaurus as thesaurus_module

# Part of speech to synonym sets, and to how often the first word of each was counted.
SETS = {
    part: [tuple(words.split(",")) for words in sets.split()]
    for part, sets in {
        "noun": "film,movie,motion_picture,Picture plant,works mouse watch,ticker key,tonality",
        "verb": "plant,set watch,observe stop,halt take,grab cancel,scrub carry,bear",
        "adj": "funny,odd big,large beautiful,gorgeous",
        "adv": "quickly,rapidly",
    }.items()
}
EXCEPTIONS = {
    "noun": "mice mouse\n",
    "verb": "took take\nstopped stop\nstopping stop\nbore bear\nborne bear\nset set\n",
    "adj": "bigger big\nbiggest big\n",
    "adv": "",
}
NUMBERS = {"noun": 1, "verb": 2, "adj": 3, "adv": 4}


def write_wordnet(folder: Path) -> None:
    folder.mkdir(parents=True)
    uses = []
    for part, sets in SETS.items():
        lines, index = "  1 licence\n", {}
        for words in sets:
            offset = len(lines)
            fields = " ".join(f"{word} 0" for word in words)
            lines += f"{offset:08d} 00 {part[0]} {len(words):02x} {fields} 000 | a gloss\n"
            for word in words:
                index.setdefault(word.lower(), []).append(offset)
                uses.append(f"{word.lower()}%{NUMBERS[part]}:00:00:: {len(index[word.lower()])} 5")
        (folder / f"data.{part}").write_text(lines)
        rows = [
            f"{word} {part[0]} {len(places)} 0 {len(places)} 0 {' '.join(f'{place:08d}' for place in places)}  \n"
            for word, places in sorted(index.items())
        ]
        (folder / f"index.{part}").write_text("  1 licence\n" + "".join(rows))
        (folder / f"{part}.exc").write_text(EXCEPTIONS[part])
    (folder / "cntlist.rev").write_text("\n".join(uses) + "\n")


def forget() -> None:
    for cached in (
        wordnet.open_wordnet,
        english.english_synonyms,
        thesaurus_module._mostly_english,
        thesaurus_module._is_english,
    ):
        cached.cache_clear()


@pytest.fixture
def tiny_wordnet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    write_wordnet(tmp_path / "wordnet")
    monkeypatch.setenv("WNSEARCHDIR", str(tmp_path / "wordnet"))
    forget()
    yield
    forget()


@pytest.fixture
def no_wordnet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("WNSEARCHDIR", str(tmp_path))
    monkeypatch.setattr(wordnet, "_NLTK_PLACES", ())
    forget()
    yield
    forget()
