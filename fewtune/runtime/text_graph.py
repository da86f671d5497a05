"""An ONNX graph that reads texts: tokens in, one row of numbers a text out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from fewtune.progress import Step
from fewtune.runtime.session import open_session
from fewtune.types import FloatArray, IntArray

# Tokens, padding included, that go through the graph at once: enough to fill the matrix units of a
# processor, few enough for activations to stay in its caches.
TOKENS_PER_BATCH = 512
# Texts that are tokenised and sorted by length together; bounds the memory of long inputs.
TEXTS_PER_CHUNK = 8192


class TextGraph:
    """An ONNX graph with its tokenizer.

    The graph takes `input_ids` (batch, tokens) int64 and, if it wants to know about padding,
    `attention_mask` of the same shape. Texts are sorted by length so that little is padded.
    """

    def __init__(self, model: bytes | Path, tokenizer_json: bytes | str, *, threads: int) -> None:
        """Open the graph.

        Args:
            model: a serialised ONNX model, or the file it is in.
            tokenizer_json: a tokenizer in the format of Hugging Face's `tokenizers`, with its truncation.
            threads: how many threads one computation may use.
        """
        from tokenizers import Tokenizer

        self._session = open_session(model, threads)
        self._wants_mask = any(node.name == "attention_mask" for node in self._session.get_inputs())
        text = tokenizer_json.decode() if isinstance(tokenizer_json, bytes) else tokenizer_json
        self._tokenizer = Tokenizer.from_str(text)
        self._tokenizer.no_padding()
        self.outputs = tuple(node.name for node in self._session.get_outputs())

    def run(self, texts: Sequence[str], output: str, *, step: Step | None = None) -> FloatArray:
        """Compute one output for every text.

        Args:
            texts: n texts.
            output: name of an output of shape (batch, width).
            step: is told of every text done.

        Returns:
            (n, width) float32, in the order of `texts`.
        """
        return self.run_several(texts, [output], step=step)[0]

    def run_several(
        self, texts: Sequence[str], outputs: Sequence[str], *, step: Step | None = None
    ) -> list[FloatArray]:
        """Compute several outputs for every text in one pass; as `run`, one array an output."""
        if not texts:
            return [np.zeros((0, self._width(output)), dtype=np.float32) for output in outputs]
        chunks = [self._compute(chunk, outputs, step) for chunk in _chunks(texts)]
        return [np.stack([row for chunk in chunks for row in chunk[i]]) for i in range(len(outputs))]

    def run_tokens(self, texts: Sequence[str], output: str, *, step: Step | None = None) -> list[FloatArray]:
        """Compute one output for every token of every text.

        Args:
            texts: n texts.
            output: name of an output of shape (batch, tokens, width).
            step: is told of every text done.

        Returns:
            n arrays (tokens of the text, width), in the order of `texts`, without padding.
        """
        return [rows for chunk in _chunks(texts) for rows in self._compute(chunk, [output], step)[0]]

    def run_ids(self, ids: Sequence[IntArray], output: str, *, step: Step | None = None) -> FloatArray:
        """As `run`, of n arrays (tokens,) of token ids, special ones included."""
        return np.stack(self._compute_ids(ids, [output], step)[0])

    def _compute(self, texts: Sequence[str], outputs: Sequence[str], step: Step | None) -> list[list[FloatArray]]:
        """For each output, the rows of every text."""
        ids = [np.asarray(encoding.ids, np.int64) for encoding in self._tokenizer.encode_batch_fast(list(texts))]
        return self._compute_ids(ids, outputs, step)

    def _compute_ids(
        self, ids: Sequence[IntArray], outputs: Sequence[str], step: Step | None
    ) -> list[list[FloatArray]]:
        rows: list[list[Any]] = [[None] * len(ids) for _ in outputs]
        for batch in _batches([len(row) for row in ids]):
            computed = self._session.run(list(outputs), self._feed([ids[i] for i in batch]))
            for kept, array in zip(rows, map(np.asarray, computed), strict=True):
                for i, row in zip(batch, array, strict=True):
                    # A copy, so that the whole batch is not kept for the sake of one text.
                    kept[i] = row if array.ndim == 2 else row[: len(ids[i])].copy()
            if step is not None:
                step.advance(len(batch))
        return rows

    def _feed(self, ids: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        width = max(1, max(len(row) for row in ids))
        input_ids = np.zeros((len(ids), width), dtype=np.int64)
        mask = np.zeros_like(input_ids)
        for row, tokens in enumerate(ids):
            input_ids[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = 1
        return {"input_ids": input_ids, "attention_mask": mask} if self._wants_mask else {"input_ids": input_ids}

    def _width(self, output: str) -> int:
        shape = next(node.shape for node in self._session.get_outputs() if node.name == output)
        return int(shape[-1])


def _chunks(texts: Sequence[str]) -> Iterator[list[str]]:
    remaining = iter(texts)
    while chunk := list(islice(remaining, TEXTS_PER_CHUNK)):
        yield chunk


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Indices of texts of like length, longest first, at most `TOKENS_PER_BATCH` tokens a batch."""
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    while order:
        size = max(1, TOKENS_PER_BATCH // max(1, lengths[order[0]]))
        yield order[:size]
        order = order[size:]
