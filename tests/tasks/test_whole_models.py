"""Transformers' detectors and segmenters are kept whole: all but what depends on the classes is as it was saved."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("transformers")
pytest.importorskip("timm")
import torch

import fewtune
from fewtune import catalog, pipeline
from fewtune.backbones.detector import export_onnx
from fewtune.backbones.vision import transformers_preprocess
from fewtune.backbones.whole_model import WholeModel, whole_model
from fewtune.backbones.whole_network import DETECTOR_STAGES, WholeDetector, WholeSegmenter
from fewtune.compress import int8_pictures
from fewtune.errors import RecipeError
from fewtune.interfaces import RunContext
from fewtune.recipe import Recipe
from fewtune.runtime.detector_graph import DetectorGraph, Selection
from fewtune.runtime.letterbox import Letterbox
from fewtune.tune import loop
from fewtune.tune.set_prediction import SetPredictionObjective
from tests.backbones.test_vision import tiny_transformers
from tests.exported import on_its_side, run_card
from tests.pictures import coco_folder, masked_folder, scene
from tests.tiny_detectors import KINDS, tiny_detector

LEARN: dict[str, Any] = {
    "width_px": 96,
    "height_px": 64,
    "learning_rate": 3e-3,
    "network_rate": 1.0,
    "augment": "flip",
    "stages": 3,
}
QUICK: dict[str, Any] = {"method": "partial", "threads": 1, "budget": "1h", "compress": "none"}


def detector_in(folder: Path, kind: str) -> WholeModel:
    found = whole_model(str(tiny_detector(folder, kind)), "object-detection")
    assert found is not None
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_a_detector_learns_and_its_graph_finds_the_same(tmp_path: Path, kind: str) -> None:
    torch.manual_seed(0)
    detector = WholeDetector(detector_in(tmp_path / kind, kind).parts, 2, mirrored=False).train()
    pixels = torch.randn(2, 3, 64, 96)
    truths = [
        (torch.tensor([[4.0, 8, 30, 40], [50, 20, 90, 60]]), torch.tensor([0, 1])),
        (torch.zeros(0, 4), torch.zeros(0, dtype=torch.long)),
    ]
    detector.loss(pixels, truths).backward()
    moved = {id(some) for some in detector.parameters() if some.grad is not None}
    fresh, backbone, rest = detector.learnt()
    assert moved == {id(some) for some in fresh}
    assert not backbone
    assert not rest
    detector.freeze(0)
    detector.loss(pixels, truths).backward()
    _, backbone, rest = detector.learnt()
    assert any(some.grad is not None for some in backbone)
    assert any(some.grad is not None for some in rest)

    content = export_onnx(detector.eval(), 96, 64, ["boxes", "scores"])
    graph = DetectorGraph(content, Letterbox(96, 64, "bilinear", (0, 0, 0), (1, 1, 1)), Selection(), threads=1)
    with torch.no_grad():
        boxes, scores = (some.numpy() for some in detector(pixels))
    written_boxes, written_scores = graph.raw(pixels.numpy())
    assert boxes.shape == (2, 12, 4)
    assert scores.shape == (2, 12, 2)
    assert np.abs(boxes - written_boxes).max() < 0.5
    assert np.abs(scores - written_scores).max() < 1e-3


def test_only_what_depends_on_the_classes_begins_anew(tmp_path: Path) -> None:
    """Three new classes are not the three old ones."""
    parts = detector_in(tmp_path / "m", "rt_detr").parts
    assert {name.split(".")[-2] for name in parts.by_class} >= {"enc_score_head", "denoising_class_embed"}
    fresh = parts.for_classes(3).state_dict()
    saved = parts.model.state_dict()
    for name, weight in fresh.items():
        assert torch.equal(weight, saved[name]) == (name not in parts.by_class) or "bias" in name, name


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    coco_folder(folder / "boxes", 8)
    masked_folder(folder / "masks", 8)
    tiny_detector(folder / "rt_detr", "rt_detr")
    tiny_transformers(folder / "segformer", "segformer")
    return folder


def test_a_detector_learns_to_find_things_and_predicts_without_torch(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {**QUICK, "model": str(place / "rt_detr"), "test": str(place / "boxes")}
    model = fewtune.fit(place / "boxes", out=tmp_path / "out", settings={**LEARN, "steps": 350}, **options)
    assert model.scores["map_50"].value > 0.5
    picture = str(place / "boxes" / "images" / "001.png")
    code = (
        f"import sys, fewtune; (found,) = fewtune.load({str(model.bundle)!r}).predict([{picture!r}]);"
        "print(len(found.scores), found.scores.max() > 0.3, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split()[1:] == ["True", "False"]
    # Transformers finds the same in what is exported, in a picture of another shape or on its side too.
    pipeline.export(model.bundle, tmp_path / "hf", form="hf")
    wide = scene(1)[0].crop((0, 0, 96, 48)).resize((192, 96))
    wide.save(tmp_path / "wide.png")
    turned = on_its_side(Path(picture), tmp_path)
    for path, sure in ((Path(picture), 0.55), (turned, 0.55), (tmp_path / "wide.png", 0.0)):
        found = run_card(tmp_path / "hf", path, monkeypatch)["found"]
        (answer,) = model.predict([str(path)])
        theirs = np.column_stack([found["boxes"], 100 * found["labels"]])
        assert len(theirs)
        # Scaled by another library, a picture is not quite the same: the surest thing is there all the same.
        ours = [i for i, score in enumerate(answer.scores) if score > (sure or answer.scores.max() - 1e-9)]
        for i in ours:
            one = [*answer.boxes_xyxy[i], 100 * answer.labels[i]]
            assert np.abs(theirs - one).max(axis=1).min() < (0.5 if sure else 3), (path, i, answer, found)


def test_an_interrupted_detector_goes_on(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, settings = str(place / "boxes"), {**LEARN, "steps": 9, "stages": 1}
    recipe = Recipe(data=data, test=data, model=str(place / "rt_detr"), settings=settings, **QUICK)
    pipeline.fit(recipe, out=tmp_path / "a")
    taken, after_step = [0], SetPredictionObjective.after_step

    def interrupted(objective: SetPredictionObjective) -> None:
        after_step(objective)
        taken[0] += 1
        if taken[0] == 14:  # six to see what a step takes, and eight
            raise KeyboardInterrupt

    monkeypatch.setattr(loop, "_SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    monkeypatch.setattr(SetPredictionObjective, "after_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pipeline.fit(recipe, out=tmp_path / "b")
    pipeline.fit(recipe, out=tmp_path / "b", resume=True)
    assert (tmp_path / "b" / "model.onnx").read_bytes() == (tmp_path / "a" / "model.onnx").read_bytes()


def test_a_segmenter_learns_with_its_own_decoder(place: Path, tmp_path: Path) -> None:
    settings = {"steps": 100, "size_px": 96, "crop_px": 64, "batch_size": 4, "augment": "flip"}
    settings |= {"learning_rate": 3e-3, "stages_rate": 1.0}
    options: dict[str, Any] = {**QUICK, "model": str(place / "segformer"), "test": str(place / "masks")}
    model = fewtune.fit(place / "masks", out=tmp_path / "out", **{**options, "method": "head"}, settings=settings)
    assert model.scores["miou"].value > 0.45  # all of it the ground: 0.28
    written = (model.bundle / "model.onnx").read_bytes()
    assert b"decode_head" in written


def test_a_segmenter_knows_its_stages(place: Path) -> None:
    found = whole_model(str(place / "segformer"), "segmentation")
    assert found is not None
    segmenter = WholeSegmenter(found.parts, 2, mirrored=False)
    fresh, pretrained = segmenter.learnt()
    assert [tuple(some.shape) for some in fresh] == [(2, 8, 1, 1), (2,)]
    assert not pretrained
    segmenter.freeze(len(segmenter.stages) - 1)
    (linear, *_) = segmenter.learnt()[1]
    assert linear is segmenter.model.decode_head.linear_projections[0].proj.weight


def test_a_segmenter_that_onnx_cannot_express_is_refused(place: Path, tmp_path: Path) -> None:
    import transformers

    config = transformers.BeitConfig(
        hidden_size=16, num_hidden_layers=4, num_attention_heads=2, intermediate_size=16, image_size=64, patch_size=16,
        out_indices=[1, 2, 3, 4], use_relative_position_bias=True, id2label={0: "a", 1: "b"},
    )  # fmt: skip
    transformers.BeitForSemanticSegmentation(config).save_pretrained(tmp_path / "beit")
    (tmp_path / "beit" / "preprocessor_config.json").write_bytes(
        (place / "segformer" / "preprocessor_config.json").read_bytes()
    )
    with pytest.raises(RecipeError, match=r"cannot be written as ONNX: .*adaptive_avg_pool2d") as caught:
        fewtune.fit(place / "masks", out=tmp_path / "out", model=str(tmp_path / "beit"), method="full", budget="1h")
    assert len(caught.value.what) < 160
    assert not (tmp_path / "out").exists()


def test_a_detector_that_chooses_among_too_few_places_is_refused(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "rt_detr", tmp_path / "model")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    (tmp_path / "model" / "config.json").write_text(json.dumps({**config, "num_queries": 300}))
    with pytest.raises(RecipeError, match="cannot be tuned on pictures of 32 x 32 pixels") as caught:
        fewtune.fit(
            place / "boxes",
            out=tmp_path / "out",
            model=str(tmp_path / "model"),
            settings={"width_px": 32, "height_px": 32, "steps": 2},
            method="partial",
        )
    assert "\n" not in caught.value.what
    assert not (tmp_path / "out").exists()


def test_a_detector_is_no_segmenter(place: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        fewtune.fit(place / "masks", out=tmp_path / "out", model=str(place / "rt_detr"), method="full")
    assert "--task object-detection" in str(caught.value.how)


def test_the_time_decides_the_size_and_the_depth(place: Path, tmp_path: Path) -> None:
    """With an hour for a tiny model all of it is tuned, at the size that it was trained to see."""
    recipe = Recipe(data=str(place / "boxes"), model=str(place / "rt_detr"), method="partial", augment="flip")
    task = catalog.find_task("object-detection")
    dataset = task.read(str(place / "boxes"), recipe, "fit")
    (tuner,) = catalog.find_methods(recipe, task)
    (candidate,), _ = tuner.candidates(dataset, recipe)  # type: ignore[union-attr]
    plan = candidate.plan(dataset, 36000.0, RunContext(tmp_path, 0))  # type: ignore[union-attr]
    assert plan.settings["stages"] == DETECTOR_STAGES
    assert (plan.settings["width_px"], plan.settings["height_px"]) == (96, 64)


def test_a_detector_whose_queries_have_no_order_is_compressed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compared, compare = list[int](), int8_pictures.nearest_changes

    def nearest(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        compared.append(len(first))
        return compare(first, second)

    monkeypatch.setattr(int8_pictures, "nearest_changes", nearest)
    coco_folder(tmp_path / "boxes", 8)
    data, settings = tmp_path / "boxes", {**LEARN, "steps": 4}
    options = {**QUICK, "compress": "int8", "model": str(tiny_detector(tmp_path / "detr", "detr"))}
    model = fewtune.fit(data, out=tmp_path / "out", test=str(data), settings=settings, **options)
    assert compared
    assert model.manifest.compression is not None
    assert [trade.name for trade in model.manifest.compression.trades][:2] == ["original", "int8"]


def test_a_processor_that_says_no_size_is_refused(place: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(place / "rt_detr", tmp_path / "odd")
    file = folder / "preprocessor_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "size": {"max_height": 64, "max_width": 64}}))
    with pytest.raises(RecipeError, match="cannot be had"):
        fewtune.fit(place / "boxes", out=tmp_path / "out", model=str(folder), method="partial")
    assert not (tmp_path / "out").exists()


def test_a_model_that_cannot_be_made_for_other_classes_is_refused(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> Any:
        raise AttributeError("it has no num_labels")

    monkeypatch.setattr("fewtune.backbones.whole_network._built", fails)
    folder = shutil.copytree(place / "rt_detr", tmp_path / "odd")
    with pytest.raises(RecipeError, match="cannot be made for other classes"):
        fewtune.fit(place / "boxes", out=tmp_path / "out", model=str(folder), method="partial")


def test_what_a_processor_does_not_do_is_not_done() -> None:
    given = {"size": {"height": 64, "width": 64}, "image_mean": (0.5,) * 3, "image_std": (0.25,) * 3, "resample": 2}
    plain = transformers_preprocess({**given, "do_normalize": False})
    assert (plain.mean, plain.std) == ((0.0,) * 3, (1.0,) * 3)
    bytewise = transformers_preprocess({**given, "do_normalize": True, "do_rescale": False})
    assert bytewise.std == pytest.approx((0.25 / 255,) * 3)
