from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fewtune
from fewtune.bundle.export import export_bundle
from fewtune.bundle.manifest import scores_as_json, scores_from_json
from fewtune.bundle.model_card import escape
from fewtune.bundle.read import read_manifest, verify
from fewtune.errors import BundleError, OutputError, RecipeError


@pytest.fixture
def copy(tfidf_model: fewtune.Model, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tfidf_model.bundle, tmp_path / "copy"))


def test_a_bundle_holds_what_it_says_and_no_pickle(copy: Path) -> None:
    manifest = read_manifest(copy)
    verify(copy, manifest)
    names = {path.relative_to(copy).as_posix() for path in copy.rglob("*") if path.is_file()}
    private = {f"private/{name}" for name in manifest.private_files}
    assert names == {*manifest.files, *private, "bundle.json"}
    kinds = {".html", ".json", ".jsonl", ".md", ".onnx", ".safetensors", ".toml"}
    assert {path.suffix for path in copy.rglob("*") if path.is_file()} <= kinds


def test_scores_survive_json(tfidf_model: fewtune.Model) -> None:
    scores = tfidf_model.scores
    again = scores_from_json(json.loads(json.dumps(scores_as_json(scores))))
    assert again == scores
    assert {"value", "low", "high", "n", "level", "interval_method"} == set(scores_as_json(scores)["accuracy"])


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (lambda folder: shutil.rmtree(folder), "no such bundle"),
        (lambda folder: (folder / "bundle.json").unlink(), "not a fewtune bundle"),
        (lambda folder: (folder / "bundle.json").write_text("{"), "not JSON"),
        (lambda folder: (folder / "bundle.json").write_text("[]"), "format_version"),
        (lambda folder: (folder / "bundle.json").write_text('{"format_version": 1}'), "does not say"),
        (lambda folder: (folder / "bundle.json").write_text('{"format_version": 99}'), "format 99"),
        (lambda folder: (folder / "model.onnx").unlink(), "missing"),
        (lambda folder: (folder / "tokenizer.json").write_text("{}"), "altered"),
        (lambda folder: _rename_file(folder, "../evil.onnx"), "leads out"),
        (lambda folder: _change_graph(folder, tokenizer="../../evil.json"), "leads out"),
        (lambda folder: _change_graph(folder, preprocess="/etc/passwd"), "leads out"),
    ],
)
def test_a_damaged_bundle_is_refused_in_words(copy: Path, damage: object, what: str) -> None:
    damage(copy)  # type: ignore[operator]
    with pytest.raises(BundleError, match=what) as caught:
        fewtune.load(copy)
    assert caught.value.where
    assert caught.value.how


def _change_graph(folder: Path, **names: str) -> None:
    path = folder / "bundle.json"
    stored = json.loads(path.read_text(encoding="utf-8"))
    stored["graphs"][0].update(names)
    path.write_text(json.dumps(stored), encoding="utf-8")


def _rename_file(folder: Path, name: str) -> None:
    values = json.loads((folder / "bundle.json").read_text())
    values["files"][name] = values["files"].pop("model.onnx")
    (folder / "bundle.json").write_text(json.dumps(values))


def test_the_cards_snippet_runs_without_fewtune(copy: Path, tfidf_model: fewtune.Model) -> None:
    snippet = re.findall(r"```python\n(import json.*?)```", (copy / "README.md").read_text(), re.DOTALL)[0]
    done = subprocess.run([sys.executable, "-c", snippet], cwd=copy, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == tfidf_model.predict(["Write a text here."])[0]


def test_labels_cannot_break_the_card() -> None:
    assert escape("a|b <script>\n# x `y`") == r"a\|b &lt;script&gt; \# x \`y\`"


def test_save_refuses_what_is_there_and_replaces_only_bundles(tfidf_model: fewtune.Model, tmp_path: Path) -> None:
    out = tfidf_model.save(tmp_path / "out")
    with pytest.raises(OutputError, match="already"):
        tfidf_model.save(out)
    tfidf_model.save(out, overwrite=True)
    assert fewtune.load(out).labels == tfidf_model.labels
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputError, match="not a fewtune bundle"):
        tfidf_model.save(tmp_path / "mine", overwrite=True)
    assert (tmp_path / "mine" / "thesis.txt").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "out"]


def test_an_export_leaves_training_content_out(copy: Path, tmp_path: Path) -> None:
    files = export_bundle(copy, tmp_path / "out", form="onnx")
    assert not any(name.startswith("private") for name in files)
    assert fewtune.load(tmp_path / "out").predict(["hello"])
    text = "".join(
        path.read_text() for path in (tmp_path / "out").iterdir() if path.suffix in (".md", ".toml", ".json")
    )
    assert "courier left the box in the rain" not in text
    with_data = export_bundle(copy, tmp_path / "data", form="onnx", with_data=True)
    assert "private/out_of_fold.jsonl" in with_data


def test_tfidf_has_no_place_in_transformers(copy: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no encoder"):
        export_bundle(copy, tmp_path / "out", form="hf")
    with pytest.raises(RecipeError, match="no format"):
        export_bundle(copy, tmp_path / "out", form="onx")
    assert not (tmp_path / "out").exists()


def test_sentence_transformers_gives_about_the_same_probabilities(head_model: fewtune.Model, tmp_path: Path) -> None:
    sentence_transformers = pytest.importorskip("sentence_transformers")
    export_bundle(head_model.bundle, tmp_path / "hf", form="hf")
    texts = ["Where is my parcel?", "我想换一个登录邮箱", "word " * 700]
    logits = sentence_transformers.SentenceTransformer(str(tmp_path / "hf"), device="cpu").encode(texts)
    exps = np.exp(logits - logits.max(axis=1, keepdims=True))
    # It computes in float32 where the bundle computes in 8-bit integers.
    np.testing.assert_allclose(exps / exps.sum(axis=1, keepdims=True), head_model.predict_proba(texts), atol=0.02)


def test_sizes_keep_the_promise(head_model: fewtune.Model) -> None:
    files = read_manifest(head_model.bundle).files
    assert sum(files[name].bytes for name in ("model.onnx", "tokenizer.json")) <= 100e6
