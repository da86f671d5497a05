"""A network's weights read back from the graph that it was written as. Imported only where that is done.

A graph holds them, but neither under their names nor, always, as they were: matrices are turned, batch norm is part of
the convolutions before it, tables are cut up. So another network of the same kind, with a number of its own in the
place of every weight, is written by what wrote the graph: where a number stands in the one, its weight stands in the
other.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from fewtune.backbones.onnx_graph import optimised
from fewtune.bundle.graph_constants import constants
from fewtune.types import FloatArray, IntArray

# Number n is the float whose bits are these and n more: no bit is lost where it is multiplied by one or nothing is
# added to it, and no graph has such a value of its own.
_FIRST = int(np.float32(np.finfo(np.float32).tiny).view(np.int32))
# What a norm holds that is computed into what stands before it, in the order in which it is found out.
_COMPUTED_AWAY = (("running_mean", "running_var"), ("weight",))


class OtherLayersError(Exception):
    """The graph was not written from such a network."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What was read back.

    Attributes:
        in_integers: whether the graph holds steps of 8 bits, and so not quite the weights.
        untouched: names of the weights that the graph does not compute with; they are left as they were.
    """

    in_integers: bool
    untouched: tuple[str, ...]


@torch.no_grad()
def restore_weights(network: nn.Module, fixed: Collection[int], write: Callable[[], bytes], graph: bytes) -> Restored:
    """Give a network the weights that a graph computes with; norms that are part of other layers then do nothing.

    Args:
        network: gets them.
        fixed: identities of those of its parameters that follow from its settings.
        write: it, or what holds it, as a graph.
        graph: written in the same way from another network of the kind; its weights may be kept in 8 bits.

    Raises:
        OtherLayersError: the graph has other layers.
    """
    numbers = _Numbers(network, fixed)
    given = onnx.load_from_string(graph)
    in_integers = any(node.op_type == "DequantizeLinear" for node in given.graph.node)

    def written() -> list[_Layer]:
        content = write()
        return list(_layers(optimised(content) if in_integers else onnx.load_from_string(content)))

    layers = numbers.put(written)
    found = numbers.before.copy()
    for own, other in _pairs(layers, list(_layers(given)), numbers):
        for place, value in own.values.items():
            some = numbers.read(value)
            if some is not None:
                found[some] = other.values[place].ravel()
    return Restored(in_integers, numbers.fill(found))


@dataclass(frozen=True, slots=True)
class _Layer:
    """A node that reads constants: what it does, and the constants in float32 by their places among its inputs."""

    kind: str
    values: dict[int, FloatArray]

    @property
    def shape(self) -> tuple[Any, ...]:
        return self.kind, *((place, value.shape) for place, value in self.values.items())


def _layers(model: onnx.ModelProto) -> Iterator[_Layer]:
    known = constants(model)
    for node in model.graph.node:
        values = {place: known[name] for place, name in enumerate(node.input) if name in known}
        values = {place: value for place, value in values.items() if value.dtype == np.float32}
        if values and node.output[0] not in known:
            yield _Layer(node.op_type, values)


def _pairs(layers: list[_Layer], given: list[_Layer], numbers: _Numbers) -> Iterator[tuple[_Layer, _Layer]]:
    """The layers with the graph's, one after the other; between them the graph may have more, or lack some."""
    matcher = SequenceMatcher(None, [some.shape for some in layers], [some.shape for some in given], autojunk=False)
    matched = {block.a + i: given[block.b + i] for block in matcher.get_matching_blocks() for i in range(block.size)}
    for number, layer in enumerate(layers):
        if number in matched:
            yield layer, matched[number]
        elif any(numbers.read(value) is not None for value in layer.values.values()):
            raise OtherLayersError(f"it has no {layer.kind} with {next(iter(layer.values.values())).shape}")


class _Numbers:
    """A number for every weight of a network."""

    def __init__(self, network: nn.Module, fixed: Collection[int]) -> None:
        state = network.state_dict(keep_vars=True)
        floats = {name: some for name, some in state.items() if some.dtype == torch.float32 and id(some) not in fixed}
        # One that has two names counts once.
        self._tensors: dict[str, Tensor] = {}
        for name, some in floats.items():
            if not any(some is other for other in self._tensors.values()):
                self._tensors[name] = some
        ends = np.cumsum([some.numel() for some in self._tensors.values()]).tolist()
        self._places = dict(zip(self._tensors, map(slice, [0, *ends[:-1]], ends), strict=True))
        self._count = ends[-1]
        self.before = np.concatenate([some.detach().numpy().ravel() for some in self._tensors.values()])
        self._norms = {
            name: some for name, some in network.named_modules() if getattr(some, "running_var", None) is not None
        }
        self._neutral: dict[str, np.float32] = {}
        self._seen = np.zeros(self._count, bool)

    def put(self, written: Callable[[], list[_Layer]]) -> list[_Layer]:
        """Put the numbers in, and find out what of the norms the graph has no place for."""
        layers = self._put(written)
        for parts in _COMPUTED_AWAY:
            gone = {name: value for name, value in self._of_norms(parts) if not self._seen[self._places[name]].all()}
            if gone:
                self._neutral |= gone
                layers = self._put(written)
        return layers

    def _put(self, written: Callable[[], list[_Layer]]) -> list[_Layer]:
        self._write((np.arange(self._count, dtype=np.int32) + np.int32(_FIRST)).view(np.float32))
        layers = written()
        self._seen[:] = False
        for layer in layers:
            for value in layer.values.values():
                some = self.read(value)
                if some is not None:
                    self._seen[some] = True
        return layers

    def _of_norms(self, parts: tuple[str, ...]) -> Iterator[tuple[str, np.float32]]:
        """Names of parts of the norms, each with the value with which it does nothing."""
        for name, norm in self._norms.items():
            # Frozen norms have this number in their code.
            one = np.float32(1) - np.float32(getattr(norm, "eps", 1e-5))
            neutral = {"running_mean": np.float32(0), "running_var": one, "weight": np.float32(1)}
            for part in parts:
                if f"{name}.{part}" in self._places:
                    yield f"{name}.{part}", neutral[part]

    def read(self, value: FloatArray) -> IntArray | None:
        """The numbers in a constant; None where it holds something else."""
        some = np.ascontiguousarray(value).ravel().view(np.int32).astype(np.int64) - _FIRST
        return some if len(some) and some.min() >= 0 and some.max() < self._count else None

    def fill(self, values: FloatArray) -> tuple[str, ...]:
        """Put weights in the numbers' place; the names of those that are still as they were."""
        self._write(values)
        return tuple(
            name for name, place in self._places.items() if name not in self._neutral and not self._seen[place].any()
        )

    def _write(self, values: FloatArray) -> None:
        for name, tensor in self._tensors.items():
            tensor.copy_(torch.from_numpy(values[self._places[name]]).reshape(tensor.shape))
            if name in self._neutral:
                tensor.fill_(float(self._neutral[name]))
