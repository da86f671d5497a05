"""Texts to the words of a translator's vocabulary and back, protected spans included."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from fewtune.data.protection import mark, marked
from fewtune.runtime.greedy import Source

SPACE = "▁"


@dataclass(frozen=True, slots=True)
class Marks:
    """Words of the two vocabularies that stand for protected spans; texts are never made of them.

    Attributes:
        source_spaced, source_glued: for each mark, its id in a source, with a space before it and without.
        target_spaced, target_glued: the same in a translation.
    """

    source_spaced: tuple[int, ...] = ()
    source_glued: tuple[int, ...] = ()
    target_spaced: tuple[int, ...] = ()
    target_glued: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.source_spaced)


@dataclass(frozen=True, slots=True)
class Frame:
    """What stands round the words of a sentence.

    Attributes:
        before, after: ids before and after a source's words.
        end: id that a translation ends with.
    """

    before: tuple[int, ...]
    after: tuple[int, ...]
    end: int


class Vocabulary:
    """A tokenizer in the manner of SentencePiece that reads the parts between protected spans."""

    def __init__(self, tokenizer_json: bytes) -> None:
        """Open it."""
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_str(tokenizer_json.decode())
        self._tokenizer.no_padding()
        self._known: dict[str, bool] = {}

    @cached_property
    def pieces(self) -> list[str]:
        """Every piece by its id."""
        vocabulary = self._tokenizer.get_vocab()
        found = [""] * (max(vocabulary.values()) + 1)
        for piece, i in vocabulary.items():
            found[i] = piece
        return found

    @cached_property
    def end(self) -> int:
        """Id of the end of a sentence."""
        return self.pieces.index("</s>")

    @cached_property
    def unknown(self) -> int:
        """Id of what stands for characters that it lacks."""
        model = json.loads(self._tokenizer.to_str())["model"]
        return int(model["unk_id"] if "unk_id" in model else model["vocab"][model["unk_token"]])

    def lacks(self, char: str) -> bool:
        """Whether texts with this character lose it."""
        if char not in self._known:
            self._known[char] = self.unknown not in self._ids(char) and bool(self._ids(char))
        return not self._known[char]

    def _ids(self, text: str) -> list[int]:
        return self._tokenizer.encode(text, add_special_tokens=False).ids

    def _normal(self, text: str) -> str:
        normaliser = self._tokenizer.normalizer
        return normaliser.normalize_str(text) if normaliser else text

    def encode(self, text: str, spaced: Sequence[int], glued: Sequence[int], order: Sequence[int] = ()) -> list[int]:
        """Ids of a text with marks, without the end.

        Args:
            text: its marks' numbers are below the number of ids in `spaced` and `glued`.
            spaced, glued: ids of the marks with a space before them, and without.
            order: which of the ids stand for the marks, by their number; empty: in their order.
        """
        ids: list[int] = []
        space = True  # a text begins as if a space stood before it
        for part, number in marked(text):
            if number is not None:
                at = order[number] if order else number
                ids.append(spaced[at] if space else glued[at])
                space = False
                continue
            normal = self._normal(part)
            words = " ".join(normal.split())
            if words:
                ids += self._ids((" " if space or normal[0].isspace() else "") + words)
            space = normal[-1].isspace() if normal.strip() else space or bool(normal)
        return ids

    def decode(self, ids: Sequence[int], spaced: Sequence[int], glued: Sequence[int]) -> str:
        """The text of ids, with marks where ids stand for spans."""
        marks = {i: SPACE + mark(number) for number, i in enumerate(spaced)}
        marks |= {i: mark(number) for number, i in enumerate(glued)}
        text = "".join(marks.get(i) or self.pieces[i] for i in ids)
        return text.replace(SPACE, " ").strip()


@dataclass(frozen=True, slots=True)
class Subwords:
    """The two vocabularies of a translator with the words that stand for protected spans.

    Attributes:
        source, target: the same one where they share it.
        marks: none where nothing is protected.
        frame: what stands round the words.
    """

    source: Vocabulary
    target: Vocabulary
    marks: Marks
    frame: Frame

    def lacks(self, char: str) -> bool:
        """Whether either vocabulary lacks a character."""
        return self.source.lacks(char) or (self.target is not self.source and self.target.lacks(char))

    def encode_source(self, text: str, order: Sequence[int] = ()) -> Source:
        """A sentence with marks to words."""
        marks = self.marks
        ids = self.source.encode(text, marks.source_spaced, marks.source_glued, order)
        numbers = [number for _, number in marked(text) if number is not None]
        places = [order[number] if order else number for number in numbers]
        forms = tuple((marks.target_spaced[place], marks.target_glued[place]) for place in places)
        return Source((*self.frame.before, *ids, *self.frame.after), forms)

    def encode_target(self, text: str, order: Sequence[int] = ()) -> list[int]:
        """A translation with marks to words, the end among them; what the vocabulary lacks is left out."""
        ids = self.target.encode(text, self.marks.target_spaced, self.marks.target_glued, order)
        return [*(i for i in ids if i != self.target.unknown), self.frame.end]

    def decode_target(self, ids: Sequence[int]) -> str:
        """The text of a translation, with its marks."""
        return self.target.decode(ids, self.marks.target_spaced, self.marks.target_glued)
