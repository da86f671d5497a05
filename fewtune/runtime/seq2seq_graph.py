"""The two graphs of a translator: the encoder once for a batch, the decoder once for each word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fewtune.runtime.session import open_session
from fewtune.types import FloatArray, IntArray


class Seq2SeqGraph:
    """An encoder and a decoder in ONNX Runtime.

    What the decoder hands on from step to step goes in by some name and comes out as `next_` and that name: see
    backbones/marian_onnx.py (states) and backbones/seq2seq_onnx.py (keys and values of the words so far).
    """

    def __init__(self, encoder: bytes | Path, decoder: bytes | Path, *, threads: int) -> None:
        """Open the graphs.

        Args:
            encoder, decoder: serialised ONNX models, or the files they are in.
            threads: how many threads one computation may use.
        """
        self._encoder, self._decoder = open_session(encoder, threads), open_session(decoder, threads)
        self._gives = [node.name for node in self._encoder.get_outputs()]
        self._outputs = [node.name for node in self._decoder.get_outputs()]
        self._states = [node for node in self._decoder.get_inputs() if f"next_{node.name}" in self._outputs]

    def begin(self, input_ids: IntArray, mask: IntArray, output_ids: IntArray) -> dict[str, Any]:
        """Read the sources (batch, source); keys, values and states by the names of the decoder's inputs."""
        feed = {"input_ids": input_ids, "attention_mask": mask, "output_ids": output_ids}
        memory: dict[str, Any] = dict(zip(self._gives, self._encoder.run(self._gives, feed), strict=True))
        for state in self._states:
            # There are no words yet: what is as long as they are many is empty.
            extents = [extent if isinstance(extent, int) else 0 for extent in state.shape[1:]]
            memory[state.name] = np.zeros((len(input_ids), *extents), np.float32)
        return memory

    def step(self, memory: dict[str, Any], previous: IntArray, position: int) -> FloatArray:
        """(batch, words) logits of the next word; the states in `memory` move on."""
        feed = {**memory, "previous": previous, "position": np.asarray(position, np.int64)}
        found = dict(zip(self._outputs, self._decoder.run(self._outputs, feed), strict=True))
        for state in self._states:
            memory[state.name] = found[f"next_{state.name}"]
        return np.asarray(found["logits"])

    def keep(self, memory: dict[str, Any], rows: IntArray) -> dict[str, Any]:
        """The memory of some of the batch's sentences."""
        shared = ("output_rows", "output_bias", "previous_rows")
        return {name: value if name in shared else value[rows] for name, value in memory.items()}
