"""Vocabulary pruning: keep the pieces of the tokenizer that the user's languages need, and their rows of the embedding.

A multilingual encoder is mostly vocabulary: of multilingual-e5-small's 117 M parameters 96 M are embeddings of
pieces in a hundred languages (Abdaoui, Pradel & Sigel 2020, arXiv:2010.05609, "Load what you need", prune by the
frequency of pieces in a corpus of the language). Here there is no such corpus, only a few texts; the tokenizer's own
scores tell how common a piece is, and Unicode which script it is written in.

A text whose pieces are all kept is read exactly as before. Where one is gone, the text is read in smaller pieces:
single characters stay.
"""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from fewtune.data.language import main_languages
from fewtune.interfaces import Compressor, Content, ImpossibleError, RunContext
from fewtune.types import Example

TABLE = "embeddings.word_embeddings.weight"
# How a table of rows may be stored: suffixes of its initializers, the first axis of each being the pieces.
_STORED = ((".packed", ".scales"), (".int8", ".int8_scales"))
# What marks the beginning of a word (Unigram) or its continuation (WordPiece).
_MARKS = ("▁", "##")
# A script that fewer of a text's letters than these are in is kept for its commonest pieces alone: names, units.
_MAIN_SHARE = 0.1
_SEEN_SHARE = 0.002
_SIDE_STRENGTH = 0.8
_USUAL_STRENGTH = 0.98
# Every text may hold a word in it, whatever the language is.
_ALWAYS = "LATIN"


class VocabularyPruning(Compressor):
    """Keeps pieces that the data use, all single characters of their scripts, and the commonest others of those."""

    name = "vocabulary"
    option = "prune"
    tasks = ("text-classification",)
    help = "keep the tokenizer's pieces that the languages of the data need; the strength is how much of them"
    by_itself = True
    strengths = (0.5, 1.0, _USUAL_STRENGTH)

    def obstacle(self, content: Content) -> str:
        """Why not: no encoder, or a tokenizer of another kind."""
        if not any(_holds_table(graph) for graph in content.graphs.values()):
            return "it has no table of embeddings, as a frozen or tuned encoder has"
        if not any(is_prunable(asset) for name, asset in content.assets.items() if name.startswith("tokenizer")):
            return "its tokenizer is neither of the kind Unigram nor WordPiece"
        return ""

    def compress(
        self, content: Content, examples: Sequence[Example], strength: float | None, run: RunContext
    ) -> Content:
        """Prune every tokenizer that can be, and the graphs that it serves.

        Raises:
            ImpossibleError: all pieces are needed.
        """
        texts = [str(example.input) for example in examples]
        share = _USUAL_STRENGTH if strength is None else strength
        graphs, assets, notes = dict(content.graphs), dict(content.assets), list(content.notes)
        all_kept: dict[str, list[int]] = {}
        for name in dict.fromkeys(contract.tokenizer for contract in content.contracts if contract.tokenizer):
            served = [some.file for some in content.contracts if some.tokenizer == name]
            if not is_prunable(assets[name]) or not all(_holds_table(graphs[file]) for file in served):
                continue
            vocabulary = Vocabulary.read(assets[name])
            kept = vocabulary.needed(texts, share, also=_padding(content.backbone))
            if len(kept) == len(vocabulary.pieces):
                continue
            assets[name] = vocabulary.with_only(kept)
            all_kept[name] = kept
            for file in served:
                graphs[file] = _with_rows(graphs[file], kept)
            notes.append(f"{len(kept)} of {len(vocabulary.pieces)} pieces of {name} are kept")
            run.progress.say(notes[-1])
        if not all_kept:
            raise ImpossibleError("all of the vocabulary is needed")
        languages = list(main_languages(texts)) or ["und"]
        backbone = _described(content.backbone, content, all_kept, languages)
        return replace(content, graphs=graphs, assets=assets, backbone=backbone, notes=tuple(notes))


