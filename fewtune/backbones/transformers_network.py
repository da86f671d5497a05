"""A Transformers sequence-to-sequence model, to be tuned. Imported only where one is."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForSeq2SeqLM

from fewtune.backbones.seq2seq_onnx import Seq2SeqWeights
from fewtune.backbones.translation_network import TranslationNetwork, copied, keep_share
from fewtune.types import FloatArray, IntArray

# What T5's config makes of its other settings.
_DERIVED = ("scale_decoder_outputs", "is_gated_act", "dense_act_fn")


class TransformersNetwork(TranslationNetwork):
    """The model as Transformers computes it, dropout as its config says."""

    def __init__(self, weights: Seq2SeqWeights, start: tuple[int, ...]) -> None:
        """Copy the weights; `start` are the ids that a translation begins with."""
        super().__init__()
        self._given, self._start = weights, start
        self._model = model_of(weights)
        # A list hides the adapted model, whose layers are those of the model itself.
        self._adapted: list[Any] = []

    def forward(self, input_ids: Tensor, mask: Tensor, target_ids: Tensor) -> Tensor:
        """(batch, target, width) what the output layer reads, with the targets (batch, target) for a teacher."""
        return self.decoded(self.encoded(input_ids, mask), mask, target_ids[:, :-1])

    def encoded(self, input_ids: Tensor, mask: Tensor) -> Tensor:
        """(batch, source, width)."""
        # M2M100 takes positions from what is padding.
        input_ids = torch.where(mask, input_ids, self._model.config.pad_token_id)
        return self._model.get_encoder()(input_ids=input_ids, attention_mask=mask.long()).last_hidden_state

    def decoded(self, encoded: Tensor, mask: Tensor, before: Tensor) -> Tensor:
        """(batch, words + 1, width) what the output layer reads, after each of the words so far."""
        start = torch.tensor(self._start).expand(len(before), -1)
        hidden = self._model.get_decoder()(
            input_ids=torch.cat([start, before], dim=1),
            encoder_hidden_states=encoded,
            encoder_attention_mask=mask.long(),
            use_cache=False,
        ).last_hidden_state[:, len(self._start) - 1 :]
        if getattr(self._model.config, "scale_decoder_outputs", False):
            hidden = hidden * self._model.config.d_model**-0.5
        return hidden

    @property
    def first_position(self) -> int:
        """At which step the first word of a translation is asked for."""
        return len(self._start) - 1

    @property
    def target_table(self) -> Tensor:
        """(target words, width)."""
        return self._model.lm_head.weight

    @property
    def output_bias(self) -> Tensor:
        """(target words,); zeros where the model has none."""
        bias = getattr(self._model, "final_logits_bias", None)
        return torch.zeros(len(self.target_table)) if bias is None else bias.reshape(-1)

    def add_low_rank(self, rank: int) -> None:
        """Thin matrices beside those of all layers, by PEFT."""
        from peft import LoraConfig, get_peft_model

        layers = {name.rpartition(".")[2] for name, module in self._model.named_modules() if type(module) is nn.Linear}
        config = LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules=sorted(layers - {"lm_head"}))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of names that are or will be other ones
            self._adapted.append(get_peft_model(self._model, config))

    def merge_low_rank(self) -> None:
        """Add what the thin matrices learnt to the layers' own."""
        while self._adapted:
            self._model = self._adapted.pop().merge_and_unload()

    def tensors(self) -> dict[str, np.ndarray]:
        """The weights as they are now, under the names of Transformers, each once."""
        state = self._model.state_dict()
        return {name: copied(state[name]) for name in self._given.tensors}

    def keep_tuned(self, share: float) -> None:
        """Keep so much of every change since the weights were given: 1 is all of it."""
        self.merge_low_rank()
        state = self._model.state_dict()
        for name, given in self._given.tensors.items():
            keep_share(state[name], given, share)

    def steps(self) -> _Steps:
        """The network for decoding, as it is now."""
        return _Steps(self)


class _Steps:
    """Greedy decoding in PyTorch that reads all words again at every step: for comparison, not for speed."""

    def __init__(self, network: TransformersNetwork) -> None:
        self._network = network

    @torch.no_grad()
    def begin(self, input_ids: IntArray, mask: IntArray, output_ids: IntArray) -> dict[str, Tensor]:
        """Read the sources."""
        self._network.eval()
        seen = torch.from_numpy(mask).bool()
        encoded = self._network.encoded(torch.from_numpy(input_ids), seen)
        none = torch.zeros(len(input_ids), 0, dtype=torch.long)
        return {"encoded": encoded, "mask": seen, "words": none, "output_ids": torch.from_numpy(output_ids)}

    @torch.no_grad()
    def step(self, memory: dict[str, Tensor], previous: IntArray, position: int) -> FloatArray:
        """(batch, words) logits of the next word."""
        network, output_ids = self._network, memory["output_ids"]
        if position > network.first_position:
            memory["words"] = torch.cat([memory["words"], output_ids[torch.from_numpy(previous)][:, None]], dim=1)
        hidden = network.decoded(memory["encoded"], memory["mask"], memory["words"])[:, -1]
        return torch.addmm(network.output_bias[output_ids], hidden, network.target_table[output_ids].T).numpy()

    def keep(self, memory: dict[str, Tensor], rows: IntArray) -> dict[str, Tensor]:
        """The memory of some of the batch's sentences."""
        chosen = torch.from_numpy(rows)
        return {name: part if name == "output_ids" else part[chosen] for name, part in memory.items()}


def model_of(weights: Seq2SeqWeights) -> Any:
    """The model in Transformers, in float32."""
    known = {name: value for name, value in weights.config.items() if name not in ("model_type", *_DERIVED)}
    config = AutoConfig.for_model(str(weights.config["model_type"]), **known)
    for name in _DERIVED:
        if name in weights.config:
            setattr(config, name, weights.config[name])
    model = AutoModelForSeq2SeqLM.from_config(config, attn_implementation="sdpa").float()
    if "lm_head.weight" in weights.tensors:
        model.lm_head.weight = nn.Parameter(model.lm_head.weight.detach().clone())
    state = model.state_dict()
    with torch.no_grad():
        for name, value in weights.tensors.items():
            state[name].copy_(torch.from_numpy(np.asarray(value, np.float32)).reshape(state[name].shape))
    return model.eval()


def weights_of(model: Any) -> Seq2SeqWeights:
    """A model's weights, each once, and which names share them."""
    tensors: dict[str, np.ndarray] = {}
    aliases: dict[str, str] = {}
    seen: dict[tuple[int, torch.Size], str] = {}
    for name, value in model.state_dict().items():
        key = (value.data_ptr(), value.shape)
        if key in seen:
            aliases[name] = seen[key]
        else:
            seen[key] = name
            tensors[name] = copied(value)
    return Seq2SeqWeights(_plain(model.config), tensors, aliases)


def _plain(config: Any) -> Mapping[str, Any]:
    """The config as JSON holds it, with what Transformers derives of it."""
    found = config.to_dict()
    for name in _DERIVED:
        if hasattr(config, name):
            found[name] = getattr(config, name)
    return {name: value for name, value in found.items() if name not in ("_name_or_path", "torch_dtype", "dtype")}
