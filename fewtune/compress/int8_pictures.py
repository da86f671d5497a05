"""8-bit integers for networks that read pictures: weights by output channel, activations by ranges that were seen.

Processors without VNNI instructions add pairs of products in 16 bits, which saturate: 8-bit weights of a convolution
that sums over channels then give nonsense (measured here: a cosine of 0.84 to the float features). So those keep to
+-64, and are rounded with care (`rounding.py`). A depthwise convolution is computed otherwise, cannot saturate, and is
the most sensitive: it has all 8 bits. Layers that still hurt are found by quantising each alone, and stay in float.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fewtune.backbones.onnx_graph import optimised
from fewtune.compress.rounding import lost_on_average, round_weight
from fewtune.data.picture import open_picture
from fewtune.errors import DataError
from fewtune.interfaces import Content, ImpossibleError, RunContext
from fewtune.runtime.detector_graph import selection_from_json
from fewtune.runtime.letterbox import letterbox_from_json
from fewtune.runtime.object_detection import SELECTION_FILE
from fewtune.runtime.preprocess import preprocess_from_json
from fewtune.runtime.scaled import scaled_from_json
from fewtune.runtime.session import open_session
from fewtune.types import Example, FloatArray, Graph

if TYPE_CHECKING:
    import onnx

_KINDS = ("Conv", "MatMul", "Add", "Clip", "Relu", "MaxPool")
_WEIGHTED = ("Conv", "MatMul")
# A smaller matrix, such as the new classes', is not worth the harm.
_LEAST_WEIGHTS = 20_000
_MOST_PICTURES = 48
# Places of a map that are drawn from each picture to round a layer's weights by.
_PLACES = 48
_STEPS = 64
# Largest mean change of a probability on the pictures that it is calibrated with, before layers are left in float.
_MOST_SHIFT = 0.01
# Of the many places that a detector looks at, those count that it takes for something.
_FOUND = 0.05
_LEFT_IN_FLOAT = (0, 2, 4, 8)


def pictures_in_integers(content: Content, examples: Sequence[Example], run: RunContext) -> Content:
    """Quantise every graph of a bundle that reads pictures.

    Raises:
        ImpossibleError: there are no pictures to calibrate on, no layers with many weights, or ONNX Runtime cannot
            quantise the network.
    """
    graphs, notes = dict(content.graphs), list(content.notes)
    for contract in content.contracts:
        pixels = _calibration(_reader(content, contract), examples, run)
        try:
            network = _Network(graphs[contract.file], pixels, run.threads, in_order=_has_order(content))
            graphs[contract.file], floats = network.quantised(run)
        except ImpossibleError:
            raise
        except Exception as error:  # the quantiser and the runtime raise many kinds
            raise ImpossibleError(f"ONNX Runtime cannot quantise it ({type(error).__name__}: {error})") from error
        if floats:
            notes.append(f"{len(floats)} layers of {contract.file} stay in float: {', '.join(floats)}")
    return replace(content, graphs=graphs, notes=tuple(notes))


def _reader(content: Content, contract: Graph) -> Callable[[Any], FloatArray]:
    """What makes (1, 3, height, width) pixels of a picture for a graph."""
    stored, where = content.assets[contract.preprocess], contract.preprocess
    if content.task == "object-detection":
        letterbox = letterbox_from_json(stored, where=where)
        return lambda picture: letterbox.pixels([letterbox.canvas(picture)[0]])
    if content.task == "segmentation":
        scaled = scaled_from_json(stored, where=where)
        return lambda picture: scaled.pixels(scaled.scale(open_picture(picture)))
    preprocess = preprocess_from_json(stored, where=where)
    return lambda picture: preprocess.pixels([preprocess.square(picture)])


def _has_order(content: Content) -> bool:
    """Whether a place of the answers means the same in two graphs: not where each thing is found by any one query."""
    stored = content.assets.get(SELECTION_FILE)
    return stored is None or selection_from_json(stored, where=SELECTION_FILE).overlap < 1


def _calibration(read: Callable[[Any], FloatArray], examples: Sequence[Example], run: RunContext) -> list[FloatArray]:
    """Pictures to calibrate on, drawn from all: (1, 3, height, width) each."""
    order = run.generator("calibration").permutation(len(examples))
    pixels: list[FloatArray] = []
    with run.progress.step("Read pictures to calibrate on", total=min(_MOST_PICTURES, len(examples))) as step:
        for i in order:
            try:
                pixels.append(read(examples[i].input))
            except DataError:
                continue
            step.advance()
            if len(pixels) == _MOST_PICTURES:
                break
    if not pixels:
        raise ImpossibleError("there are no pictures to calibrate on; give some with --data")
    return pixels


class _Network:
    """One graph, what runs through it, and its quantised form."""

    def __init__(self, graph: bytes, pixels: Sequence[FloatArray], threads: int, *, in_order: bool = True) -> None:
        self._pixels, self._threads, self._in_order = pixels, threads, in_order
        self._model = optimised(graph)
        self._values = {tensor.name: tensor for tensor in self._model.graph.initializer}
        self._layers = [node for node in self._model.graph.node if self._is_large(node)]
        if not self._layers:
            raise ImpossibleError("it has no layers with many weights")
        self._wanted = self._answers(self._model.SerializeToString())

    def quantised(self, run: RunContext) -> tuple[bytes, list[str]]:
        """The graph in integers, and the layers that stayed in float: as few as keep the probabilities."""
        ranges, inputs = self._seen(run)
        self._round(inputs)
        order: list[str] = []
        best: tuple[float, bytes, list[str]] | None = None
        for count in _LEFT_IN_FLOAT:
            if count and not order:
                order = self._most_hurt(ranges, run)
            left = order[:count]
            graph = self._quantise(ranges, [node.name for node in self._layers if node.name not in left])
            shift = self._shift(graph)
            if best is None or shift < best[0]:
                best = (shift, graph, left)
            if shift <= _MOST_SHIFT:
                break
        assert best is not None
        return _packed(_with_stored_matrices(best[1])), [_short(name) for name in best[2]]

    def _is_large(self, node: Any) -> bool:
        if node.op_type not in _WEIGHTED or len(node.input) < 2 or node.input[1] not in self._values:
            return False
        count = int(np.prod(self._values[node.input[1]].dims))
        return node.op_type == "Conv" or count >= _LEAST_WEIGHTS

    def _seen(self, run: RunContext) -> tuple[dict[str, tuple[float, float]], dict[str, FloatArray]]:
        """Least and greatest value of every tensor, and a sample of what each layer that sums over channels is given.

        Returns:
            Tensor name to (least, greatest), and tensor name to (n, channels).
        """
        outputs = _float_tensors(self._model)
        session = open_session(_with_outputs(self._model, outputs), self._threads)
        sampled = {node.input[0] for node in self._layers}
        generator = run.generator("calibration", "places")
        ranges: dict[str, tuple[float, float]] = {}
        samples: dict[str, list[FloatArray]] = {name: [] for name in sampled}
        with run.progress.step("Calibrate", total=len(self._pixels)) as step:
            for picture in self._pixels:
                given = {"pixels": picture}
                for name, value in zip(outputs, session.run(outputs, given), strict=True):
                    self._note(name, np.asarray(value), ranges, samples, generator)
                self._note("pixels", picture, ranges, samples, generator)
                step.advance()
        return ranges, {name: np.concatenate(rows) for name, rows in samples.items() if rows}

    @staticmethod
    def _note(
        name: str,
        value: FloatArray,
        ranges: dict[str, tuple[float, float]],
        samples: dict[str, list[FloatArray]],
        generator: np.random.Generator,
    ) -> None:
        low, high = ranges.get(name, (np.inf, -np.inf))
        ranges[name] = (min(low, float(value.min())), max(high, float(value.max())))
        if name in samples:
            rows = value[0].reshape(value.shape[1], -1).T if value.ndim == 4 else value.reshape(-1, value.shape[-1])
            samples[name].append(rows[generator.permutation(len(rows))[:_PLACES]])

    def _round(self, inputs: Mapping[str, FloatArray]) -> None:
        """Put the weights on their steps, and what is lost on average into the bias, in the float model itself."""
        from onnx import numpy_helper

        for node in self._layers:
            if node.input[0] not in inputs or not _is_pointwise(node, self._values):
                continue
            tensor = self._values[node.input[1]]
            stored = numpy_helper.to_array(tensor)
            weight = _as_matrix(node, stored)
            rows = inputs[node.input[0]]
            rounded = round_weight(weight, rows, _STEPS)
            tensor.CopyFrom(numpy_helper.from_array(_as_stored(node, rounded, stored.shape), tensor.name))
            if len(node.input) > 2 and node.input[2] in self._values:
                bias = self._values[node.input[2]]
                mended = numpy_helper.to_array(bias) + lost_on_average(weight, rounded, rows.mean(axis=0))
                bias.CopyFrom(numpy_helper.from_array(mended.astype(np.float32), bias.name))

    def _most_hurt(self, ranges: Mapping[str, tuple[float, float]], run: RunContext) -> list[str]:
        """Names of the layers, the one first whose quantisation alone changes the probabilities most."""
        shifts: dict[str, float] = {}
        with run.progress.step("Find the layers that integers hurt", total=len(self._layers)) as step:
            for node in self._layers:
                shifts[node.name] = self._shift(self._quantise(ranges, [node.name]))
                step.advance()
        return sorted(shifts, key=lambda name: -shifts[name])

    def _quantise(self, ranges: Mapping[str, tuple[float, float]], layers: Iterable[str]) -> bytes:
        import onnx
        from onnxruntime.quantization import CalibrationMethod, QuantType
        from onnxruntime.quantization.calibrate import TensorData, TensorsData
        from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

        chosen = set(layers)
        between = [node.name for node in self._model.graph.node if node.op_type not in _WEIGHTED]
        # A node between layers that all stay in float has nothing to gain from integers.
        nodes = [*chosen, *self._touching(chosen, between)]
        seen = {
            name: TensorData(lowest=np.float32(low), highest=np.float32(high)) for name, (low, high) in ranges.items()
        }
        wide = [node.input[1] for node in self._layers if _is_depthwise(node)]
        overrides = {name: [{"quant_type": QuantType.QInt8, "reduce_range": False, "axis": 0}] for name in wide}
        model = onnx.ModelProto()
        model.CopyFrom(self._model)
        quantizer = QDQQuantizer(
            model,
            per_channel=True,
            reduce_range=True,
            weight_qType=QuantType.QInt8,
            activation_qType=QuantType.QUInt8,
            tensors_range=TensorsData(CalibrationMethod.MinMax, seen),
            nodes_to_quantize=nodes,
            nodes_to_exclude=[],
            op_types_to_quantize=list(_KINDS),
            extra_options={"TensorQuantOverrides": overrides},
        )
        quantizer.quantize_model()
        return quantizer.model.model.SerializeToString(deterministic=True)

    def _touching(self, chosen: set[str], names: Sequence[str]) -> list[str]:
        """Nodes that stand right behind or before a chosen layer."""
        by_name = {node.name: node for node in self._model.graph.node}
        made = {output for name in chosen for output in by_name[name].output}
        found: list[str] = []
        for name in names:
            if made & set(by_name[name].input):
                found.append(name)
                made |= set(by_name[name].output)
        return found

    def _shift(self, graph: bytes) -> float:
        """How much a graph's answers differ from the float one's: the mean change of what is between 0 and 1."""
        pairs = zip(self._wanted, self._answers(graph), strict=True)
        apart = changes if self._in_order else nearest_changes
        return float(np.mean([apart(first, second)[_counts(first)].mean() for first, second in pairs]))

    def _answers(self, graph: bytes) -> list[FloatArray]:
        """For each picture: probabilities of its classes, of its pixels' classes, or scores and boxes of its places."""
        session = open_session(graph, self._threads)
        names = [node.name for node in session.get_outputs() if node.name in ("logits", "scores", "boxes")]
        found = []
        for picture in self._pixels:
            given = dict(zip(names, map(np.asarray, session.run(names, {"pixels": picture})), strict=True))
            if "logits" in given:
                powers = np.exp(given["logits"] - given["logits"].max(axis=1, keepdims=True))
                found.append(powers / powers.sum(axis=1, keepdims=True))
            else:
                sides = np.tile(picture.shape[:1:-1], 2)
                found.append(np.concatenate([given["scores"], given["boxes"] / sides], axis=2)[0])
        return found


def changes(first: FloatArray, second: FloatArray) -> FloatArray:
    """How far each of the answers is from the other graph's in the same place."""
    return np.abs(first - second)


def nearest_changes(first: FloatArray, second: FloatArray) -> FloatArray:
    """(places, values) how far each place of one graph is from the most like of the other's, wherever that stands."""
    apart = np.abs(first[:, None] - second[None])
    return apart[np.arange(len(first)), apart.mean(axis=2).argmin(axis=1)]


def _counts(answers: FloatArray) -> Any:
    """Which of the answers count: all, but for the places (places, classes + 4) where a detector finds nothing."""
    if answers.ndim != 2 or len(answers) == 1:
        return slice(None)
    scores = answers[:, :-4].max(axis=1)
    return scores >= min(_FOUND, float(scores.max()))


def _float_tensors(model: onnx.ModelProto) -> list[str]:
    """What the nodes compute in float32."""
    typed = {value.name for value in model.graph.value_info if value.type.tensor_type.elem_type == 1}
    typed |= {value.name for value in model.graph.output}
    return [output for node in model.graph.node for output in node.output if output in typed]


def _with_outputs(model: onnx.ModelProto, names: Sequence[str]) -> bytes:
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    given = {value.name for value in copy.graph.output}
    copy.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in given)
    return copy.SerializeToString()