@dataclass(frozen=True)
class Vocabulary:
    """A tokenizer as `tokenizer.json` holds it.

    Attributes:
        description: the whole of it.
        pieces: in the order of their ids.
        scores: (n,) logarithms of how common each piece is.
    """

    description: Mapping[str, Any]
    pieces: tuple[str, ...]
    scores: np.ndarray

    @classmethod
    def read(cls, tokenizer_json: bytes) -> Vocabulary:
        """Read a tokenizer of the kind Unigram or WordPiece."""
        description = json.loads(tokenizer_json)
        model = description["model"]
        if model["type"] == "Unigram":
            return cls(
                description, tuple(piece for piece, _ in model["vocab"]), np.array([s for _, s in model["vocab"]])
            )
        pieces = tuple(sorted(model["vocab"], key=lambda piece: model["vocab"][piece]))
        # WordPiece has no scores, but its vocabulary is in the order of frequency: Zipf's law.
        return cls(description, pieces, -np.log(np.arange(len(pieces)) + 2.0))

    @property
    def special(self) -> set[int]:
        """Ids that are no text: of the beginning, the end, padding, what is unknown; and 0, which fills up rows."""
        model = self.description["model"]
        found = {0, *(int(token["id"]) for token in self.description.get("added_tokens") or ())}
        if model.get("unk_id") is not None:
            found.add(int(model["unk_id"]))
        if model.get("unk_token") in self.pieces:
            found.add(self.pieces.index(model["unk_token"]))
        if self.description.get("padding"):
            found.add(int(self.description["padding"]["pad_id"]))
        found.update(_ids_in(self.description.get("post_processor")))
        # Unigram's have a score of 0, as if they were certain; nothing that is text has.
        return found | set(np.flatnonzero(self.scores == 0).tolist())

    def around(self) -> tuple[list[int], list[int]]:
        """Ids that the tokenizer puts before and behind a text."""
        from tokenizers import Tokenizer

        # What comes of an empty text is what stands round any; a text's own ids would stand in the middle.
        ids = Tokenizer.from_str(json.dumps(self.description)).encode("").ids
        return ids[: (len(ids) + 1) // 2], ids[(len(ids) + 1) // 2 :]

    def needed(self, texts: Sequence[str], strength: float, also: Iterable[int] = ()) -> list[int]:
        """Ids to keep, in rising order.

        Args:
            texts: some that the model is to read.
            strength: of each main script, which share of all that is written in it the pieces kept make up.
            also: ids that are kept in any case.
        """
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_str(json.dumps(self.description))
        tokenizer.no_truncation()
        kept = {*self.special, *also}
        letters: Counter[str] = Counter()
        for text, encoding in zip(texts, tokenizer.encode_batch_fast(list(texts)), strict=True):
            kept.update(encoding.ids)
            letters.update(script for char in text if (script := _script(char)))
        shares = _strengths(letters, strength)
        scripts = [_scripts(piece) for piece in self.pieces]
        # What is unknown costs as much as the rarest piece and more: with it gone, other ways to read would win.
        kept.add(int(np.argmin(self.scores)))
        for script, share in shares.items():
            mine = [i for i, found in enumerate(scripts) if found and script in found and found <= shares.keys()]
            kept.update(self._commonest(mine, share))
            kept.update(i for i in mine if len(_bare(self.pieces[i])) <= 1)
        common = [i for i, found in enumerate(scripts) if not found]
        kept.update(i for i in common if len(_bare(self.pieces[i])) <= 1)
        kept.update(self._commonest(common, strength))
        return sorted(kept)

    def _commonest(self, ids: Sequence[int], share: float) -> list[int]:
        """Those that make up the share of all that is written with them."""
        if share >= 1:
            return list(ids)
        chosen = [i for i in ids if self.scores[i] != 0]
        order = sorted(chosen, key=lambda i: (-self.scores[i], i))
        weights = np.exp(self.scores[order])
        before = np.cumsum(weights) - weights
        return [i for i, sum_before in zip(order, before, strict=True) if sum_before < share * weights.sum()]

    def with_only(self, kept: Sequence[int]) -> bytes:
        """The tokenizer with these pieces alone, their ids counted anew in the same order."""
        ids = {old: new for new, old in enumerate(kept)}
        description = json.loads(json.dumps(self.description))
        model = description["model"]
        if model["type"] == "Unigram":
            model["vocab"] = [model["vocab"][i] for i in kept]
            if model.get("unk_id") is not None:
                model["unk_id"] = ids[int(model["unk_id"])]
        else:
            model["vocab"] = {self.pieces[old]: new for old, new in ids.items()}
        for token in description.get("added_tokens") or ():
            token["id"] = ids[int(token["id"])]
        if description.get("padding"):
            description["padding"]["pad_id"] = ids[int(description["padding"]["pad_id"])]
        _renumber(description.get("post_processor"), ids)
        return json.dumps(description, ensure_ascii=False, separators=(",", ":")).encode()


def _strengths(letters: Mapping[str, int], strength: float) -> dict[str, float]:
    """Of each script that is kept, how much of it."""
    total = max(1, sum(letters.values()))
    side = min(strength, _SIDE_STRENGTH)
    found = {
        script: strength if count >= _MAIN_SHARE * total else side
        for script, count in letters.items()
        if count >= _SEEN_SHARE * total
    }
    return {_ALWAYS: side, **found}


@lru_cache(maxsize=65536)
def _script(char: str) -> str:
    """The script of a letter, as the first word of its name in Unicode; empty where it is no letter."""
    return unicodedata.name(char, "UNKNOWN").split()[0] if unicodedata.category(char)[0] == "L" else ""


def _scripts(piece: str) -> frozenset[str]:
    return frozenset(script for char in _bare(piece) if (script := _script(char)))


def _bare(piece: str) -> str:
    for mark in _MARKS:
        piece = piece.removeprefix(mark)
    return piece


def is_prunable(tokenizer_json: bytes) -> bool:
    """Whether this is a tokenizer of the kind Unigram or WordPiece."""
    try:
        return json.loads(tokenizer_json)["model"]["type"] in ("Unigram", "WordPiece")
    except (ValueError, KeyError, TypeError):
        return False


def _ids_in(processor: Any) -> Iterable[int]:
    """Ids that a post-processor puts round a text."""
    if not processor:
        return
    for inner in processor.get("processors") or ():
        yield from _ids_in(inner)
    for token in (processor.get("special_tokens") or {}).values():
        yield from map(int, token["ids"])
    for key in ("sep", "cls"):
        if key in processor:
            yield int(processor[key][1])


def _renumber(processor: Any, ids: Mapping[int, int]) -> None:
    if not processor:
        return
    for inner in processor.get("processors") or ():
        _renumber(inner, ids)
    for token in (processor.get("special_tokens") or {}).values():
        token["ids"] = [ids[int(old)] for old in token["ids"]]
    for key in ("sep", "cls"):
        if key in processor:
            processor[key] = [processor[key][0], ids[int(processor[key][1])]]


def _holds_table(graph: bytes) -> bool:
    return TABLE.encode() in graph


def _with_rows(graph: bytes, kept: Sequence[int]) -> bytes:
    """The graph with these rows of its table alone."""
    import onnx
    from onnx import numpy_helper

    model = onnx.load_from_string(graph)
    rows = np.asarray(kept)
    tables = {f"{TABLE}{suffix}" for stored in _STORED for suffix in stored} | {TABLE}
    for tensor in model.graph.initializer:
        if tensor.name in tables:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor)[rows], tensor.name))
    return model.SerializeToString(deterministic=True)


