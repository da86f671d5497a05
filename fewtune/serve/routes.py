"""What can be asked of a bundle: what it is, what it predicts, and why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Depends, Request

from fewtune.serve import limits, schemas
from fewtune.serve.batcher import Batcher
from fewtune.serve.bundles import Version
from fewtune.serve.explain import occlusions, segments, weight
from fewtune.serve.refusals import Refusal

_WHY = {
    400: "The body is not JSON",
    401: "The token is missing or another",
    403: "Called by a name that is not of this machine",
    404: "There is no such bundle",
    408: "The body did not arrive in time",
    413: "The body is too long",
    415: "The body is not called JSON",
    422: "The request does not fit the schema, or the bundle cannot promise what it asks for",
    500: "A fault of the service",
    503: "Overloaded or stopping; Retry-After says when to try again",
    504: "The answer was not ready in time",
}


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """How the schema describes the errors of a route."""
    return {status: {"model": schemas.ErrorResponse, "description": _WHY[status]} for status in statuses}


async def only_json(request: Request) -> None:
    """Refuse what is not called JSON: a stranger's page can send anything else to this machine without asking."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Refusal(
            415,
            "The body is not called JSON.",
            where="header Content-Type",
            how="Send the header: Content-Type: application/json",
        )


def model_routes(find: Callable[..., Any], batcher: Batcher) -> APIRouter:
    """The routes of one bundle.

    Args:
        find: a dependency that gives the version to answer with.
        batcher: computes.
    """
    router, found = APIRouter(), Depends(find)
    asked = {"dependencies": [Depends(only_json)], "responses": errors(*_WHY)}

    @router.get("/info", response_model=schemas.ModelInfo, responses=errors(401, 403, 404))
    async def info(version: Version = found) -> Any:
        """Task, labels, scores and licences."""
        return describe(version)

    @router.post("/predict", response_model=schemas.PredictResponse, response_model_exclude_none=True, **asked)
    async def predict(body: schemas.PredictRequest, version: Version = found) -> Any:
        """The likeliest label of every input, and how sure the model is."""
        if body.max_error is not None or body.coverage is not None:
            return {"predictions": await _answered(version, batcher, body)}
        rows = await batcher.submit(version.probabilities, body.inputs)
        return {"predictions": [_prediction(version, row, in_full=body.probabilities) for row in rows]}

    @router.post("/explain", response_model=schemas.ExplainResponse, **asked)
    async def explain(body: schemas.ExplainRequest, version: Version = found) -> Any:
        """A prediction, and how it changes when a word is left out."""
        parts = segments(body.input, most_parts=limits.EXPLAINED_PARTS)
        texts = [body.input, *occlusions(parts)]
        whole, *without = await batcher.submit(version.probabilities, texts)
        best = whole.index(max(whole))
        left = iter(without)
        told = [_part(part.text, whole[best], next(left)[best] if part.is_part else None) for part in parts]
        return {**_prediction(version, whole, in_full=True), "parts": told}

    return router


async def _answered(version: Version, batcher: Batcher, body: schemas.PredictRequest) -> list[dict[str, Any]]:
    """Predictions with when they are unsure, and which labels are possible, as far as that was asked for."""
    goals = {"max_error": body.max_error, "coverage": body.coverage}
    version.answers([], **goals)  # a goal that cannot be promised is refused before anything is computed
    computed = await batcher.submit(version.probabilities_and_features, body.inputs)
    told = []
    for (row, _), answer in zip(computed, version.answers(computed, **goals), strict=True):
        prediction = _prediction(version, row, in_full=body.probabilities)
        if body.max_error is not None:
            prediction |= {"unsure": answer.unsure, "outside": answer.outside}
        if body.coverage is not None:
            prediction["labels"] = answer.labels
        told.append(prediction)
    return told


def describe(version: Version) -> dict[str, Any]:
    """What is told about a bundle; nothing of what it learnt from."""
    manifest = version.manifest
    return {
        "name": version.name,
        "version": version.digest,
        "task": manifest.task,
        "method": manifest.method,
        "model": manifest.model,
        "labels": manifest.labels,
        "primary_metric": manifest.primary_metric,
        "scores": manifest.scores,
        "licences": manifest.licences,
        "fewtune_version": manifest.fewtune_version,
    }


def _prediction(version: Version, row: list[float], *, in_full: bool) -> dict[str, Any]:
    labels = version.manifest.labels
    confidence = max(row)
    answer: dict[str, Any] = {"prediction": labels[row.index(confidence)], "confidence": _rounded(confidence)}
    if in_full:
        answer["probabilities"] = dict(zip(labels, map(_rounded, row), strict=True))
    return answer


def _part(text: str, confidence: float, without: float | None) -> dict[str, Any]:
    if without is None:
        return {"text": text, "weight": None, "confidence_without": None}
    return {"text": text, "weight": _rounded(weight(confidence, without)), "confidence_without": _rounded(without)}


def _rounded(number: float) -> float:
    """As `predict` writes it; more digits would hold little but the rounding of the computation."""
    return round(number, 6)
