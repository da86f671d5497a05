"""The path: what is kept, what is refused, and that nothing half-done is left behind."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import fewtune
from fewtune import catalog, pipeline
from fewtune.bundle.manifest import Manifest
from fewtune.bundle.read import read_manifest, verify
from fewtune.compress.path import Wishes
from fewtune.errors import BundleError, DataError, OutputError, RecipeError
from fewtune.interfaces import Compressor, Content, RunContext
from fewtune.types import Example, Footprint
from tests.compress.conftest import texts


class _Changed(Compressor):
    """Changes one initializer of the graph: what a compressor that does harm does."""

    option = "to"
    tasks = ("text-classification",)
    help = "for tests"

    def __init__(self, name: str, change: Callable[[np.ndarray], np.ndarray], *, padding: int = 0) -> None:
        self.name = name  # type: ignore[misc]
        self._change, self._padding = change, padding

    def obstacle(self, content: Content) -> str:
        return ""

    def compress(
        self, content: Content, examples: Sequence[Example], strength: float | None, run: RunContext
    ) -> Content:
        (file,) = content.graphs
        model = onnx.load_from_string(content.graphs[file])
        for tensor in model.graph.initializer:
            if tensor.name == "classifier.weight":
                changed = self._change(numpy_helper.to_array(tensor)).astype(np.float32)
                tensor.CopyFrom(numpy_helper.from_array(changed, tensor.name))
        model.doc_string = "x" * self._padding
        shorter = {name: asset.replace(b" ", b"") for name, asset in content.assets.items()}
        return replace(content, graphs={file: model.SerializeToString()}, assets=shorter)


@pytest.fixture
def more(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Adds compressors to the catalog, and takes the clock out: on a busy machine it decides nothing here."""
    built_in = catalog.compressors()

    def add(*compressors: Compressor, ms: Mapping[int, float] | None = None) -> None:
        known = {**built_in, **{some.name: some for some in compressors}}
        monkeypatch.setattr(catalog, "compressors", lambda: known)
        times = ms or {}

        def footprints(bundles: Sequence[Any], inputs: Any, threads: int, *_: Any) -> list[Footprint]:
            from fewtune.compress.footprint import size_bytes

            return [
                Footprint(size_bytes(manifest) / 1e6, times.get(place, 5.0), 9.0, 100.0, 50.0, 90.0)
                for place, (_, manifest, _) in enumerate(bundles)
            ]

        monkeypatch.setattr("fewtune.compress.path.footprints", footprints)

    return add