def _padding(backbone: Mapping[str, Any]) -> list[int]:
    """The ids that other programs pad with."""
    members = backbone.get("members") or [backbone]
    return [int(member["config"]["pad_token_id"]) for member in members if "pad_token_id" in member.get("config", {})]


def _described(
    backbone: Mapping[str, Any], content: Content, kept: Mapping[str, Sequence[int]], languages: Sequence[str]
) -> dict[str, Any]:
    """What the model card says, with the languages that are left and the number of pieces."""
    if "members" not in backbone:
        return _smaller(backbone, next(iter(kept.values())), languages)
    names = [contract.tokenizer for contract in content.contracts]
    members = [
        _smaller(member, kept[name], languages) if name in kept else member
        for member, name in zip(backbone["members"], names, strict=True)
    ]
    return {**backbone, "members": members}


def _smaller(backbone: Mapping[str, Any], kept: Sequence[int], languages: Sequence[str]) -> dict[str, Any]:
    config = {**backbone.get("config", {}), "vocab_size": len(kept)}
    if "pad_token_id" in config:
        config["pad_token_id"] = kept.index(int(config["pad_token_id"]))
    known = backbone.get("languages") or ["*"]
    left = list(languages) if "*" in known else [code for code in known if code in languages] or list(known)
    return {**backbone, "languages": left, "config": config}
