"""bundle.json: what a bundle says of itself."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, NoReturn

from pydantic import TypeAdapter, ValidationError

from fewtune.errors import BundleError
from fewtune.types import (
    AnswerRules,
    AttackSummary,
    Comparison,
    Compression,
    Earlier,
    Finding,
    Graph,
    LearningCurve,
    LeftOut,
    Rung,
    Score,
    Scores,
)

FORMAT_VERSION = 1
_OWN_KEYS = {"per_class", "support", "confusion", "gain_over_baseline", "how"}
# What bundles of this format lack that were written before it was known.
_SINCE = {"answer_rules", "comparisons", "learning_curve", "earlier", "findings", "compression", "attacks"}
_REMEDY = "Fit or copy the bundle again."


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file of the bundle: its sha256 in hexadecimal and its size."""

    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """The contents of bundle.json.

    Attributes:
        task, method, model, labels: what was learnt, and how.
        backbone: the pretrained part: name, licence, languages, package, ...
        recipe: every setting, resolved.
        primary_metric, scores, how: what the model is worth; scores as `scores_as_json` writes them.
        resampling: the folds, in words.
        rungs, left_out: what was tried and what was not, as JSON.
        notes: what was decided on the way, in words.
        data: name, sha256, number of examples and counts of the classes.
        licences: {"part", "licence"} of every part.
        versions: of the libraries that made it.
        machine: processor, cores, threads.
        seconds, peak_memory_mb: what the fit took.
        graphs: the ONNX files and their contracts.
        answer_rules: when an answer is unsure, and which labels are possible.
        comparisons: the rung that was taken beside each of the others.
        learning_curve: scores at growing numbers of examples, and a forecast; None where it was not measured.
        earlier: what bundles were worth that this one took the place of, fewest examples first.
        findings: what `check` saw in the data, without the places.
        compression: how it was made smaller, and what that was measured to cost; None where it was not.
        attacks: what attacks on it showed, one a recipe.
        files, private_files: name to sha256 and size; private ones hold training content.
    """

    task: str
    method: str
    model: str
    labels: tuple[str, ...]
    backbone: Mapping[str, Any]
    recipe: Mapping[str, Any]
    primary_metric: str
    scores: Mapping[str, Any]
    resampling: str
    rungs: tuple[Mapping[str, Any], ...]
    left_out: tuple[Mapping[str, Any], ...]
    notes: tuple[str, ...]
    data: Mapping[str, Any]
    licences: tuple[Mapping[str, str], ...]
    versions: Mapping[str, str]
    machine: Mapping[str, Any]
    seconds: float
    peak_memory_mb: float
    graphs: tuple[Graph, ...]
    fewtune_version: str
    answer_rules: AnswerRules = field(default_factory=AnswerRules)
    comparisons: tuple[Comparison, ...] = ()
    learning_curve: LearningCurve | None = None
    earlier: tuple[Earlier, ...] = ()
    findings: tuple[Finding, ...] = ()
    compression: Compression | None = None
    attacks: tuple[AttackSummary, ...] = ()
    format_version: int = FORMAT_VERSION
    files: Mapping[str, FileEntry] = field(default_factory=dict)
    private_files: Mapping[str, FileEntry] = field(default_factory=dict)

    def graph(self, role: str) -> Graph:
        """The graph of a role. Raises BundleError where there is none."""
        for graph in self.graphs:
            if graph.role == role:
                return graph
        raise BundleError(f"The bundle has no graph for the role {role!r}.", how="Fit it again.")

    def to_json(self) -> str:
        """As bundle.json holds it; NaN and infinities are refused."""
        return json.dumps(asdict(self), ensure_ascii=False, indent=2, allow_nan=False) + "\n"


