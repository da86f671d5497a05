from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fewtune.bundle.manifest import Manifest, manifest_from_json, rung_as_json, scores_as_json, scores_from_json
from fewtune.bundle.read import read_manifest, verify
from fewtune.errors import BundleError
from fewtune.runtime import open_runtime
from fewtune.types import Rung, Score, Scores


def test_what_was_written_is_what_is_read(tmp_path: Path, write: Callable[..., Manifest]) -> None:
    written = write(tmp_path / "b")
    assert read_manifest(tmp_path / "b") == written
    verify(tmp_path / "b", written)
    assert list(written.files) == ["model.onnx", "recipe.toml", "tokenizer.json", "README.md"]


def test_the_same_model_is_the_same_bytes(tmp_path: Path, write: Callable[..., Manifest]) -> None:
    for name in ("one", "two"):
        write(tmp_path / name)
    for path in (tmp_path / "one").rglob("*.*"):
        assert path.read_bytes() == (tmp_path / "two" / path.relative_to(tmp_path / "one")).read_bytes(), path.name


def test_scores_have_the_agreed_keys(scores: Scores) -> None:
    found = scores_as_json(scores)
    ends = {"value": 0.875, "low": 0.7, "high": 0.95, "n": 40, "level": 0.95, "interval_method": "Wilson"}
    assert found["accuracy"] == ends
    assert found["gain_over_baseline"] == ends
    assert found["f1_macro"]["low"] is None
    assert found["per_class"]["refund"]["precision"] == ends
    assert found["confusion"][1] == [1, 12, 0]
    assert scores_from_json(json.loads(json.dumps(found))) == scores


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf, np.float32("nan")])
def test_json_never_holds_what_is_not_finite(odd: float) -> None:
    score = Score(odd, odd, odd, 3)
    scores = Scores({"log_loss": score}, per_class={"a": {"f1": score}}, gain_over_baseline=score)
    rung = Rung("r", "head", "", {}, scores, expected_log_loss=odd, seconds=1.0)
    text = json.dumps(rung_as_json(rung), allow_nan=False)
    again = scores_from_json(json.loads(text)["scores"])
    assert math.isnan(again["log_loss"].value)
    assert again["log_loss"].low is None


def test_a_manifest_refuses_what_is_not_finite(manifest: Manifest) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        dataclasses.replace(manifest, seconds=math.inf).to_json()


SINCE = {"answer_rules", "comparisons", "learning_curve", "earlier", "attacks", "findings", "compression"}


def vars_of(value: Any) -> list[Any]:
    """What a value holds, if anything."""
    return list(dataclasses.astuple(value)) if dataclasses.is_dataclass(value) else list(value or ())  # type: ignore[arg-type]


def _set(*path: Any) -> Callable[[dict[str, Any]], None]:
    """Replace the value at a path by the last argument."""

    def change(values: Any) -> None:
        for key in path[:-2]:
            values = values[key]
        values[path[-2]] = path[-1]

    return change


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (_set("labels", "refund"), "labels"),
        (_set("labels", 0, 7), "labels.0"),
        (_set("task", None), "task"),
        (_set("seconds", "fast"), "seconds"),
        (_set("seconds", "2.5"), "seconds"),
        (_set("graphs", 0, "file", 5), "graphs.0.file"),
        (_set("graphs", 0, {"role": "classifier"}), "graphs.0"),
        (_set("files", ["model.onnx"]), "files"),
        (_set("files", "model.onnx", "abc"), "files.model.onnx"),
        (_set("files", "model.onnx", "sha256", None), "sha256"),
        (_set("licences", 0, "MIT"), "licences.0"),
        (_set("scores", "accuracy", 0.9), "scores"),
        (_set("scores", "accuracy", {"value": 0.9}), "scores"),
        (_set("scores", "per_class", [1]), "scores"),
        (_set("scores", {}), "scores"),
        (_set("seconds", math.nan), "NaN"),
        (_set("format_version", True), "format_version"),
        (_set("format_version", 0), "format_version"),
        (_set("format_version", "1"), "format_version"),
        (_set("format_version", 2), "format 2"),
    ],
)
def test_another_shape_is_refused_with_its_place(
    manifest: Manifest, change: Callable[[dict[str, Any]], None], what: str
) -> None:
    values = json.loads(
        dataclasses.replace(manifest, files={"model.onnx": {"sha256": "0", "bytes": 1}}).to_json()  # type: ignore[dict-item]
    )
    manifest_from_json(json.dumps(values), where="bundle.json")
    change(values)
    with pytest.raises(BundleError, match=what) as caught:
        manifest_from_json(json.dumps(values), where="bundle.json")
    assert caught.value.where == "bundle.json"
    assert caught.value.how


