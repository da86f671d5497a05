"""Structured pruning of text encoders: attention heads and feed-forward neurons go, or whole layers.

What is left are smaller matrices, which are faster everywhere, without special kernels. What goes is chosen by how
much the answers to the user's own texts would change without it (`importance.py`), and what that costs is won back by
learning from the original's own states on the same texts (`recovery.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any

import numpy as np

from fewtune.backbones.bert_onnx import BertWeights, Q4Matrix, matrices, with_linear_head
from fewtune.backbones.text_encoder import EncoderParts
from fewtune.bundle.export import read_parameters
from fewtune.compress.vocabulary import TABLE
from fewtune.interfaces import Compressor, Content, ImpossibleError, RunContext
from fewtune.runtime.text_graph import TextGraph
from fewtune.tune.integers import Written, in_integers
from fewtune.types import Example, FloatArray

_NEEDED = ("torch", "transformers", "lightning")
# Half of the neurons; three layers of six or twelve.
_USUAL_SHARE, _USUAL_LAYERS = 0.5, 3.0
_HEAD = ("classifier.weight", "classifier.bias")
# Of the heads a smaller share goes than of the neurons: a third where it is half of those.
_HEADS_PER_NEURON = 2 / 3
# Of what one layer would have if all had the same, at least this much stays.
_LEAST_OF_LAYER = 0.25
# Matrices whose sides are multiples of this are the fastest.
_MULTIPLE = 16
# Texts that importance is measured on, and that recovery learns from, at most.
_MOST_TEXTS = 4000
_FEWEST_TEXTS = 8
# Cosine between what it computes in integers and in float, on average over some texts, before layers stay in float.
_LEAST_COSINE, _LOOKED_AT = 0.98, 32


@dataclass(frozen=True, slots=True)
class Encoder:
    """A bundle's text encoder with its linear head, read back from the graph.

    Attributes:
        parts: weights in float and tokenizer.
        weight, bias: (width, classes) and (classes,) of the head.
    """

    parts: EncoderParts
    weight: FloatArray
    bias: FloatArray


@dataclass(frozen=True, slots=True)
class Importance:
    """How much the answers depend on each part of the layers.

    Attributes:
        heads: of every layer (heads,).
        neurons: of every layer (neurons,).
    """

    heads: Sequence[FloatArray]
    neurons: Sequence[FloatArray]


class _Smaller(Compressor):
    """A smaller encoder that learns from the original's states."""

    tasks = ("text-classification",)

    def obstacle(self, content: Content) -> str:
        """Why not: no encoder, or no PyTorch to tune with."""
        if not any(TABLE.encode() in graph for graph in content.graphs.values()):
            return "it has no encoder, as a frozen or tuned one has"
        if any(find_spec(package) is None for package in _NEEDED):
            return 'tuning what is left needs PyTorch: pip install "fewtune[train]"'
        return ""

    def _each(
        self,
        content: Content,
        examples: Sequence[Example],
        run: RunContext,
        shrink: Callable[[Encoder, Sequence[FloatArray]], tuple[EncoderParts, Sequence[int]]],
    ) -> Content:
        """Make every encoder of a bundle smaller.

        Args:
            content: the bundle's.
            examples: the texts to learn from.
            run: threads, randomness, progress.
            shrink: an encoder and n texts' (tokens, width) embeddings to a smaller one, and of each of its layers the
                number of the original's layer whose states it is to give.
        """
        from fewtune.compress.recovery import recovered

        texts = list(dict.fromkeys(str(example.input) for example in examples))[:_MOST_TEXTS]
        if len(texts) < _FEWEST_TEXTS:
            raise ImpossibleError(f"there are only {len(texts)} texts to learn from; give some with --data")
        graphs, notes = dict(content.graphs), list(content.notes)
        cards: dict[int, Mapping[str, Any]] = {}
        members = content.backbone.get("members") or [content.backbone]
        for place, (contract, card) in enumerate(zip(content.contracts, members, strict=True)):
            if TABLE.encode() not in graphs[contract.file]:
                continue
            original = read_encoder(graphs[contract.file], content.assets[contract.tokenizer], card)
            embedder = TextGraph(original.parts.trunk(0), original.parts.tokenizer_json, threads=run.threads)
            states = embedder.run_tokens(texts, "hidden")
            smaller, teachers = shrink(original, states)
            smaller = recovered(original, smaller, teachers, states, run)
            written = _written(smaller, texts, run)
            graphs[contract.file] = with_linear_head(written.graph, original.weight, original.bias)
            cards[place] = {**card, **described(smaller)}
            notes.append(f"{contract.file} is left with {_sizes(smaller)}")
            if written.floats:
                notes[-1] += f"; {len(written.floats)} of its matrices stay in float"
            run.progress.say(notes[-1])
        return replace(content, graphs=graphs, backbone=_with_cards(content.backbone, cards), notes=tuple(notes))


