from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fewtune.backbones.bert_onnx import Pooling
from fewtune.bundle import export as exporting
from fewtune.bundle.export import export_bundle
from fewtune.bundle.manifest import Manifest
from fewtune.errors import BundleError, OutputError, RecipeError
from fewtune.runtime import open_classifier

TEXTS = ["where is my parcel", "谢 谢 很 好", "", "refund " * 40, "what"]


@pytest.mark.parametrize(("pooling", "normalised"), [("mean", True), ("mean", False), ("cls", True), ("cls", False)])
def test_sentence_transformers_gives_the_same_logits(
    tmp_path: Path,
    write: Callable[..., Manifest],
    pooling: Pooling,
    normalised: bool,
    capfd: pytest.CaptureFixture[str],
) -> None:
    sentence_transformers = pytest.importorskip("sentence_transformers")
    write(tmp_path / "b", pooling=pooling, normalised=normalised)
    files = export_bundle(tmp_path / "b", tmp_path / "hf", form="hf")
    assert not any(name.startswith("private") for name in files)
    model = sentence_transformers.SentenceTransformer(str(tmp_path / "hf"), device="cpu")
    assert len(list(model.children())) == (4 if normalised else 3)
    assert "MISSING" not in "".join(capfd.readouterr())
    logits = model.encode(TEXTS)
    expected = open_classifier(tmp_path / "b", threads=1)[1].log_probs(TEXTS)
    logits = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    # Random weights, and float32 there against 8-bit integers here: close, not equal.
    np.testing.assert_allclose(logits, expected, atol=0.3)
    assert (logits.argmax(axis=1) == expected.argmax(axis=1)).all()
    assert np.ptp(expected, axis=0).max() > 0.05  # the texts do differ


def test_the_exports_snippet_runs(bundle: Path, tmp_path: Path) -> None:
    pytest.importorskip("sentence_transformers")
    export_bundle(bundle, tmp_path / "hf", form="hf")
    card = (tmp_path / "hf" / "README.md").read_text(encoding="utf-8")
    (snippet,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-X", "utf8", "-c", snippet],
        cwd=tmp_path / "hf",
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    manifest, runtime = open_classifier(bundle, threads=1)
    assert done.stdout.strip() == manifest.labels[runtime.log_probs(["Write a text here."]).argmax()]


def test_exporting_for_transformers_needs_no_torch(bundle: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from fewtune.bundle.export import export_bundle\n"
        "export_bundle(Path(sys.argv[1]), Path(sys.argv[2]), form='hf')\n"
        "print([name for name in ('torch', 'transformers') if name in sys.modules])"
    )
    arguments = [sys.executable, "-c", code, str(bundle), str(tmp_path / "hf")]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_onnx_export_is_a_whole_bundle_with_its_contract(bundle: Path, tmp_path: Path) -> None:
    export_bundle(bundle, tmp_path / "out", form="onnx")
    manifest, runtime = open_classifier(tmp_path / "out", threads=1)
    np.testing.assert_array_equal(runtime.log_probs(TEXTS), open_classifier(bundle, threads=1)[1].log_probs(TEXTS))
    assert set(manifest.graph("classifier").inputs) == {"input_ids", "attention_mask"}
    assert "my card number" not in "".join(
        path.read_text(encoding="utf-8", errors="replace") for path in (tmp_path / "out").rglob("*.*")
    )


def test_private_files_that_are_not_there_cannot_be_exported(bundle: Path, tmp_path: Path) -> None:
    export_bundle(bundle, tmp_path / "once", form="onnx")
    files = export_bundle(tmp_path / "once", tmp_path / "twice", form="onnx", with_data=True)
    assert not any(name.startswith("private") for name in files)


def test_training_content_has_no_place_in_transformers(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no place for training content"):
        export_bundle(bundle, tmp_path / "out", form="hf", with_data=True)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("form", ["onnx", "hf"])
def test_only_what_exists_and_is_ours_is_overwritten(bundle: Path, tmp_path: Path, form: str) -> None:
    out = tmp_path / "out"
    export_bundle(bundle, out, form=form)
    with pytest.raises(OutputError, match="already"):
        export_bundle(bundle, out, form=form)
    (out / "stale.txt").write_text("of the last export")
    export_bundle(bundle, out, form=form, overwrite=True)
    assert not (out / "stale.txt").exists()


@pytest.mark.parametrize(
    "files",
    [
        {"thesis.txt": "years of work"},
        {"modules.json": "[]", "config.json": json.dumps({"model_type": "bert"})},
        {"config.json": "not json"},
    ],
)
def test_anothers_folder_is_never_overwritten(bundle: Path, tmp_path: Path, files: dict[str, str]) -> None:
    out = tmp_path / "mine"
    out.mkdir()
    for name, content in files.items():
        (out / name).write_text(content)
    with pytest.raises(OutputError, match="not a fewtune export"):
        export_bundle(bundle, out, form="hf", overwrite=True)
    assert sorted(path.name for path in out.iterdir()) == sorted(files)


def test_an_export_cannot_take_the_bundles_own_place(bundle: Path) -> None:
    with pytest.raises(OutputError, match="the bundle itself"):
        export_bundle(bundle, bundle, form="onnx", overwrite=True)
    assert (bundle / "private" / "out_of_fold.jsonl").exists()


def test_a_failed_export_leaves_the_old_one(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    before = export_bundle(bundle, out, form="onnx")

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(exporting, "write_file", refuse)
    with pytest.raises(OutputError, match="disk is full"):
        export_bundle(bundle, out, form="onnx", overwrite=True)
    assert sorted(path.name for path in out.iterdir()) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", bundle.name]


def test_an_altered_bundle_is_not_exported(bundle: Path, tmp_path: Path) -> None:
    (bundle / "model.onnx").write_bytes(b"other")
    with pytest.raises(BundleError, match="altered"):
        export_bundle(bundle, tmp_path / "out", form="onnx")
    assert not (tmp_path / "out").exists()
