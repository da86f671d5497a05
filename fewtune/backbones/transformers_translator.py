"""Any sequence-to-sequence model of Transformers' that translates: Marian (OPUS-MT), NLLB and M2M100, mBART, T5, mT5.

By its folder or its name on the model hub. Its own code, if it has some, is not run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fewtune.backbones.bart_onnx import BART_KINDS, BartBuilder
from fewtune.backbones.language_tags import english_name, tag_of
from fewtune.backbones.sentencepiece_file import SentencePieceFile, read_sentencepiece
from fewtune.backbones.seq2seq_onnx import ACTIVATIONS, Seq2SeqBuilder, Seq2SeqWeights, contracts
from fewtune.backbones.t5_onnx import T5_KINDS, T5Builder
from fewtune.backbones.translator import MARKS, TranslationModel, TranslatorParts
from fewtune.bundle.export_seq2seq import KEPT
from fewtune.data.pairs import language_code
from fewtune.errors import MissingExtraError, RecipeError, first_line
from fewtune.interfaces import ModelInfo
from fewtune.runtime.greedy import Words
from fewtune.runtime.shortlist import Shortlist
from fewtune.runtime.subwords import SPACE, Frame, Marks
from fewtune.types import Graph

if TYPE_CHECKING:
    from fewtune.backbones.translation_network import TranslationNetwork

KINDS = (*BART_KINDS, *T5_KINDS)
_LENGTH_FACTOR = 3.0
_LONGEST = 512
# A piece of this score is never taken.
_NEVER = -1e6
_UNUSED = 5
_KEPT_FILES = (
    "source.spm",
    "target.spm",
    "vocab.json",
    "target_vocab.json",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "generation_config.json",
)
_OPUS_NAME = re.compile(r"opus-mt(?:-tc-(?:big|base))?-([a-z]{2,3})-([a-z]{2,3})$", re.IGNORECASE)
_NAME = re.compile("▁[A-Z][a-z]{3,}")
_INNER = re.compile("[A-Za-z][a-z]{3,}")
# A piece that was seen rarely: the law of Zipf with this many places before the first.
_ZIPF = 10


@dataclass(frozen=True, slots=True)
class Tokenizer:
    """A tokenizer of the `tokenizers` library that reads parts of texts.

    Attributes:
        content: its JSON, as read by `json`; no special tokens, no spaces put first.
        special: ids of special tokens, which no text is made of.
    """

    content: Mapping[str, Any]
    special: frozenset[int]

    @property
    def pieces(self) -> dict[str, int]:
        """Every piece with its id."""
        vocabulary = self.content["model"]["vocab"]
        if isinstance(vocabulary, dict):
            return vocabulary
        return {piece: i for i, (piece, _) in enumerate(vocabulary)}

    @property
    def unknown(self) -> int:
        """Id of what stands for characters that it lacks."""
        model = self.content["model"]
        return int(model["unk_id"] if "unk_id" in model else model["vocab"][model["unk_token"]])

    def scores(self) -> np.ndarray:
        """Logarithms of the pieces' shares, by id; of pairs that were merged, by the order of their merging."""
        vocabulary = self.content["model"]["vocab"]
        if isinstance(vocabulary, dict):
            return -np.log(np.arange(max(vocabulary.values()) + 1) + _ZIPF)
        return np.array([score for _, score in vocabulary])

    def without(self, reserved: set[int]) -> bytes:
        """As JSON, for texts that are never made of these pieces."""
        model = dict(self.content["model"])
        if isinstance(model["vocab"], dict):
            names = {piece for piece, i in model["vocab"].items() if i in reserved}
            model["merges"] = [pair for pair in model["merges"] if _merged(pair) not in names]
        else:
            never = reserved | self.special
            model["vocab"] = [
                [piece, _NEVER if i in never else score] for i, (piece, score) in enumerate(model["vocab"])
            ]
        return json.dumps({**self.content, "model": model}, ensure_ascii=False, separators=(",", ":")).encode()


def _merged(pair: str | Sequence[str]) -> str:
    return "".join(pair.split(" ") if isinstance(pair, str) else pair)


@dataclass(frozen=True, slots=True)
class TransformersParts(TranslatorParts):
    """A Transformers model as it is read.

    Attributes:
        weights: of the network.
        source, target: the tokenizers; the same object where they are shared.
        generation: how the model is made to generate: `num_beams`, `length_penalty`, `early_stopping` and more.
        special: texts of special tokens to their ids, language codes among them.
        round: what stands round the words; of a multilingual model once it is directed.
        start: ids that a translation begins with.
        files: of the tokenizer, and how it is made to generate, as Transformers reads them.
        where: for what is said of the model.
    """

    weights: Seq2SeqWeights
    source: Tokenizer
    target: Tokenizer
    generation: Mapping[str, Any]
    special: Mapping[str, int]
    round: Frame
    start: tuple[int, ...]
    files: Mapping[str, bytes]
    where: str

    @property
    def shortlist(self) -> Shortlist | None:
        """None: all words may be used."""
        return None

    @property
    def _kind(self) -> str:
        return str(self.weights.config["model_type"])

    def directed(self, languages: tuple[str, str]) -> TransformersParts:
        """With the languages' codes round the words, or what T5 is asked in English.

        Raises:
            RecipeError: a multilingual model has no code for one of them.
        """
        end = self.round.end
        if self._kind in T5_KINDS:
            return replace(self, round=Frame(self._request(languages), (end,), end))
        if self._kind == "marian":
            tags = [text for text in self.source.pieces if text.startswith(">>") and text.endswith("<<")]
            before = (self.source.pieces[self._tag(languages[1], tags)],) if tags else ()
            return replace(self, round=Frame(before, (end,), end))
        source, target = (self.special[self._tag(language, self.special)] for language in languages)
        legacy = bool(self._tokenizer_config.get("legacy_behaviour"))
        if self._is_mbart25:
            return replace(self, round=Frame((), (end, source), end), start=(target,))
        frame = Frame((), (end, source), end) if legacy else Frame((source,), (end,), end)
        return replace(self, round=frame, start=(self.start[0], target))

    @property
    def _is_mbart25(self) -> bool:
        """Whether the codes stand behind the words, and a translation begins with its own."""
        return self._kind == "mbart" and self._tokenizer_config.get("tokenizer_class", "").startswith("MBartTokenizer")

    @property
    def _tokenizer_config(self) -> dict[str, Any]:
        return json.loads(self.files.get("tokenizer_config.json", b"{}"))

    def _tag(self, language: str, tags: Iterable[str]) -> str:
        tags = list(tags)
        found = tag_of(language, tags) if language else ""
        if not found:
            known = sorted(tag for tag in tags if re.search(r"^(>>.+<<|__\w+__|[a-z]{2,3}_[A-Z]\w+)$", tag))
            raise RecipeError(
                f"This model has no language {language or 'of that kind: the data do not say which one it is'}.",
                where=self.where,
                how=f"It has {', '.join(known[:40])}. Name the columns after their languages, such as en and pt.",
            )
        return found

    def _request(self, languages: tuple[str, str]) -> tuple[int, ...]:
        """Ids of what T5 is asked before the text."""
        asked = (self.weights.config.get("task_specific_params") or {}).get("translation_{}_to_{}".format(*languages))
        names = [english_name(language) for language in languages]
        if asked:
            text = str(asked.get("prefix", ""))
        else:
            text = f"translate {names[0]} to {names[1]}: " if self._kind == "t5" and all(names) else ""
        return tuple(_ids(self.source.without(set()), " " + text.strip())) if text.strip() else ()

    def tuned(self, tensors: Mapping[str, np.ndarray], more_words: Iterable[int] = ()) -> TransformersParts:
        """The same with other weights."""
        del more_words
        return replace(self, weights=replace(self.weights, tensors=tensors))

    def marks(self) -> Marks:
        """Rare names that both vocabularies have, the rarest first."""
        source, target = self.source.pieces, self.target.pieces
        free = [piece for piece, i in source.items() if i not in self.source.special and piece in target]

        def named(pattern: re.Pattern[str]) -> list[str]:
            return sorted((piece for piece in free if pattern.fullmatch(piece)), key=lambda piece: -source[piece])

        spaced, glued = named(_NAME)[:MARKS], named(_INNER)[:MARKS]
        count = min(len(spaced), len(glued))
        sides = [tuple(side[piece] for piece in kind[:count]) for side in (source, target) for kind in (spaced, glued)]
        return Marks(*sides)

    def tokenizers(self, marks: Marks) -> tuple[bytes, bytes]:
        """The source's and the target's; texts are never made of the marks."""
        source = self.source.without({*marks.source_spaced, *marks.source_glued})
        if self.target is self.source:
            return source, source
        return source, self.target.without({*marks.target_spaced, *marks.target_glued})

    def frame(self) -> Frame:
        """What stands round the words."""
        return self.round

    def words(self, marks: Marks) -> Words:
        """All words but special tokens and marks; as many beams as the model is used with."""
        size = len(self.weights["lm_head.weight"])
        known = set(self.target.pieces.values())
        never = {i for i in range(size) if i not in known} | self.target.special | {self.target.unknown}
        never |= {*marks.target_spaced, *marks.target_glued}
        never.discard(self.round.end)
        generation = self.generation
        return Words(
            shortlist=None,
            size=size,
            end=self.round.end,
            never=np.array(sorted(i for i in never if i < size)),
            length_factor=_LENGTH_FACTOR,
            start=self.start,
            longest=self._positions - len(self.start),
            beams=max(1, int(generation.get("num_beams") or 1)),
            length_penalty=float(generation.get("length_penalty") or 1.0),
            stops_early=generation.get("early_stopping") is True,
        )

    @property
    def _positions(self) -> int:
        return int(self.weights.config.get("max_position_embeddings", _LONGEST))

    def _builder(self) -> Seq2SeqBuilder:
        return T5Builder(self.weights) if self._kind in T5_KINDS else BartBuilder(self.weights)

    def graphs(self) -> tuple[bytes, bytes]:
        """See backbones/seq2seq_onnx.py."""
        return self._builder().encoder(), self._builder().decoder()

    def contracts(self, target_tokenizer: str) -> tuple[Graph, ...]:
        """See backbones/seq2seq_onnx.py."""
        builder = self._builder()
        return contracts(builder.decoder_layers, untied=builder.is_untied, target_tokenizer=target_tokenizer)

    def network(self) -> TranslationNetwork:
        """In Transformers."""
        from fewtune.backbones.transformers_network import TransformersNetwork

        return TransformersNetwork(self.weights, self.start)

    def spoken(self) -> tuple[list[str], np.ndarray]:
        """The pieces by the shares that their scores tell."""
        scores, never = self.source.scores(), self.source.special | {self.source.unknown}
        known = [(piece, i) for piece, i in self.source.pieces.items() if i not in never and piece != SPACE]
        known = [(piece, i) for piece, i in known if scores[i] > _NEVER]
        shares = np.exp(np.array([scores[i] for _, i in known]))
        return [piece for piece, _ in known], shares / shares.sum()

    def about(self) -> dict[str, object]:
        """What Transformers needs to load the bundle's weights."""
        return {"config": dict(self.weights.config), "generation": dict(self.generation)}

    def assets(self) -> dict[str, bytes]:
        """The files as Transformers reads them."""
        return {KEPT + name: content for name, content in self.files.items()}