def labelled(path: Path, count: int, bundle: Path) -> Path:
    """A file of texts with the answers of the bundle as their labels; none of them is a training text."""
    fresh = [f"{text} {number}" for number, (text, _) in enumerate(texts(count))]
    rows = zip(fresh, fewtune.load(bundle, threads=1).predict(fresh), strict=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    return path


def test_it_is_smaller_answers_the_same_and_says_so(bundle: Path, tmp_path: Path) -> None:
    """Everything for real: measured in this process and in fresh ones."""
    out = tmp_path / "small.fewtune"
    found = pipeline.compress(bundle, out, Wishes(prune="vocabulary:0.6", max_drop=0.05))
    manifest = read_manifest(out)
    verify(out, manifest)
    if not found.kept:  # on a busy machine the clock may speak against it
        assert found.trades[1].failed == ("speed",)
        return
    assert manifest.compression == found
    assert [trade.name for trade in found.trades] == ["original", "vocabulary:0.6"]
    original, smaller = (trade.footprint for trade in found.trades)
    assert smaller.size_mb < original.size_mb
    assert min(original.load_ms, original.p50_ms, original.per_second, smaller.peak_memory_mb) > 0
    assert found.trades[1].evidence is not None
    assert found.trades[1].evidence.by == "probabilities"
    assert not found.trades[1].evidence.proven
    assert "training examples" in found.measured_on
    probed = [text for text, _ in texts(40)]
    before, after = (fewtune.load(some).predict_proba(probed) for some in (bundle, out))
    assert np.abs(before - after).max() <= 0.05
    assert (out / "private" / "out_of_fold.jsonl").read_bytes() == (bundle / "private/out_of_fold.jsonl").read_bytes()
    assert "What being smaller costs" in (out / "README.md").read_text(encoding="utf-8")
    page = (out / "private" / "report.html").read_text(encoding="utf-8")
    assert "What being smaller costs" in page
    assert "变小的代价" in page
    assert not list(tmp_path.glob("*.compressing"))


def test_the_command(bundle: Path, tmp_path: Path, more: Callable[..., None]) -> None:
    from typer.testing import CliRunner

    from fewtune.cli import app

    more()
    out = tmp_path / "small"
    done = CliRunner().invoke(app, ["compress", str(bundle), "--out", str(out), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["kept"] is True
    again = CliRunner().invoke(app, ["compress", str(out), "--out", str(tmp_path / "smaller"), "--json"])
    assert again.exit_code == 2
    assert "compressed already" in json.loads(again.stdout)["error"]["what"]
    shown = CliRunner().invoke(app, ["compress", str(bundle), "--out", str(out), "--overwrite"])
    assert shown.exit_code == 0, shown.output


def test_labels_prove_it(bundle: Path, tmp_path: Path, more: Callable[..., None]) -> None:
    more()
    data = labelled(tmp_path / "new.csv", 400, bundle)
    found = pipeline.compress(bundle, tmp_path / "small", Wishes(prune="vocabulary"), data=str(data))
    assert found.kept
    evidence = found.trades[1].evidence
    assert evidence is not None
    assert (evidence.by, evidence.proven, evidence.inputs) == ("labels", True, 400)
    assert found.trades[0].score == 1


def test_answers_that_change_are_not_delivered(bundle: Path, tmp_path: Path, more: Callable[..., None]) -> None:
    more(_Changed("reversed", lambda weight: -weight))
    data = labelled(tmp_path / "new.csv", 400, bundle)
    out = tmp_path / "small"
    found = pipeline.compress(bundle, out, Wishes(to="reversed"), data=str(data))
    assert not found.kept
    assert found.trades[1].failed == ("score",)
    assert "answers too differently" in found.words
    # The original, byte for byte.
    assert {path.name: path.read_bytes() for path in out.glob("*.*")} == {
        path.name: path.read_bytes() for path in bundle.glob("*.*")
    }


def test_what_is_not_smaller_is_not_delivered(bundle: Path, tmp_path: Path, more: Callable[..., None]) -> None:
    more(_Changed("larger", lambda weight: weight, padding=100_000))
    found = pipeline.compress(bundle, tmp_path / "small", Wishes(to="larger"))
    assert not found.kept
    assert found.trades[1].failed == ("size",)


def test_what_is_slower_is_not_delivered(bundle: Path, tmp_path: Path, more: Callable[..., None]) -> None:
    more(_Changed("slower", lambda weight: weight), ms={1: 8.0})
    found = pipeline.compress(bundle, tmp_path / "small", Wishes(to="slower"))
    assert not found.kept
    assert "slower here" in found.words


def test_the_best_that_could_be_reached_is_told(bundle: Path, tmp_path: Path, more: Callable[..., None]) -> None:
    more()
    out = tmp_path / "small"
    with pytest.raises(RecipeError, match=r"0\.001 MB cannot be reached: the best .* MB \(vocabulary"):
        pipeline.compress(bundle, out, Wishes(prune="vocabulary", target_mb=0.001))
    with pytest.raises(RecipeError, match=r"1 ms cannot be reached"):
        pipeline.compress(bundle, out, Wishes(prune="vocabulary", target_ms=1.0))
    assert not out.exists()
    assert not list(tmp_path.glob("*.compressing"))


def test_a_compressed_bundle_is_refused(bundle: Path, tmp_path: Path, more: Callable[..., None]) -> None:
    more()
    small = tmp_path / "small"
    assert pipeline.compress(bundle, small, Wishes()).kept
    with pytest.raises(BundleError, match="compressed already"):
        pipeline.compress(small, tmp_path / "smaller", Wishes())


def test_an_altered_file_is_refused(bundle: Path, tmp_path: Path) -> None:
    model = bundle / "model.onnx"
    model.write_bytes(model.read_bytes()[:-1] + b"x")
    with pytest.raises(BundleError, match="sha256"):
        pipeline.compress(bundle, tmp_path / "small", Wishes())


def test_without_data_it_asks_for_some(tmp_path: Path, write: Callable[..., Manifest]) -> None:
    bundle = tmp_path / "bare"
    write(bundle, training=0)
    with pytest.raises(DataError, match="nothing to measure on") as caught:
        pipeline.compress(bundle, tmp_path / "small", Wishes())
    assert "--data" in caught.value.how


def test_unlabelled_data_do(bundle: Path, tmp_path: Path, more: Callable[..., None]) -> None:
    more()
    file = tmp_path / "new.csv"
    file.write_text("text\n" + "\n".join(f"where is number {i}" for i in range(400)) + "\n")
    found = pipeline.compress(bundle, tmp_path / "small", Wishes(prune="vocabulary:1"), data=str(file))
    evidence = found.trades[1].evidence
    assert evidence is not None
    assert evidence.drop is None
    assert found.trades[0].score is None


@pytest.mark.parametrize(
    ("wishes", "match"),
    [
        (Wishes(prune="vocabularies"), "no 'vocabularies'"),
        (Wishes(prune="vocabulary:7"), "strength '7'"),
        (Wishes(prune="vocabulary:x"), "strength 'x'"),
        (Wishes(max_drop=1.5), "cannot be allowed"),
        (Wishes(target_mb=-1.0), "target cannot be"),
        (Wishes(distill="nothing-like-it"), "no 'nothing-like-it'"),
    ],
)
def test_wishes_that_cannot_be(wishes: Wishes, match: str, bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=match):
        pipeline.compress(bundle, tmp_path / "small", wishes)


def test_places_that_cannot_be(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError):
        pipeline.compress(bundle, bundle, Wishes())
    with pytest.raises(OutputError, match="take the place"):
        pipeline.compress(bundle, bundle, Wishes(), overwrite=True)


def test_a_folder_of_somebody_else_is_not_deleted(bundle: Path, tmp_path: Path, more: Callable[..., None]) -> None:
    more()
    theirs = tmp_path / "small.compressing"
    theirs.mkdir()
    (theirs / "thesis.txt").write_text("mine")
    with pytest.raises(OutputError, match="did not make"):
        pipeline.compress(bundle, tmp_path / "small", Wishes())
    assert (theirs / "thesis.txt").read_text() == "mine"


def test_what_an_interrupted_run_left_makes_place(
    bundle: Path, tmp_path: Path, more: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    more()
    out, left = tmp_path / "small", tmp_path / "small.compressing"
    with monkeypatch.context() as killed:
        killed.setattr("fewtune.compress.path.shutil.rmtree", lambda *_, **__: None)
        killed.setattr("fewtune.compress.path._Session.deliver", lambda *_, **__: None)
        pipeline.compress(bundle, out, Wishes())
    assert left.is_dir()
    assert pipeline.compress(bundle, out, Wishes()).kept
    assert not left.exists()


def test_what_has_no_encoder_says_so(tfidf_model: fewtune.Model, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="table of embeddings"):
        pipeline.compress(tfidf_model.bundle, tmp_path / "small", Wishes(prune="vocabulary"))
    with pytest.raises(RecipeError, match="nothing to make smaller"):
        pipeline.compress(tfidf_model.bundle, tmp_path / "small", Wishes())


def test_the_record_survives_json(bundle: Path, tmp_path: Path, more: Callable[..., None]) -> None:
    more()
    out = tmp_path / "small"
    found = pipeline.compress(bundle, out, Wishes())
    stored = json.loads((out / "bundle.json").read_text(encoding="utf-8"))["compression"]
    assert stored["name"] == found.name
    assert stored["trades"][1]["evidence"]["by"] in ("labels", "answers", "probabilities")