def _attribute(node: Any, name: str, default: int) -> int:
    return next((int(some.i) for some in node.attribute if some.name == name), default)


def _is_depthwise(node: Any) -> bool:
    return node.op_type == "Conv" and _attribute(node, "group", 1) > 1


def _is_pointwise(node: Any, values: Mapping[str, Any]) -> bool:
    """Whether it is a matrix product, at every place of a map or once."""
    if node.op_type != "Conv":
        return True
    return _attribute(node, "group", 1) == 1 and list(values[node.input[1]].dims[2:]) == [1, 1]


def _as_matrix(node: Any, stored: FloatArray) -> FloatArray:
    """(out, in)."""
    return stored.reshape(len(stored), -1) if node.op_type == "Conv" else stored.T


def _as_stored(node: Any, matrix: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    return np.ascontiguousarray((matrix if node.op_type == "Conv" else matrix.T).reshape(shape))


def _short(name: str) -> str:
    """A node's name without the path that every one has."""
    return "/".join(name.strip("/").split("/")[-2:])


def _with_stored_matrices(graph: bytes) -> bytes:
    """The same graph with the large matrices that are used once a picture kept in 8 bits, and computed with in float.

    They are a quarter of the file and a hundredth of the work; ONNX Runtime unpacks them when it opens the graph.
    """
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load_from_string(graph)
    values = {tensor.name: tensor for tensor in model.graph.initializer}
    unpacking: list[onnx.NodeProto] = []
    for node in model.graph.node:
        tensor = values.get(node.input[1]) if node.op_type == "Gemm" else None
        if tensor is None or tensor.data_type != 1 or np.prod(tensor.dims) < _LEAST_WEIGHTS:
            continue
        matrix, name = numpy_helper.to_array(tensor), tensor.name
        axis = 0 if _attribute(node, "transB", 0) else 1
        sizes = np.maximum(np.abs(matrix).max(axis=1 - axis, keepdims=True) / 127, 1e-12).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(np.rint(matrix / sizes).astype(np.int8), f"{name}.int8"))
        model.graph.initializer.append(numpy_helper.from_array(sizes, f"{name}.sizes"))
        unpacking.append(helper.make_node("Cast", [f"{name}.int8"], [f"{name}.cast"], to=1))
        unpacking.append(helper.make_node("Mul", [f"{name}.cast", f"{name}.sizes"], [name]))
    nodes = [*unpacking, *(onnx.NodeProto.FromString(node.SerializeToString()) for node in model.graph.node)]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model.SerializeToString()