class TransformersTranslator(TranslationModel):
    """A model in the layout of Transformers, in a folder."""

    def __init__(self, folder: Path, name: str) -> None:
        """Keep the place; only the config is read. Raises RecipeError where the architecture is not read here."""
        self._folder, self._name = folder, name
        self._config = _json(folder / "config.json")
        kind = self._config.get("model_type")
        if kind not in KINDS:
            raise RecipeError(
                f"Translation models of the type {kind!r} are not read.",
                where=str(folder / "config.json"),
                how=f"Those that are: {', '.join(KINDS)}; NLLB is m2m_100, OPUS-MT is marian.",
            )
        named = _OPUS_NAME.search(name.rstrip("/"))
        codes = [language_code(code) for code in named.groups()] if named else ["", ""]
        self.pair = (codes[0], codes[1])

    @property
    def info(self) -> ModelInfo:
        """What it is, as far as its config tells."""
        size_mb = sum(path.stat().st_size for path in _weight_files(self._folder)) / 1e6
        return ModelInfo(
            name=self._name,
            task="translation",
            summary=f"a {self._config['model_type']} model of Transformers' of your own",
            parameters_millions=round(size_mb / 4, 1),
            download_mb=size_mb,
            licence="unknown: see its source",
            languages=tuple(code for code in self.pair if code) or ("*",),
            package="",
            extra="train",
            installed=all(find_spec(package) is not None for package in ("torch", "transformers")),
        )

    def load(self) -> TransformersParts:
        """Read the folder.

        Raises:
            MissingExtraError: PyTorch or Transformers is not installed.
            RecipeError: a file is missing or damaged, or a part of the model is of a kind that is not read.
        """
        if not self.info.installed:
            raise MissingExtraError("train", needed_for=f"The model {self._name}", where="--model")
        from transformers import AutoModelForSeq2SeqLM
        from transformers.utils import logging

        from fewtune.backbones.transformers_network import weights_of

        logging.disable_progress_bar()

        if not _weight_files(self._folder):
            raise RecipeError(
                "The model's folder has no weights.", where=str(self._folder), how="It should hold model.safetensors."
            )
        try:
            model = AutoModelForSeq2SeqLM.from_pretrained(self._folder, dtype="float32", trust_remote_code=False)
        except Exception as error:  # a damaged file raises nearly anything
            raise RecipeError(f"The model cannot be read ({error}).", where=str(self._folder)) from None
        weights = weights_of(model)
        _check_activation(weights.config, str(self._folder))
        own = model.generation_config.to_dict()
        generation = {name: own[name] for name in ("num_beams", "length_penalty", "early_stopping") if own.get(name)}
        source, target, special = _tokenizers(self._folder)
        end, start = (
            int(getattr(model.generation_config, name, None) or weights.config.get(name) or 0)
            for name in ("eos_token_id", "decoder_start_token_id")
        )
        files = {name: path.read_bytes() for name in _KEPT_FILES if (path := self._folder / name).is_file()}
        frame = Frame((), (end,), end)
        where = str(self._folder)
        return TransformersParts(weights, source, target, generation, special, frame, (start,), files, where)