def manifest_from_json(text: str, *, where: str) -> Manifest:
    """Read bundle.json.

    Raises:
        BundleError: it is not JSON, is of a newer format, lacks something, or holds something of another type.
    """
    _check_version(text, where)
    try:
        manifest = TypeAdapter(Manifest).validate_json(text, strict=True)
        scores_from_json(manifest.scores)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise BundleError(f"{place} is malformed: {first['msg']}.", where=where, how=_REMEDY) from None
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise BundleError(f"The scores are malformed ({error!r}).", where=where, how=_REMEDY) from None
    return manifest


def _check_version(text: str, where: str) -> None:
    """What must hold before the types can be checked: a newer format may have other ones."""
    try:
        values = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"This is not JSON: {error}.", where=where, how=_REMEDY) from None
    version = values.get("format_version") if isinstance(values, dict) else None
    if type(version) is not int or version < 1:
        raise BundleError("This is not a fewtune bundle: it has no format_version.", where=where, how=_REMEDY)
    if version > FORMAT_VERSION:
        raise BundleError(
            f"The bundle is of format {version}, and this fewtune reads up to {FORMAT_VERSION}.",
            where=where,
            how="Upgrade fewtune: pip install --upgrade fewtune",
        )
    missing = [entry.name for entry in fields(Manifest) if entry.name not in values and entry.name not in _SINCE]
    if missing:
        raise BundleError(f"The bundle does not say: {', '.join(missing)}.", where=where, how=_REMEDY)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"it holds {name}")


def scores_as_json(scores: Scores) -> dict[str, Any]:
    """Scores as bundle.json and `--json` hold them: metrics beside per_class, support, confusion, ...

    What is not finite becomes null: JSON has no infinity.
    """
    found: dict[str, Any] = {name: _score_as_json(score) for name, score in scores.metrics.items()}
    found["per_class"] = {
        label: {name: _score_as_json(score) for name, score in metrics.items()}
        for label, metrics in scores.per_class.items()
    }
    found["support"] = dict(scores.support)
    found["confusion"] = [list(row) for row in scores.confusion]
    found["gain_over_baseline"] = _score_as_json(scores.gain_over_baseline) if scores.gain_over_baseline else None
    found["how"] = scores.how
    return found


def _score_as_json(score: Score) -> dict[str, Any]:
    ends = {name: _finite(getattr(score, name)) for name in ("value", "low", "high")}
    return {**asdict(score), **ends}


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def scores_from_json(values: Mapping[str, Any]) -> Scores:
    """The inverse of `scores_as_json`; a value of null becomes NaN."""
    gain = values["gain_over_baseline"]
    return Scores(
        metrics={name: _score_from_json(score) for name, score in values.items() if name not in _OWN_KEYS},
        per_class={
            label: {name: _score_from_json(score) for name, score in metrics.items()}
            for label, metrics in values["per_class"].items()
        },
        support=dict(values["support"]),
        confusion=tuple(tuple(row) for row in values["confusion"]),
        gain_over_baseline=_score_from_json(gain) if gain else None,
        how=values["how"],
    )


def _score_from_json(values: Mapping[str, Any]) -> Score:
    value = values["value"]
    return Score(**{**values, "value": math.nan if value is None else float(value)})


def rung_as_json(rung: Rung) -> dict[str, Any]:
    """A rung as bundle.json and `--json` hold it."""
    return {
        "name": rung.name,
        "method": rung.method,
        "model": rung.model,
        "settings": dict(rung.settings),
        "scores": scores_as_json(rung.scores),
        "expected_log_loss": _finite(rung.expected_log_loss),
        "seconds": round(rung.seconds, 3),
        "predicted_seconds": None if rung.predicted_seconds is None else round(rung.predicted_seconds, 3),
        "resampling": rung.resampling,
        "tune_seconds": None if rung.tune_seconds is None else round(rung.tune_seconds, 3),
    }


def left_out_as_json(left_out: LeftOut) -> dict[str, Any]:
    """A rung that was not tried, or not taken, as bundle.json and `--json` hold it."""
    return asdict(left_out)
