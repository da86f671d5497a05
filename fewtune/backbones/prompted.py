"""A causal language model that is asked which label fits a text: what it has in mind where its answer would begin.

The question stands in the tokenizer's file as what it puts around every text, so that a bundle is run as any
other encoder's: ids in, one vector a text out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import takewhile

import numpy as np

from fewtune.backbones.causal_lm import CausalLM
from fewtune.backbones.llama_onnx import reader_graph
from fewtune.interfaces import ModelInfo
from fewtune.progress import Step
from fewtune.runtime.chat import ChatFormat
from fewtune.runtime.text_graph import TextGraph
from fewtune.types import FloatArray

# Texts that say nothing: what is answered to them is the model's leaning (Zhao et al. 2021, arXiv:2102.09690).
CONTENT_FREE = ("N/A", "", "[MASK]")
_BEGUN = "This text is"
# Longer lists of labels would cost more to read than the texts.
_MOST_LISTED = 12
_MOST_TOKENS = 512


@dataclass(frozen=True, slots=True)
class Prompt:
    """What stands before and behind every text."""

    before: str
    after: str


class PromptedLM:
    """One model with one question."""

    def __init__(self, model: CausalLM, labels: Sequence[str]) -> None:
        """Ask `model` which of `labels`, as a person would write them, fits."""
        self._model = model
        self._labels = tuple(labels)

    @property
    def info(self) -> ModelInfo:
        """Of the model; loads nothing."""
        return self._model.info

    @property
    def max_tokens(self) -> int:
        """Longer texts are cut, the prompt's tokens included."""
        return min(_MOST_TOKENS, self._model.parts.max_tokens)

    @cached_property
    def prompt(self) -> Prompt:
        """The question with the model's own marks of turns, and the first words of the answer."""
        chat = self._model.parts.chat
        return Prompt(f'{_opening(chat)}{_question(self._labels)}\n\n"', f'"{chat.reply}{_BEGUN}')

    @cached_property
    def tokenizer_json(self) -> bytes:
        """The model's, with the prompt around every text and with truncation."""
        from tokenizers import Tokenizer, processors

        tokenizer = Tokenizer.from_str(self._model.parts.tokenizer_json.decode())
        pieces = {"before": self.prompt.before, "after": self.prompt.after}
        encoded = {name: tokenizer.encode(text, add_special_tokens=False) for name, text in pieces.items()}
        tokenizer.post_processor = processors.TemplateProcessing(
            single=" ".join(["before"] * bool(encoded["before"].ids) + ["$A", "after"]),
            special_tokens=[
                {"id": name, "ids": found.ids, "tokens": found.tokens} for name, found in encoded.items() if found.ids
            ],
        )
        tokenizer.enable_truncation(self.max_tokens)
        return tokenizer.to_str().encode()

    @cached_property
    def answers(self) -> FloatArray:
        """(labels, width): the features times this are the labels' logits, of their tokens' mean."""
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_str(self._model.parts.tokenizer_json.decode())
        table = self._model.parts.weights.output_table
        ids = [tokenizer.encode(f" {label}", add_special_tokens=False).ids for label in self._labels]
        return np.stack([table[some].mean(axis=0) for some in ids])

    @cached_property
    def graph(self) -> bytes:
        """See `reader_graph`."""
        return reader_graph(self._model.parts.weights, bits=8)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over graph and tokenizer: what features are cached under."""
        return hashlib.sha256(self.graph + self.tokenizer_json).hexdigest()

    def features(self, texts: Sequence[str], *, threads: int, step: Step | None = None) -> FloatArray:
        """(n, width) vectors of n texts; the graph stays open for the next call."""
        if threads not in self._sessions:
            self._sessions[threads] = TextGraph(self.graph, self.tokenizer_json, threads=threads)
        return self._sessions[threads].run(texts, "features", step=step)

    @cached_property
    def _sessions(self) -> dict[int, TextGraph]:
        return {}


def _question(labels: Sequence[str]) -> str:
    if len(labels) > _MOST_LISTED:
        return "What is the following text about?"
    *others, last = labels
    return f"Is the following text {', '.join(others)}{' or ' if others else ''}{last}?"


def _opening(chat: ChatFormat) -> str:
    """What stands before a user's first turn, without the system's text that the template puts in of its own accord.

    That text costs as many tokens as the question, and the answers are worse with it (benchmarks/README.md).
    """
    begin, end = chat.system_opening, chat.after_system
    if not begin or not end or chat.opening == begin + end:
        return chat.opening
    if not (chat.opening.startswith(begin) and chat.opening.endswith(end)):
        return chat.opening
    # Turns of both kinds end alike, and begin with a mark that the system's begins with too.
    shared = _shared_start(chat.reply, chat.again)
    ended = next((shared[:i] for i in range(len(shared)) if begin.startswith(shared[i:])), "")
    return chat.again.removeprefix(ended) if ended else chat.opening


def _shared_start(first: str, second: str) -> str:
    alike = takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False))
    return "".join(mark for mark, _ in alike)


@lru_cache(maxsize=1)
def prompted(model: CausalLM, labels: tuple[str, ...]) -> PromptedLM:
    """The model with its question; the one asked last stays open."""
    return PromptedLM(model, labels)