class StructuredPruning(_Smaller):
    """Heads and neurons that the answers depend on least go."""

    name = "structure"
    option = "prune"
    help = "take away attention heads and feed-forward neurons, and tune what is left; the strength is the share"
    strengths = (0.05, 0.9, _USUAL_SHARE)

    def compress(
        self, content: Content, examples: Sequence[Example], strength: float | None, run: RunContext
    ) -> Content:
        """Prune every encoder of the bundle.

        Raises:
            ImpossibleError: there are too few texts to learn from.
        """
        share = _USUAL_SHARE if strength is None else strength

        def shrink(original: Encoder, states: Sequence[FloatArray]) -> tuple[EncoderParts, Sequence[int]]:
            from fewtune.compress.importance import measured

            found = measured(original, states, run)
            kept = chosen(found, share)
            return without(original.parts, *kept), range(original.parts.layers)

        return self._each(content, examples, run, shrink)


class FewerLayers(_Smaller):
    """A student of fewer layers, which begins as some of the original's."""

    name = "layers"
    option = "distill"
    help = "a student with so many of the layers; the strength is their number"
    strengths = (1.0, 24.0, _USUAL_LAYERS)

    def compress(
        self, content: Content, examples: Sequence[Example], strength: float | None, run: RunContext
    ) -> Content:
        """Give every encoder of the bundle so many layers.

        Raises:
            ImpossibleError: it has no more than that, or there are too few texts to learn from.
        """
        count = round(_USUAL_LAYERS if strength is None else strength)

        def shrink(original: Encoder, states: Sequence[FloatArray]) -> tuple[EncoderParts, Sequence[int]]:
            del states
            if count >= original.parts.layers:
                raise ImpossibleError(f"it has only {original.parts.layers} layers")
            kept = spread(original.parts.layers, count)
            return with_layers(original.parts, kept), kept

        return self._each(content, examples, run, shrink)


