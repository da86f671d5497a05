"""8-bit integers, for every kind of bundle that does not compute in them from the beginning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fewtune.compress.int8_pictures import pictures_in_integers
from fewtune.compress.int8_translators import translator_in_integers
from fewtune.interfaces import Compressor, Content, RunContext
from fewtune.runtime.machine import multiplies_int8
from fewtune.types import Example

# What marks a graph that computes in integers, or keeps its matrices in them.
_MARKS = (b"QuantizeLinear", b"MatMulInteger")
_NOT_FASTER = (
    "this processor has no instructions for 8-bit integers (VNNI): they may not be faster here; it is measured"
)


class Int8(Compressor):
    """Pictures by static quantisation, calibrated on the training pictures; translators by dynamic quantisation."""

    name = "int8"
    option = "to"
    tasks = ("image-classification", "object-detection", "segmentation", "translation", "text-classification")
    help = "weights and activations in 8-bit integers; layers that it hurts stay in float"
    by_itself = True

    def obstacle(self, content: Content) -> str:
        """Why not: it is in integers already, or has nothing that could be."""
        if any(mark in graph for graph in content.graphs.values() for mark in _MARKS):
            return "it computes in 8-bit integers already"
        if content.task == "text-classification":
            return "it has no matrices that are worth it"
        return ""

    def compress(
        self, content: Content, examples: Sequence[Example], strength: float | None, run: RunContext
    ) -> Content:
        """Quantise every graph.

        Raises:
            ImpossibleError: there is nothing to calibrate on, or nothing with many weights.
        """
        del strength
        if multiplies_int8() is False:
            run.progress.say(_NOT_FASTER)
            content = replace(content, notes=(*content.notes, _NOT_FASTER))
        if content.task == "translation":
            return translator_in_integers(content, examples, run)
        return pictures_in_integers(content, examples, run)
