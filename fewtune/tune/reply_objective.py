"""A causal language model with adapters in torch, and the loss on replies alone. Imported only where one is tuned."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from fewtune.backbones.llama_onnx import LlamaWeights
from fewtune.tune.batches import Numbered
from fewtune.tune.loop import Objective
from fewtune.tune.reply_tokens import Tokens

_MATRICES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


@dataclass(frozen=True, slots=True)
class Adapter:
    """What LoRA learnt.

    Attributes:
        config: PEFT's adapter_config.json.
        tensors: under PEFT's names, as adapter_model.safetensors has them.
        changes: parameter name of the model to what is to be added to it.
    """

    config: bytes
    tensors: Mapping[str, np.ndarray]
    changes: Mapping[str, np.ndarray]

    def merged(self, weights: LlamaWeights) -> LlamaWeights:
        """The model with the adapter in its matrices."""
        tuned = {name: weights.tensors[name] + change for name, change in self.changes.items()}
        return LlamaWeights(weights.config, {**weights.tensors, **tuned})


def torch_model(weights: LlamaWeights) -> PreTrainedModel:
    """The model in Transformers, in float32, nothing of it to be learnt."""
    known = {
        name: value for name, value in weights.config.items() if name not in ("model_type", "torch_dtype", "dtype")
    }
    config = AutoConfig.for_model(str(weights.config["model_type"]), **known)
    config.tie_word_embeddings = weights.tied
    config.use_cache = False
    model = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa")
    state = {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in weights.tensors.items()}
    missing = set(model.load_state_dict(state, strict=False).missing_keys)
    if missing - {"lm_head.weight"}:
        raise ValueError(f"the weights lack {sorted(missing)}")
    return model.float().requires_grad_(False).eval()


@contextmanager
def adapted(model: PreTrainedModel, rank: int, name: str) -> Iterator[PeftModel]:
    """The model with fresh adapters in all of its layers' matrices (Hu et al. 2021); they are gone afterwards."""
    config = LoraConfig(
        r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules=_MATRICES, task_type="CAUSAL_LM", bias="none"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that are or will be other ones
        tuned = get_peft_model(model, config)
    config.base_model_name_or_path = name
    assert isinstance(tuned, PeftModel)
    try:
        yield tuned
    finally:
        tuned.unload()
        # Transformers' own mark of PEFT, which would stand in the way of the next adapters.
        if hasattr(model, "peft_config"):
            del model.peft_config


def adapter_of(tuned: PeftModel) -> Adapter:
    """What was learnt, read out of the model."""
    config = {
        name: sorted(value) if isinstance(value, set) else value
        for name, value in tuned.peft_config["default"].to_dict().items()
    }
    tensors = {
        name: value.detach().float().contiguous().numpy().copy()
        for name, value in get_peft_model_state_dict(tuned).items()
    }
    scale = tuned.peft_config["default"].lora_alpha / tuned.peft_config["default"].r
    changes = {}
    for name, second in tensors.items():
        if name.endswith(".lora_B.weight"):
            first = tensors[name.replace(".lora_B.", ".lora_A.")]
            own = name.removeprefix("base_model.model.").replace(".lora_B.weight", ".weight")
            changes[own] = (scale * (second @ first)).astype(np.float32)
    return Adapter((json.dumps(config, indent=2, default=str) + "\n").encode(), tensors, changes)


class ReplyObjective(Objective):
    """The mean negative log probability of a token of the replies; prompts are read and not learnt."""

    def __init__(self, tuned: PeftModel, examples: Sequence[Tokens], chosen: Sequence[int], batches: Numbered) -> None:
        """Learn the adapters.

        Args:
            tuned: the model with adapters.
            examples: all there are.
            chosen: which of them are learnt from.
            batches: places in `chosen` by the number of a batch.
        """
        super().__init__()
        # A list hides the frozen weights from the checkpoints.
        self._model = [tuned.base_model.model]
        self.learnt = nn.ParameterList([some for some in tuned.parameters() if some.requires_grad])
        self._examples = examples
        self._chosen = chosen
        self._batches = batches

    def loss(self, batch: int) -> Tensor:
        """The loss of a batch, by its number."""
        return reply_loss(self._model[0], [self._examples[self._chosen[i]] for i in self._batches[batch]])


def reply_loss(model: Any, examples: Sequence[Tokens]) -> Tensor:
    """Cross-entropy over the tokens of the replies; words are looked up for these alone."""
    longest = max(len(example) for example in examples)
    ids, mask = (torch.zeros(len(examples), longest, dtype=torch.long) for _ in range(2))
    wanted = torch.full((len(examples), longest), -1)
    for row, example in enumerate(examples):
        ids[row, : len(example)] = torch.tensor([*example.prompt, *example.reply])
        mask[row, : len(example)] = 1
        # What stands before a token tells it.
        wanted[row, len(example.prompt) - 1 : len(example) - 1] = torch.tensor(list(example.reply))
    hidden = model.model(input_ids=ids, attention_mask=mask).last_hidden_state
    learnt = wanted >= 0
    return nn.functional.cross_entropy(model.lm_head(hidden[learnt]), wanted[learnt])