def _written(parts: EncoderParts, texts: Sequence[str], run: RunContext) -> Written:
    """As a graph in integers; what they hurt stays in float."""
    looked = texts[:: max(1, len(texts) // _LOOKED_AT)][:_LOOKED_AT]
    every = [name for group in matrices(parts.weights) for name in group]
    wanted = TextGraph(parts.graph(every), parts.tokenizer_json, threads=run.threads).run(looked, "features")
    return in_integers(parts, looked, wanted, _LEAST_COSINE, run)


def read_encoder(graph: bytes, tokenizer_json: bytes, card: Mapping[str, Any]) -> Encoder:
    """The encoder that a graph was written from; its table of embeddings as it is stored."""
    import onnx
    from onnx import numpy_helper

    tensors: dict[str, Any] = read_parameters(graph)
    weight, bias = (tensors.pop(name) for name in _HEAD)
    stored = {tensor.name: tensor for tensor in onnx.load_from_string(graph).graph.initializer}
    if f"{TABLE}.packed" in stored:
        packed, scales = (numpy_helper.to_array(stored[f"{TABLE}.{part}"]) for part in ("packed", "scales"))
        tensors[TABLE] = Q4Matrix(packed, scales[:, :, 0])
    parts = EncoderParts(
        BertWeights(card["config"], tensors),
        tokenizer_json,
        max_tokens=int(card["max_tokens"]),
        pooling=card["pooling"],
        normalised=bool(card["normalised"]),
        prefix=str(card["prefix"]),
    )
    return Encoder(parts, weight, bias)


def chosen(found: Importance, share: float) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Indices of the heads and of the neurons that stay, of every layer: the most important of all layers together."""
    return _kept(found.heads, share * _HEADS_PER_NEURON, 1), _kept(found.neurons, share, _MULTIPLE)


def _kept(scores: Sequence[FloatArray], share: float, multiple: int) -> list[np.ndarray]:
    total = sum(len(layer) for layer in scores)
    wanted = (1 - share) * total
    ranked = np.sort(np.concatenate(scores))[::-1]
    least = ranked[min(total - 1, max(0, round(wanted) - 1))]
    kept = []
    for layer in scores:
        count = max(int((layer >= least).sum()), _LEAST_OF_LAYER * wanted / len(scores))
        # A small layer has too few neurons for the multiple to matter.
        step = multiple if len(layer) >= 8 * multiple else 1
        count = min(len(layer), max(1, round(count / step)) * step)
        kept.append(np.sort(np.argsort(-layer, kind="stable")[:count]))
    return kept


def without(parts: EncoderParts, heads: Sequence[np.ndarray], neurons: Sequence[np.ndarray]) -> EncoderParts:
    """The encoder with these heads and neurons of each layer alone."""
    width = parts.width // int(parts.config["num_attention_heads"])
    tensors: dict[str, Any] = dict(parts.weights.tensors)
    for layer, (own_heads, own_neurons) in enumerate(zip(heads, neurons, strict=True)):
        name = f"encoder.layer.{layer}"
        places = (own_heads[:, None] * width + np.arange(width)).ravel()
        for part in ("query", "key", "value"):
            for kind in ("weight", "bias"):
                key = f"{name}.attention.self.{part}.{kind}"
                tensors[key] = tensors[key][places]
        for kind in ("weight", "bias"):
            key = f"{name}.intermediate.dense.{kind}"
            tensors[key] = tensors[key][own_neurons]
        for key, columns in ((f"{name}.attention.output.dense", places), (f"{name}.output.dense", own_neurons)):
            tensors[f"{key}.weight"] = np.ascontiguousarray(tensors[f"{key}.weight"][:, columns])
    return replace(parts, weights=BertWeights(parts.config, tensors))


def spread(layers: int, count: int) -> list[int]:
    """Numbers of `count` of the layers, evenly, the last among them (Sanh et al. 2019, arXiv:1910.01108)."""
    return [round((i + 1) * layers / count) - 1 for i in range(count)]


def with_layers(parts: EncoderParts, kept: Sequence[int]) -> EncoderParts:
    """The encoder with these of its layers alone, in their order."""
    tensors = {name: value for name, value in parts.weights.tensors.items() if not name.startswith("encoder.layer.")}
    for new, old in enumerate(kept):
        start = f"encoder.layer.{old}."
        for name, value in parts.weights.tensors.items():
            if name.startswith(start):
                tensors[f"encoder.layer.{new}.{name.removeprefix(start)}"] = value
    config = {**parts.config, "num_hidden_layers": len(kept)}
    return replace(parts, weights=BertWeights(config, tensors))


def described(parts: EncoderParts) -> dict[str, Any]:
    """What the model card says of it."""
    heads, neurons = _shapes(parts)
    return {"config": dict(parts.config), "heads": heads, "neurons": neurons}


def _shapes(parts: EncoderParts) -> tuple[list[int], list[int]]:
    width = parts.width // int(parts.config["num_attention_heads"])
    names = [f"encoder.layer.{layer}" for layer in range(parts.layers)]
    tensors = parts.weights.tensors
    heads = [tensors[f"{name}.attention.self.query.bias"].shape[0] // width for name in names]
    return heads, [tensors[f"{name}.intermediate.dense.bias"].shape[0] for name in names]


def _sizes(parts: EncoderParts) -> str:
    heads, neurons = _shapes(parts)
    return f"{len(heads)} layers of {_joined(heads)} heads and {_joined(neurons)} neurons"


def _joined(counts: Sequence[int]) -> str:
    return str(counts[0]) if len(set(counts)) == 1 else "/".join(map(str, counts))


def _with_cards(backbone: Mapping[str, Any], cards: Mapping[int, Mapping[str, Any]]) -> Mapping[str, Any]:
    if "members" not in backbone:
        return cards.get(0, backbone)
    members = [cards.get(place, member) for place, member in enumerate(backbone["members"])]
    return {**backbone, "members": members}