def _packed(graph: bytes) -> bytes:
    """The same graph in less room: inner names counted, zero points of 0 left out."""
    import onnx
    from onnx import numpy_helper

    model = onnx.load_from_string(graph)
    outside = {value.name for value in (*model.graph.input, *model.graph.output)}
    zeros = {tensor.name for tensor in model.graph.initializer if not numpy_helper.to_array(tensor).any()}
    names: dict[str, str] = {"": ""}

    def short(name: str) -> str:
        kept = name in outside or name.startswith("classifier.")
        return name if kept else names.setdefault(name, f"v{len(names)}")

    for node in model.graph.node:
        node.name = ""
        given = list(node.input)
        if node.op_type == "DequantizeLinear" and len(given) == 3 and given[2] in zeros:
            given.pop()
        inputs, outputs = [short(name) for name in given], [short(name) for name in node.output]
        del node.input[:], node.output[:]
        node.input.extend(inputs)
        node.output.extend(outputs)
    used = {name for node in model.graph.node for name in node.input}
    stored = [tensor for tensor in model.graph.initializer if short(tensor.name) in used]
    for tensor in stored:
        tensor.name = short(tensor.name)
    kept = [tensor.SerializeToString() for tensor in stored]
    del model.graph.initializer[:], model.graph.value_info[:]
    model.graph.initializer.extend(onnx.TensorProto.FromString(tensor) for tensor in kept)
    model.doc_string, model.producer_name, model.producer_version = "", "fewtune", ""
    return model.SerializeToString(deterministic=True)