@pytest.mark.parametrize("field", [entry.name for entry in dataclasses.fields(Manifest) if entry.name not in SINCE])
def test_nothing_may_be_left_out(manifest: Manifest, field: str) -> None:
    values = json.loads(manifest.to_json())
    del values[field]
    with pytest.raises(BundleError, match=field):
        manifest_from_json(json.dumps(values), where="bundle.json")


@pytest.mark.parametrize("field", sorted(SINCE))
def test_what_earlier_bundles_lack_may_be_left_out(manifest: Manifest, field: str) -> None:
    values = json.loads(manifest.to_json())
    del values[field]
    assert not any(vars_of(getattr(manifest_from_json(json.dumps(values), where="bundle.json"), field)))


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "null", "\ufeff{}", '{"format_version": NaN}'])
def test_what_is_no_json_object_is_refused(text: str) -> None:
    with pytest.raises(BundleError):
        manifest_from_json(text, where="bundle.json")


@pytest.mark.parametrize(
    "name",
    ["../model.onnx", "a/../../x", "/etc/passwd", "C:x", "C:\\x", "..\\x", "", ".", "a//b", "./a", "a/", "a\0b"],
)
@pytest.mark.parametrize("kind", ["files", "private_files"])
def test_no_name_leads_out_of_the_bundle(bundle: Path, kind: str, name: str) -> None:
    manifest = read_manifest(bundle)
    entry = manifest.files["model.onnx"]
    odd = dataclasses.replace(manifest, **{kind: {**getattr(manifest, kind), name: entry}})
    with pytest.raises(BundleError, match="leads out"):
        verify(bundle, odd)


def test_private_files_are_checked_where_they_are_there(bundle: Path) -> None:
    manifest = read_manifest(bundle)
    private = bundle / "private" / "out_of_fold.jsonl"
    private.write_text("altered")
    with pytest.raises(BundleError, match=r"private/out_of_fold\.jsonl was altered"):
        verify(bundle, manifest)
    private.unlink()
    verify(bundle, manifest)


def test_every_graph_must_be_a_checked_file(bundle: Path) -> None:
    manifest = read_manifest(bundle)
    files = {name: entry for name, entry in manifest.files.items() if name != "model.onnx"}
    with pytest.raises(BundleError, match="not among the files"):
        verify(bundle, dataclasses.replace(manifest, files=files))


def test_a_folder_in_place_of_a_file_is_missing(bundle: Path) -> None:
    (bundle / "model.onnx").unlink()
    (bundle / "model.onnx").mkdir()
    with pytest.raises(BundleError, match="missing"):
        verify(bundle, read_manifest(bundle))


@pytest.mark.parametrize("name", ["x" * 5000, "file.csv", "file.csv/below"])
def test_what_is_no_folder_is_no_bundle(tmp_path: Path, name: str) -> None:
    (tmp_path / "file.csv").write_text("text,label")
    with pytest.raises(BundleError) as caught:
        read_manifest(tmp_path / name)
    assert caught.value.how


def test_a_file_that_cannot_be_read_is_named(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = read_manifest(bundle)

    def refuse(self: Path, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(BundleError, match=r"model\.onnx cannot be read"):
        verify(bundle, manifest)


def test_a_file_that_the_task_needs_is_named_where_it_is_gone(manifest: Manifest, tmp_path: Path) -> None:
    (graph,) = manifest.graphs
    boxes = dataclasses.replace(
        manifest, task="object-detection", graphs=(dataclasses.replace(graph, preprocess="preprocess.json"),)
    )
    with pytest.raises(BundleError, match=r"has no preprocess\.json"):
        open_runtime(tmp_path, boxes)