def is_transformers_folder(folder: Path) -> bool:
    """Whether a folder holds a model in Transformers' layout."""
    return (folder / "config.json").is_file()


def downloaded(name: str) -> Path:
    """A model from the hub, or from its cache where it was loaded before.

    Raises:
        RecipeError: the hub has no such model, or cannot be reached.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    patterns = ["*.json", "*.safetensors", "*.spm", "*.model"]
    try:
        folder = Path(snapshot_download(name, allow_patterns=patterns))
        if not _weight_files(folder):
            folder = Path(snapshot_download(name, allow_patterns=[*patterns, "pytorch_model*.bin"]))
        return folder
    except (OSError, ValueError, HFValidationError) as error:
        reason = first_line(error)
        raise RecipeError(
            f"There is no translation model {name!r}: no folder of that name, and the model hub did not give it "
            f"({reason}).",
            where="--model",
            how="`fewtune models` lists what can be used here without a download.",
        ) from None


def _weight_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.safetensors")) or sorted(folder.glob("pytorch_model*.bin"))


def _json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"The model's folder has no {path.name} ({error}).", where=str(path.parent)) from None
    except ValueError as error:
        raise RecipeError(f"This is not JSON: {error}.", where=str(path)) from None


def _check_activation(config: Mapping[str, Any], where: str) -> None:
    kind = config.get("activation_function") or config.get("dense_act_fn")
    if kind not in ACTIVATIONS:
        raise RecipeError(f"The activation {kind!r} is not written as a graph here.", where=where)


def _tokenizers(folder: Path) -> tuple[Tokenizer, Tokenizer, dict[str, int]]:
    """Of source and target, and all special tokens."""
    if (folder / "source.spm").is_file():
        vocabulary = _json(folder / "vocab.json")
        other = folder / "target_vocab.json"
        source = _of_marian(read_sentencepiece(folder / "source.spm"), vocabulary)
        target = _of_marian(read_sentencepiece(folder / "target.spm"), _json(other) if other.is_file() else vocabulary)
        return source, target, {}
    from transformers import AutoTokenizer

    try:
        opened: Any = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        content = json.loads(opened.backend_tokenizer.to_str())
    except Exception as error:  # of a missing file, or one that it cannot convert
        raise RecipeError(
            f"The model's tokenizer cannot be read ({error}).",
            where=str(folder),
            how="Load it with Transformers' AutoTokenizer and save_pretrained it there: it needs a tokenizer.json.",
        ) from None
    shared, special = _plain_tokenizer(content, str(folder))
    return shared, shared, special


def _of_marian(file: SentencePieceFile, vocabulary: Mapping[str, int]) -> Tokenizer:
    """SentencePiece's pieces under the numbers of Marian's vocabulary; pieces of the other language are never taken."""
    known = {piece: (score, kind) for piece, score, kind in file.pieces}
    by_id = {i: piece for piece, i in vocabulary.items()}
    ordered = []
    for i in range(max(by_id) + 1):
        piece = by_id.get(i, f"<unused {i}>")
        ordered.append((piece, *known.get(piece, (_NEVER, _UNUSED))))
    unknown = vocabulary["<unk>"]
    ordered[unknown] = ("<unk>", _NEVER, 2)
    numbered = SentencePieceFile(ordered, file.replaced, file.prefixes, file.collapses)
    special = frozenset(i for piece, i in vocabulary.items() if re.fullmatch(r"</?s>|<pad>|<unk>|>>.*<<", piece))
    return Tokenizer(json.loads(numbered.tokenizer_json(set())), special)


def _plain_tokenizer(content: dict[str, Any], where: str) -> tuple[Tokenizer, dict[str, int]]:
    """A tokenizer without special tokens, that puts no space first; and the special tokens."""
    kind = content["model"].get("type") or ("Unigram" if "unk_id" in content["model"] else "BPE")
    if kind not in ("Unigram", "BPE") or "Metaspace" not in json.dumps(content["pre_tokenizer"]):
        raise RecipeError(
            f"A tokenizer of the kind {kind} is not read for translation: SentencePiece's are.", where=where
        )
    special = {str(token["content"]): int(token["id"]) for token in content["added_tokens"]}
    space = {"type": "Metaspace", "replacement": SPACE, "prepend_scheme": "never", "split": True}
    plain = {
        **content,
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": _kept_normaliser(content["normalizer"]),
        "pre_tokenizer": space,
        "post_processor": None,
        "decoder": None,
    }
    return Tokenizer(plain, frozenset(special.values())), special


def _kept_normaliser(normaliser: dict[str, Any] | None) -> dict[str, Any] | None:
    """Without what collapses or adds spaces: whoever cuts texts into parts does that."""
    if normaliser is None:
        return None
    steps = normaliser["normalizers"] if normaliser["type"] == "Sequence" else [normaliser]
    kept = [step for step in steps if step["type"] not in ("Replace", "Prepend", "Strip")]
    return {"type": "Sequence", "normalizers": kept}


def _ids(tokenizer_json: bytes, text: str) -> list[int]:
    from tokenizers import Tokenizer as Opened

    return Opened.from_str(tokenizer_json.decode()).encode(text, add_special_tokens=False).ids
