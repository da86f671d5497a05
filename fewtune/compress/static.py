"""A student of static vectors: each piece of the tokenizer has one, and a text's is their sum, scaled to length 1.

A piece's vector is what the encoder makes of it alone, with the directions kept that vary most among the pieces, and
counts the less the commoner the piece is (Tulkens & van Dongen 2024, Model2Vec, github.com/MinishLab/model2vec; the
weights are those of smooth inverse frequency, Arora, Liang & Ma 2017, "A simple but tough-to-beat baseline for sentence
embeddings", ICLR). No attention and no layers are left: a text takes as long as looking its pieces up. The linear head
above learns from the original's answers. No PyTorch is needed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from fewtune.augment.policy import Policies
from fewtune.backbones.bert_onnx import IR_VERSION, OPSET
from fewtune.bundle.export import STATIC_ROWS
from fewtune.compress.lessons import lessons, taught_head
from fewtune.compress.vocabulary import TABLE, Vocabulary, is_prunable
from fewtune.data.language import main_languages
from fewtune.interfaces import Compressor, Content, RunContext
from fewtune.runtime.text_graph import TextGraph
from fewtune.tune.linear_head import LinearHead
from fewtune.types import Example, FloatArray, Graph

_USUAL_WIDTH = 256.0
# How much of what is written in each script the pieces that are kept make up (`vocabulary.py`).
_VOCABULARY = 0.98
# A piece of this probability counts half.
_RARE = 1e-4
_STEPS = 127


class StaticStudent(Compressor):
    """Static vectors, distilled from the encoder's own vocabulary, under a linear head."""

    name = "static"
    option = "distill"
    tasks = ("text-classification",)
    help = "a student that looks up a vector a piece, without any layers; the strength is the width of the vectors"
    strengths = (8.0, 1024.0, _USUAL_WIDTH)

    def __init__(self, policies: Policies) -> None:
        """Learn from views by these, too."""
        self._policies = policies

    def obstacle(self, content: Content) -> str:
        """Why not: no encoder, or a tokenizer of another kind."""
        found = [some for some in content.contracts if TABLE.encode() in content.graphs[some.file]]
        if not found:
            return "it has no encoder, as a frozen or tuned one has"
        if not is_prunable(content.assets[found[0].tokenizer]):
            return "its tokenizer is neither of the kind Unigram nor WordPiece"
        return ""

    def compress(
        self, content: Content, examples: Sequence[Example], strength: float | None, run: RunContext
    ) -> Content:
        """Distil the vectors and teach the head.

        Raises:
            ImpossibleError: there are too few texts to learn from.
        """
        taught = lessons(content, examples, self._policies, run)
        place = next(i for i, some in enumerate(content.contracts) if TABLE.encode() in content.graphs[some.file])
        contract = content.contracts[place]
        card = (content.backbone.get("members") or [content.backbone])[place]
        vocabulary = Vocabulary.read(content.assets[contract.tokenizer])
        kept = vocabulary.needed(taught.texts[: taught.at_hand], _VOCABULARY)
        width = round(_USUAL_WIDTH if strength is None else strength)
        encoder = TextGraph(content.graphs[contract.file], content.assets[contract.tokenizer], threads=run.threads)
        rows = _rows(encoder, vocabulary, kept, width, run)
        tokenizer_json = _without_prefix(vocabulary.with_only(kept))
        steps, sizes = _in_steps(rows)
        student = _graph(steps, sizes, None)
        features = TextGraph(student, tokenizer_json, threads=run.threads).run(taught.texts, "features")
        head = taught_head(features, taught, run)
        note = f"a student of {len(kept)} static vectors, {rows.shape[1]} wide, taught by {len(taught.texts)} texts"
        run.progress.say(note)
        return replace(
            content,
            graphs={"model.onnx": _graph(steps, sizes, head)},
            contracts=(_contract(len(head.bias)),),
            assets={"tokenizer.json": tokenizer_json},
            backbone={
                **{key: card[key] for key in ("name", "licence", "package", "max_tokens") if key in card},
                "languages": list(main_languages(taught.texts[: taught.at_hand])),
                "static_pieces": len(kept),
                "static_width": rows.shape[1],
            },
            notes=(*content.notes, note),
        )


