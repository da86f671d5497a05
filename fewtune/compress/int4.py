"""4-bit weights for language models: the layers' blocks of 32 weights, kept in 8 bits so far, on half the bits.

What a word costs there is reading the weights, so half of them is less time as well as less room. The table of words
stays in 8 bits, as a fit in 4 bits has it. For other models 4 bits are not offered: their layers are small, and compute
in 8-bit integers already.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fewtune.backbones.llama_onnx import quantised
from fewtune.bundle.export_causal import unpack_blocks
from fewtune.interfaces import Compressor, Content, RunContext
from fewtune.types import Example

_PRODUCT, _WIDE, _NARROW = "MatMulNBits", ".q8", ".q4"
# What begins the names of a layer's weights; the table of words and the head have other names.
_LAYERS = "model.layers."


class Int4(Compressor):
    """The layers of a language model in blocks of 4 bits."""

    name = "int4"
    option = "to"
    tasks = ("text-generation",)
    help = "a language model's layers in 4 bits a weight, 32 of which share a scale"
    by_itself = True

    def obstacle(self, content: Content) -> str:
        """Why not: nothing is kept in blocks of 8 bits."""
        if not any(_wide(graph) for graph in content.graphs.values()):
            return "its layers are not kept in blocks of 8 bits"
        return ""

    def compress(
        self, content: Content, examples: Sequence[Example], strength: float | None, run: RunContext
    ) -> Content:
        """Store the layers of every graph anew."""
        del examples, strength, run
        graphs = {name: _narrowed(graph) for name, graph in content.graphs.items()}
        return replace(content, graphs=graphs, backbone={**content.backbone, "bits": 4})


def _wide(graph: bytes) -> list[str]:
    """Names of the layers' weights in 8 bits."""
    import onnx

    names = (tensor.name for tensor in onnx.load_from_string(graph).graph.initializer)
    return [name for name in names if name.startswith(_LAYERS) and name.endswith(_WIDE)]


def _narrowed(graph: bytes) -> bytes:
    import onnx
    from onnx import numpy_helper

    model, wide = onnx.load_from_string(graph), set(_wide(graph))
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    for name in wide:
        base, scales = name.removesuffix(_WIDE), stored[f"{name}_scales"]
        matrix = unpack_blocks(numpy_helper.to_array(stored[name]), numpy_helper.to_array(scales))
        packed, sizes = quantised(matrix, 4)
        stored[name].CopyFrom(numpy_helper.from_array(packed, f"{base}{_NARROW}"))
        scales.CopyFrom(numpy_helper.from_array(sizes, f"{base}{_NARROW}_scales"))
    for node in model.graph.node:
        if node.op_type == _PRODUCT and node.input[1] in wide:
            base = node.input[1].removesuffix(_WIDE)
            node.input[1], node.input[2] = f"{base}{_NARROW}", f"{base}{_NARROW}_scales"
            next(some for some in node.attribute if some.name == "bits").i = 4
    return model.SerializeToString(deterministic=True)
