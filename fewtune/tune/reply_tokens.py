"""Examples of replies as token ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fewtune.backbones.causal_lm import CausalParts
from fewtune.types import Example

_ROUND_A_TURN = 64


@dataclass(frozen=True, slots=True)
class Tokens:
    """An example as token ids; `reply` ends with the token that ends a text."""

    prompt: Sequence[int]
    reply: Sequence[int]

    def __len__(self) -> int:
        return len(self.prompt) + len(self.reply)


def too_long(parts: CausalParts, examples: Sequence[Example], most_new: int) -> list[int]:
    """Places of the examples that the model cannot reply to: prompt and reply do not fit into what it reads.

    Args:
        parts: of the model.
        examples: with conversations as inputs.
        most_new: tokens that there must be room for behind a prompt; no more than half of what the model reads.
    """
    most_new = min(most_new, parts.max_tokens // 2)
    # No token stands for less than a byte, so that short ones need not be counted.
    long = [i for i, some in enumerate(examples) if bytes_of(some) + most_new > parts.max_tokens]
    counted = encoded(parts, [examples[i] for i in long])
    rooms = [len(tokens.prompt) + max(most_new, len(tokens.reply)) for tokens in counted]
    return [i for i, room in zip(long, rooms, strict=True) if room > parts.max_tokens]


def bytes_of(example: Example) -> int:
    """Of prompt and reply, with what stands round them."""
    # What the template puts round a turn is hardly ever longer.
    turns = example.input.turns
    return sum(len(text.encode()) + _ROUND_A_TURN for _, text in turns) + len(example.target.encode()) + _ROUND_A_TURN


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
