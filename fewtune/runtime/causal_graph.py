"""A causal language model as an ONNX graph: texts written token by token, and how probable given ones are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fewtune.progress import Step
from fewtune.runtime.session import open_session
from fewtune.types import FloatArray, IntArray

# Texts that are written side by side, and tokens, padding included, that are read at once.
_TEXTS_PER_BATCH = 16
_TOKENS_PER_BATCH = 1024

Ids = Sequence[int]


class CausalGraph:
    """A graph of `backbones/llama_onnx.py`, opened."""

    def __init__(self, model: bytes | Path, *, threads: int) -> None:
        """Open the graph; `threads` is how many one computation may use."""
        self._session = open_session(model, threads)
        past = [node for node in self._session.get_inputs() if node.name.startswith("past.")]
        self._past = {node.name: (int(node.shape[1]), int(node.shape[3])) for node in past}

    def generate(
        self, prompts: Sequence[Ids], *, most: int, ends: Sequence[int], step: Step | None = None
    ) -> list[list[int]]:
        """Write on greedily: each time the likeliest token.

        Args:
            prompts: n lists of token ids, none empty.
            most: tokens that are written at most.
            ends: ids that end a text; not part of it.
            step: is told of every finished batch.

        Returns:
            The ids written for each prompt.
        """
        written: list[list[int]] = [[] for _ in prompts]
        for some in _alike([len(prompt) for prompt in prompts], _TEXTS_PER_BATCH):
            for place, ids in zip(some, self._write([prompts[i] for i in some], most, set(ends)), strict=True):
                written[place] = ids
            if step is not None:
                step.advance(len(some))
        return written

    def _write(self, prompts: Sequence[Ids], most: int, ends: set[int]) -> list[list[int]]:
        tokens, mask = left_padded(prompts)
        cache = self._nothing(len(prompts))
        written: list[list[int]] = [[] for _ in prompts]
        rows = list(range(len(prompts)))
        for _ in range(most):
            logits, cache = self._run(tokens, mask, [tokens.shape[1] - 1], cache)
            chosen = logits[:, -1].argmax(axis=1)
            going = [place for place, token in enumerate(chosen.tolist()) if token not in ends]
            for place in going:
                written[rows[place]].append(int(chosen[place]))
            if not going:
                break
            if len(going) < len(rows):
                rows, mask = [rows[place] for place in going], mask[going]
                cache = {name: value[going] for name, value in cache.items()}
            tokens = chosen[going, None].astype(np.int64)
            mask = np.hstack([mask, np.ones((len(going), 1), np.int64)])
        return written

    def log_probs(
        self, prompts: Sequence[Ids], replies: Sequence[Ids], *, step: Step | None = None
    ) -> list[FloatArray]:
        """(tokens,) natural logarithm of the probability of each token of the replies, given the prompts."""
        found: list[FloatArray] = [np.zeros(0)] * len(prompts)
        lengths = [len(prompt) + len(reply) for prompt, reply in zip(prompts, replies, strict=True)]
        for some in _alike(lengths, _TEXTS_PER_BATCH, _TOKENS_PER_BATCH):
            tokens, mask = left_padded([[*prompts[i], *replies[i]] for i in some])
            longest, columns = max(len(replies[i]) for i in some), tokens.shape[1]
            # The token before each one of a reply tells its probability.
            wanted = list(range(columns - longest - 1, columns - 1))
            logits, _ = self._run(tokens, mask, wanted, self._nothing(len(some)))
            for row, i in enumerate(some):
                found[i] = _log_probs(logits[row, longest - len(replies[i]) :], replies[i])
            if step is not None:
                step.advance(len(some))
        return found

    def _nothing(self, texts: int) -> dict[str, np.ndarray]:
        return {name: np.zeros((texts, heads, 0, width), np.float32) for name, (heads, width) in self._past.items()}

    def _run(
        self, tokens: IntArray, mask: IntArray, wanted: Sequence[int], cache: dict[str, np.ndarray]
    ) -> tuple[FloatArray, dict[str, np.ndarray]]:
        names = ["logits", *(name.replace("past.", "present.") for name in cache)]
        feeds: dict[str, Any] = {
            "input_ids": tokens,
            "attention_mask": mask,
            "wanted": np.array(wanted, np.int64),
            **cache,
        }
        logits, *kept = self._session.run(names, feeds)
        return np.asarray(logits), dict(zip(cache, (np.asarray(some) for some in kept), strict=True))


def left_padded(texts: Sequence[Ids]) -> tuple[IntArray, IntArray]:
    """(n, longest) ids with padding on the left, and the mask that says where there is none."""
    longest = max(len(text) for text in texts)
    tokens, mask = (np.zeros((len(texts), longest), np.int64) for _ in range(2))
    for row, text in enumerate(texts):
        tokens[row, longest - len(text) :] = text
        mask[row, longest - len(text) :] = 1
    return tokens, mask


def _log_probs(logits: FloatArray, tokens: Ids) -> FloatArray:
    logits = np.asarray(logits, np.float64)
    highest = logits.max(axis=1)
    total = highest + np.log(np.exp(logits - highest[:, None]).sum(axis=1))
    return logits[np.arange(len(tokens)), list(tokens)] - total


def _alike(lengths: Sequence[int], most: int, most_tokens: int | None = None) -> Iterator[list[int]]:
    """Places of texts of like length, longest first, so many together."""
    batch: list[int] = []
    for i in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        full = most_tokens is not None and batch and (len(batch) + 1) * lengths[batch[0]] > most_tokens
        if len(batch) == most or full:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch
