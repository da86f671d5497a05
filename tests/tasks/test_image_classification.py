"""Pictures from class folders to a bundle and its answers, on real weights and on tiny ones."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("timm")
from PIL import Image

import fewtune
from fewtune import pipeline
from fewtune.errors import DataError, RecipeError
from fewtune.recipe import make_recipe, read_recipe
from fewtune.runtime.picture_graph import PictureGraph
from fewtune.runtime.preprocess import preprocess_from_json
from tests.backbones.test_vision import tiny_timm, tiny_transformers
from tests.exported import on_its_side, run_card
from tests.pictures import class_folders, draw, needs_network, odd_pictures

QUICK = {"epochs": 2, "stop": 1.0}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    class_folders(folder / "shapes", 6)
    class_folders(folder / "test", 5, start=100)
    tiny_timm(folder / "tiny")
    return folder


@pytest.fixture(scope="module")
def model(place: Path) -> fewtune.Model:
    return fewtune.fit(place / "shapes", method="head", out=place / "shapes.fewtune", test=str(place / "test"))


def cli(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fewtune", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def fit_tiny(place: Path, out: Path, method: str, **options: Any) -> fewtune.Model:
    return fewtune.fit(
        place / "shapes", model=str(place / "tiny"), method=method, out=out, budget="1h", threads=1, **options
    )


@needs_network
def test_a_few_drawn_pictures_make_a_good_model(model: fewtune.Model, place: Path) -> None:
    assert model.task == "image-classification"
    assert model.labels == ("disc", "lines")
    assert model.evaluate(place / "test").scores["accuracy"].value >= 0.9
    assert model.scores["accuracy"].n >= 8


@needs_network
def test_the_bundle_answers_for_paths_and_for_open_pictures(model: fewtune.Model, place: Path) -> None:
    paths = sorted((place / "test").glob("*/*.png"))
    by_path = model.predict_proba(paths)
    opened = [Image.open(path) for path in paths]
    assert np.array_equal(by_path, model.predict_proba(opened))
    assert np.abs(by_path.sum(axis=1) - 1).max() < 1e-6
    one_by_one = np.concatenate([model.predict_proba([str(path)]) for path in paths])
    assert np.abs(by_path - one_by_one).max() < 1e-5


@needs_network
def test_odd_pictures_get_an_answer_and_bad_ones_a_message(model: fewtune.Model, tmp_path: Path) -> None:
    paths = [path for _, path in odd_pictures(tmp_path)]
    assert len(model.predict(paths)) == len(paths)
    assert model.predict_proba([]).shape == (0, 2)
    (tmp_path / "bad.jpg").write_bytes(b"bad")
    with pytest.raises(DataError, match="not a picture"):
        model.predict([*paths, tmp_path / "bad.jpg"])
    for wrong in ("a.jpg", Path("a.jpg")):
        with pytest.raises(TypeError, match="list of pictures"):
            model.predict(wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="path or a Pillow picture"):
        model.predict([3])


@needs_network
def test_what_the_card_says_without_fewtune_gives_the_same(model: fewtune.Model, place: Path, tmp_path: Path) -> None:
    card = (model.bundle / "README.md").read_text()
    snippet = next(part for part in card.split("```python\n")[1:] if "preprocess.json" in part).split("```")[0]
    picture = place / "test" / "disc" / "100.png"
    code = f"import os; os.chdir({str(model.bundle)!r})\n" + snippet.replace("picture.jpg", str(picture))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == model.predict([picture])[0]


@needs_network
def test_predictions_need_no_torch(model: fewtune.Model, place: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom fewtune.runtime import open_classifier\n"
        f"_, runtime = open_classifier(Path({str(model.bundle)!r}))\n"
        f"print(runtime.log_probs([{str(place / 'test' / 'disc' / '100.png')!r}]).shape)\n"
        "print([name for name in ('torch', 'timm', 'torchvision', 'sklearn') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["(1, 2)", "[]"]


@needs_network
def test_the_command_line_takes_a_picture_a_folder_a_glob_and_a_listing(
    model: fewtune.Model, place: Path, tmp_path: Path
) -> None:
    test = place / "test"
    (test / "list.csv").write_text("id,path\n7,disc/100.png\n8,lines/101.png\n")
    out = tmp_path / "answers.csv"
    for source, count in ((test / "disc" / "100.png", 1), (test / "disc", 5), (f"{test}/*/*.png", 10)):
        done = cli("predict", model.bundle, source, "--out", out)
        assert done.returncode == 0, done.stderr
        with out.open() as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == count
        assert list(rows[0]) == ["path", "prediction", "confidence"]
    done = cli("predict", model.bundle, test / "list.csv", "--out", out)
    with out.open() as file:
        assert [(row["id"], row["path"]) for row in csv.DictReader(file)] == [
            ("7", "disc/100.png"),
            ("8", "lines/101.png"),
        ]
    (test / "list.csv").unlink()


@needs_network
def test_json_has_the_shapes_that_texts_have(model: fewtune.Model, place: Path) -> None:
    found = json.loads(cli("predict", model.bundle, place / "test" / "disc", "--json").stdout)
    assert set(found["predictions"][0]) == {"prediction", "confidence"}
    scores = json.loads(cli("evaluate", model.bundle, place / "test", "--json").stdout)["scores"]
    assert {"accuracy", "f1_macro", "log_loss", "ece", "per_class", "gain_over_baseline"} <= set(scores)
    checked = json.loads(cli("check", place / "shapes", "--json").stdout)
    assert (checked["task"], checked["examples"]) == ("image-classification", 12)


def test_a_bad_picture_ends_with_status_2_and_no_traceback(place: Path, tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "shapes", 2)
    (folder / "disc" / "bad.jpg").write_bytes(b"bad")
    done = cli("fit", folder, "--out", tmp_path / "out", "--json")
    assert done.returncode == 2
    assert "disc/bad.jpg" in json.loads(done.stdout)["error"]["where"]
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


@needs_network
def test_exports(model: fewtune.Model, tmp_path: Path) -> None:
    files = pipeline.export(model.bundle, tmp_path / "onnx", form="onnx")
    assert {"model.onnx", "preprocess.json", "bundle.json"} <= set(files)
    with pytest.raises(RecipeError, match="also reads"):
        pipeline.export(model.bundle, tmp_path / "hf", form="hf")


def test_timm_loads_the_export_and_answers_the_same(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import timm
    import torch

    model = fit_tiny(place, tmp_path / "out", "full", settings=QUICK, compress="none")
    pipeline.export(model.bundle, tmp_path / "hf", form="hf")
    loaded = timm.create_model(f"local-dir:{tmp_path / 'hf'}", pretrained=True).eval()
    pictures = sorted(str(path) for path in (place / "shapes").rglob("*.png"))[:4]
    preprocess = preprocess_from_json((model.bundle / "preprocess.json").read_bytes(), where="")
    with torch.no_grad():
        pixels = torch.from_numpy(preprocess.pixels([preprocess.square(path) for path in pictures]))
        given = loaded(pixels).softmax(dim=1).numpy()
    np.testing.assert_allclose(given, model.predict_proba(pictures), atol=1e-3)
    assert loaded.pretrained_cfg["label_names"] == list(model.labels)
    config = timm.data.resolve_model_data_config(loaded)
    assert config["input_size"] == (3, preprocess.size_px, preprocess.size_px)
    assert tuple(config["mean"]) == preprocess.mean
    picture = Path(pictures[0])
    names = run_card(tmp_path / "hf", picture, monkeypatch)
    turned = run_card(tmp_path / "hf", on_its_side(picture, tmp_path), monkeypatch)
    assert torch.equal(turned["logits"], names["logits"])


@pytest.mark.parametrize("method", ["head", "partial", "full"])
def test_each_method_delivers_a_bundle_that_its_recipe_makes_again(place: Path, tmp_path: Path, method: str) -> None:
    settings = {} if method == "head" else QUICK
    model = fit_tiny(place, tmp_path / "a", method, settings=settings)
    assert model.manifest.method == method
    recipe = make_recipe(read_recipe(model.bundle / "recipe.toml") | {"data": str(place / "shapes")})
    again = pipeline.fit(recipe, out=tmp_path / "b")
    for name in ("model.onnx", "preprocess.json"):
        assert (model.bundle / name).read_bytes() == (again.bundle / name).read_bytes()


def test_tuning_tunes(place: Path, tmp_path: Path) -> None:
    """The delivered features of a tuned network are not those of the pretrained one."""
    paths = sorted(str(path) for path in (place / "shapes").glob("*/*.png"))
    plain, tuned = (
        fit_tiny(place, tmp_path / name, "partial", settings=QUICK | {"learning_rate": rate})
        for name, rate in (("a", 1e-9), ("b", 1e-2))
    )
    ours, theirs = (some._classifier.features(paths) for some in (plain, tuned))
    assert np.abs(ours - theirs).max() > 1e-4


def test_each_view_passes_the_trunk_once(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over epochs, folds, repeats and the final training."""
    seen: list[int] = []
    run = PictureGraph._compute

    def counting(self: PictureGraph, squares: list[np.ndarray], outputs: list[str], step: Any) -> list:
        if outputs == ["maps"]:
            seen.append(len(squares))
        return run(self, squares, outputs, step)

    monkeypatch.setattr(PictureGraph, "_compute", counting)
    monkeypatch.setattr("fewtune.tune.picture_tuned.PictureTunedCandidate.foresee", lambda *_: None)
    fit_tiny(place, tmp_path / "out", "partial", settings=QUICK)
    assert sum(seen) == 12 * 4


def test_auto_tells_of_every_rung_and_blends_them(place: Path, tmp_path: Path) -> None:
    model = fit_tiny(place, tmp_path / "out", "auto")
    assert model.result is not None
    told = {rung.name.partition(":")[0] for rung in model.result.rungs}
    told |= {some.name.partition(":")[0] for some in model.result.left_out}
    assert {"head", "partial", "full"} <= told
    assert set(model.predict([draw("disc", 5)])) <= {"disc", "lines"}


def test_a_network_that_cannot_be_cut_is_tuned_as_a_whole(place: Path, tmp_path: Path) -> None:
    folder = tiny_transformers(tmp_path / "swin", "swin")
    options: dict[str, Any] = {"model": str(folder), "settings": QUICK, "budget": "1h", "threads": 1}
    model = fewtune.fit(place / "shapes", method="full", out=tmp_path / "a", **options)
    assert model.manifest.method == "full"
    with pytest.raises(RecipeError, match="cannot be cut"):
        fewtune.fit(place / "shapes", method="partial", out=tmp_path / "b", **options)


def test_a_malformed_preprocess_is_refused() -> None:
    for content in (
        b"",
        b"{}",
        b'{"size_px": 0, "crop": 1, "interpolation": "bicubic", "mean": [0,0,0], "std": [1,1,1]}',
    ):
        with pytest.raises(fewtune.BundleError, match="malformed"):
            preprocess_from_json(content, where="bundle")
