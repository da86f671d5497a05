"""Examples of replies as token ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fewtune.backbones.causal_lm import CausalParts
from fewtune.types import Example


@dataclass(frozen=True, slots=True)
class Tokens:
    """An example as token ids; `reply` ends with the token that ends a text."""

    prompt: Sequence[int]
    reply: Sequence[int]

    def __len__(self) -> int:
        return len(self.prompt) + len(self.reply)


def encoded(parts: CausalParts, examples: Sequence[Example]) -> list[Tokens]:
    """The ids of each example, with what the model's chat template puts around the turns."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(parts.tokenizer_json.decode())

    def ids(text: str) -> list[int]:
        return tokenizer.encode(text, add_special_tokens=False).ids

    return [
        Tokens(ids(parts.chat.prompt(example.input.turns)), [*ids(example.target), parts.ends[0]])
        for example in examples
    ]
