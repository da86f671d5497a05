"""A tuned encoder written in 8-bit integers, so that it computes what was tuned.

Nearly always it does. Where it does not, the layers that integers hurt are found by quantising each alone, and stay
in float: a few inputs of a layer that are far larger than all others leave a token too few steps (Bondarenko et al.
2021, arXiv:2109.12948). Where that is not enough either, the layers are tuned once more while they compute in the very
steps that the graph will have, gradients passing the rounding as if it were not there (straight-through estimator,
Bengio et al. 2013, arXiv:1308.3432; Jacob et al. 2018, arXiv:1712.05877), until they give what the float layers gave.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fewtune.backbones.bert_onnx import matrices
from fewtune.backbones.text_encoder import EncoderParts
from fewtune.interfaces import RunContext
from fewtune.runtime.text_graph import TextGraph
from fewtune.types import FloatArray

if TYPE_CHECKING:
    from fewtune.tune.layers import TunedLayers
    from fewtune.tune.objectives import Views

# Groups of layers that may stay in float, the fewest that do are taken.
_LEFT_IN_FLOAT = (1, 2, 4, 8)
_STEPS, _BATCH = 300, 16
_LEARNING_RATE = 1e-4


@dataclass(frozen=True, slots=True)
class Written:
    """An encoder as a graph.

    Attributes:
        parts: its weights.
        graph: serialised, `features` out.
        floats: linear layers that stay in float.
        cosine: to the vectors that it should give, on average.
        aware: whether it was tuned once more, in integers.
    """

    parts: EncoderParts
    graph: bytes
    floats: tuple[str, ...] = ()
    cosine: float = 1.0
    aware: bool = False


def in_integers(
    parts: EncoderParts, texts: Sequence[str], wanted: FloatArray, least: float, run: RunContext
) -> Written:
    """The encoder with as few layers in float as it takes, or what comes nearest.

    Args:
        parts: the encoder.
        texts: n texts to look at.
        wanted: (n, width) what it computes in float.
        least: cosine to that, on average over the texts, which is to be reached.
        run: threads and progress.
    """

    def written(floats: Collection[str]) -> Written:
        graph = parts.graph(floats)
        given = TextGraph(graph, parts.tokenizer_json, threads=run.threads).run(texts, "features")
        return Written(parts, graph, tuple(floats), cosine(given, wanted))

    best = written(())
    if best.cosine >= least:
        return best
    groups = matrices(parts.weights)
    all_names = {name for group in groups for name in group}
    with run.progress.step("Find the layers that integers hurt", total=len(groups)) as step:
        alone = []
        for group in groups:
            alone.append(written(sorted(all_names - set(group))).cosine)
            step.advance()
    order = np.argsort(alone, kind="stable")
    for count in _LEFT_IN_FLOAT:
        some = written([name for place in sorted(order[:count]) for name in groups[place]])
        best = max(best, some, key=lambda one: one.cosine)
        if best.cosine >= least:
            break
    return best


def tuned_in_integers(
    parts: EncoderParts, teacher: TunedLayers, views: Views, run: RunContext, unit: str
) -> EncoderParts:
    """The encoder with its tuned layers tuned once more, to give in integers what they give in float.

    Args:
        parts: the encoder, its layers as they were tuned.
        teacher: these layers.
        views: n texts as they take them.
        run: randomness and progress.
        unit: name of the training.
    """
    from fewtune.tune.imitation import Imitation
    from fewtune.tune.layers import TunedLayers
    from fewtune.tune.loop import Schedule, train
    from fewtune.tune.rounded import compute_in_steps

    student = TunedLayers(parts, count=teacher.count, embeddings=teacher.embeddings is not None)
    compute_in_steps(student)
    generator = run.generator(unit, "in integers")
    batches = [[(i, i) for i in generator.integers(len(views), size=_BATCH).tolist()] for _ in range(_STEPS)]
    objective = Imitation(student, teacher, range(teacher.count), views, batches)
    with run.progress.step("Tune once more, in 8-bit integers", total=_STEPS) as step:
        train(
            objective,
            Schedule(_STEPS, _LEARNING_RATE, warmup=0.05),
            seed_of=lambda number: run.seed_of(unit, "in integers", number),
            step=step,
        )
    return parts.tuned(student.tensors())


def cosine(first: FloatArray, second: FloatArray) -> float:
    """Between n pairs of vectors, on average."""
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return float(((first * second).sum(axis=1) / np.maximum(lengths, 1e-12)).mean())