def _rows(encoder: TextGraph, vocabulary: Vocabulary, kept: Sequence[int], width: int, run: RunContext) -> FloatArray:
    """(kept pieces, at most `width`) vectors; of what is no text, 0."""
    special = vocabulary.special
    pieces = [i for i in kept if i not in special]
    around = vocabulary.around()
    ids = [np.array([*around[0], piece, *around[1]], np.int64) for piece in pieces]
    with run.progress.step("Encode the pieces of the tokenizer", total=len(ids)) as step:
        vectors = encoder.run_ids(ids, "features", step=step).astype(np.float64)
    vectors -= vectors.mean(axis=0)
    # The eigenvectors of the covariance, the largest last.
    _, directions = np.linalg.eigh(vectors.T @ vectors)
    vectors = vectors @ directions[:, : -width - 1 : -1]
    common = np.exp(vocabulary.scores[pieces])
    common /= np.exp(vocabulary.scores[[i for i in range(len(vocabulary.pieces)) if i not in special]]).sum()
    vectors *= (_RARE / (_RARE + common))[:, None]
    rows = np.zeros((len(kept), vectors.shape[1]), np.float32)
    rows[np.isin(kept, pieces)] = vectors
    return rows


def _in_steps(rows: FloatArray) -> tuple[np.ndarray, FloatArray]:
    """8-bit steps (n, width) and their sizes (n, 1); a row of zeros stays one."""
    sizes = np.maximum(np.abs(rows).max(axis=1, keepdims=True) / _STEPS, 1e-12).astype(np.float32)
    return np.rint(rows / sizes).astype(np.int8), sizes


def _without_prefix(tokenizer_json: bytes) -> bytes:
    """The tokenizer without what it puts before every text: that says nothing of the text."""
    description: dict[str, Any] = json.loads(tokenizer_json)
    normalizer = description.get("normalizer") or {}
    if normalizer.get("type") == "Sequence":
        normalizer["normalizers"] = [some for some in normalizer["normalizers"] if some["type"] != "Prepend"]
    return json.dumps(description, ensure_ascii=False, separators=(",", ":")).encode()


def _contract(classes: int) -> Graph:
    return Graph(
        role="classifier",
        file="model.onnx",
        inputs={"input_ids": "int64 [batch, tokens]: ids of tokenizer.json, padded at the end with 0"},
        outputs={"logits": f"float32 [batch, {classes}]: softmax gives the labels' probabilities"},
    )


def _graph(steps: np.ndarray, sizes: FloatArray, head: LinearHead | None) -> bytes:
    """Pieces in, `features` out without a head, or `logits`. Padding has the id 0, whose vector is 0."""
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("Gather", [f"{STATIC_ROWS}.int8", "input_ids"], ["steps"]),
        helper.make_node("Cast", ["steps"], ["whole"], to=TensorProto.FLOAT),
        helper.make_node("Gather", [f"{STATIC_ROWS}.int8_scales", "input_ids"], ["sizes"]),
        helper.make_node("Mul", ["whole", "sizes"], ["vectors"]),
        helper.make_node("ReduceSum", ["vectors", "tokens"], ["sum"], keepdims=0),
        helper.make_node("ReduceL2", ["sum", "tokens"], ["length"], keepdims=1),
        helper.make_node("Max", ["length", "tiny"], ["floored"]),
        helper.make_node("Div", ["sum", "floored"], ["features"]),
    ]
    constants = {
        f"{STATIC_ROWS}.int8": steps,
        f"{STATIC_ROWS}.int8_scales": sizes,
        "tokens": np.array([1], np.int64),
        "tiny": np.float32(1e-6),
    }
    output, width = "features", steps.shape[1]
    if head is not None:
        nodes.append(helper.make_node("Gemm", ["features", "classifier.weight", "classifier.bias"], ["logits"]))
        constants["classifier.weight"] = np.asarray(head.weight, np.float32)
        constants["classifier.bias"] = np.asarray(head.bias, np.float32)
        output, width = "logits", len(head.bias)
    graph = helper.make_graph(
        nodes,
        "static",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "tokens"])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", width])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    opset = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION, producer_name="fewtune")
    return model.SerializeToString(deterministic=True)
