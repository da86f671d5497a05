"""What every rung for pictures shares: which networks can be used, what encoding takes, what is delivered."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

from fewtune.backbones.bert_onnx import with_linear_head
from fewtune.backbones.vision import VisionBackbone
from fewtune.errors import MissingExtraError
from fewtune.interfaces import Fitted, RunContext
from fewtune.recipe import Recipe
from fewtune.tune.linear_head import LinearHead
from fewtune.types import FloatArray, Graph, LeftOut

_NEEDS = ("torch", "timm", "lightning")
_PROBE_PICTURES = 12


def usable_networks(
    method: str, networks: Sequence[VisionBackbone], recipe: Recipe
) -> tuple[list[VisionBackbone], list[LeftOut]]:
    """The networks that are installed; the others with the reason why not.

    Raises:
        MissingExtraError: no picture can be learnt from: what it needs is not installed.
    """
    if any(find_spec(package) is None for package in _NEEDS):
        raise MissingExtraError("train", needed_for="Learning from pictures", where="--task")
    usable = [network for network in networks if network.info.installed or recipe.model != "auto"]
    missing = [network.info for network in networks if network not in usable]
    return usable, [
        LeftOut(f"{method}:{info.name}", f'it is not installed: pip install "fewtune[{info.extra}]"')
        for info in missing
    ]


def encoding_seconds(network: VisionBackbone, paths: Sequence[str], cut: int | None, run: RunContext) -> float:
    """What decoding and encoding one view of each picture takes, from a few of them.

    Args:
        network: is opened by this, if it was not.
        paths: of the pictures.
        cut: stages of the trunk; None: the whole network.
        run: threads.
    """
    sample = list(paths)[:: max(1, len(paths) // _PROBE_PICTURES)][:_PROBE_PICTURES]

    def encode(some: Sequence[str]) -> None:
        squares = [network.preprocess.square(path) for path in some]
        if cut is None:
            network.features(squares, threads=run.threads)
        else:
            network.maps(squares, cut, threads=run.threads)

    encode(sample[:1])
    started = time.perf_counter()
    encode(sample)
    return (time.perf_counter() - started) * len(paths) / len(sample)


def fitted_network(
    network: VisionBackbone,
    graph: bytes,
    head: LinearHead,
    reference: Callable[[Sequence[Any]], FloatArray],
    seconds: float,
) -> Fitted:
    """A network with its head, ready to be written.

    Args:
        network: the pretrained one.
        graph: `pixels` in, `features` out; tuned or not.
        head: what turns features into logits.
        reference: n pictures to the (n, classes) log probabilities that the bundle must give.
        seconds: what the tuning took.
    """
    size, info = network.preprocess.size_px, network.info
    contract = Graph(
        role="classifier",
        file="model.onnx",
        inputs={"pixels": f"float32 [batch, 3, {size}, {size}]: a picture as preprocess.json says"},
        outputs={
            "logits": f"float32 [batch, {len(head.bias)}]: softmax gives the labels' probabilities",
            "features": f"float32 [batch, {len(head.weight)}]: the network's vector of the picture",
        },
        tokenizer="",
        preprocess="preprocess.json",
    )
    return Fitted(
        graphs={"model.onnx": with_linear_head(graph, head.weight, head.bias)},
        contracts=(contract,),
        assets={"preprocess.json": network.preprocess.to_json()},
        backbone={
            "name": info.name,
            "licence": info.licence,
            "package": info.package,
            "size_px": size,
            **network.made_by,
        },
        reference=reference,
        seconds=seconds,
    )
