"""What Transformers loads of an exported network for pictures answers as the bundle does."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("transformers")
pytest.importorskip("timm")
import torch
import transformers
from safetensors.numpy import load_file

from fewtune import pipeline
from fewtune.backbones.bert_onnx import with_linear_head
from fewtune.backbones.detector import export_onnx
from fewtune.backbones.picture_network import export_onnx as export_network
from fewtune.backbones.segmenter import export_segmenter
from fewtune.backbones.vision import vision_from
from fewtune.backbones.whole_model import WholeModel, whole_model
from fewtune.backbones.whole_network import WholeDetector, WholeSegmenter
from fewtune.bundle.read import read_manifest
from fewtune.bundle.write import write_bundle
from fewtune.compress.int8_pictures import pictures_in_integers
from fewtune.compress.path import _content
from fewtune.errors import MissingExtraError, RecipeError
from fewtune.interfaces import Fitted, RunContext
from fewtune.runtime.letterbox import Letterbox
from fewtune.runtime.scaled import Scaled
from fewtune.runtime.session import open_session
from fewtune.tune.picture_layers import TunedStages
from fewtune.types import Example, Graph
from tests.backbones.test_vision import tiny_transformers
from tests.bundle.conftest import make_manifest
from tests.pictures import draw, scene
from tests.tiny_detectors import tiny_detector

LABELS = ("disc", "square")
WIDTH, HEIGHT = 96, 64


@torch.no_grad()
def learn(model: Any) -> None:
    """Every weight is another one than it was made with, and batch norm has seen something."""
    generator = torch.Generator().manual_seed(1)
    for name, some in model.state_dict(keep_vars=True).items():
        if some.is_floating_point() and name.rpartition(".")[2] not in ("up", "reg_scale"):
            some.mul_(1 + 0.3 * torch.rand(some.shape, generator=generator))
            some.add_(0.01 * torch.rand(some.shape, generator=generator))


def bundle_of(
    folder: Path, task: str, graph: bytes, made_by: Mapping[str, Any], preprocess: bytes, method: str = "full"
) -> Path:
    """A bundle as `fit` writes it, without what a network is not made again by."""
    contract = Graph(role="any", file="model.onnx", inputs={}, outputs={}, tokenizer="", preprocess="preprocess.json")
    backbone = {"name": "tiny", "licence": "MIT", **made_by}
    fitted = Fitted({"model.onnx": graph}, (contract,), {"preprocess.json": preprocess}, backbone, list, 0.0)
    manifest = dataclasses.replace(make_manifest(fitted), task=task, labels=LABELS, method=method)
    write_bundle(folder, fitted, manifest, name="things", recipe_toml="seed = 0\n", private={})
    return folder


def whole(folder: Path, task: str) -> WholeModel:
    found = whole_model(str(folder), task)
    assert found is not None
    return found


def detector_bundle(folder: Path, kind: str) -> Path:
    found = whole(tiny_detector(folder / "model", kind), "object-detection")
    torch.manual_seed(0)
    detector = WholeDetector(found.parts, 2, mirrored=found.is_mirrored).eval()
    learn(detector.model)
    seen = found.seen
    letterbox = Letterbox(WIDTH, HEIGHT, seen.interpolation, seen.mean, seen.std)
    graph = export_onnx(detector, WIDTH, HEIGHT, ["boxes", "scores"])
    return bundle_of(folder / "bundle", "object-detection", graph, found.made_by, letterbox.to_json())


def segmenter_bundle(folder: Path, *, mirrored: bool = False) -> Path:
    tiny_transformers(folder / "model", "segformer")
    if mirrored:
        file = folder / "model" / "preprocessor_config.json"
        kind = {"image_processor_type": "MobileViTImageProcessor", "do_flip_channel_order": True}
        file.write_text(json.dumps({**json.loads(file.read_text()), **kind}))
    found = whole(folder / "model", "segmentation")
    assert found.is_mirrored == mirrored
    torch.manual_seed(0)
    segmenter = WholeSegmenter(found.parts, 2, mirrored=mirrored).eval()
    learn(segmenter.model)
    scaled = Scaled(WIDTH, 32, found.seen.mean, found.seen.std)
    return bundle_of(
        folder / "bundle", "segmentation", export_segmenter(segmenter, 96), found.made_by, scaled.to_json()
    )


def classifier_bundle(folder: Path, kind: str, method: str = "full") -> Path:
    tiny_transformers(folder / "model", kind)
    learnt = transformers.AutoModelForImageClassification.from_pretrained(folder / "model")
    learn(learnt)
    learnt.save_pretrained(folder / "model")
    found = vision_from(str(folder / "model"))
    graph = export_network(TunedStages(found.network, 1).whole(), found.preprocess.size_px, "features")
    generator = np.random.default_rng(0)
    graph = with_linear_head(graph, generator.normal(size=(found.width, 2)), generator.normal(size=2))
    made_by = found.made_by
    return bundle_of(folder / "bundle", "image-classification", graph, made_by, found.preprocess.to_json(), method)


def with_settings(bundle: Path, changed: Mapping[str, Any]) -> Path:
    """The bundle, its network said to be made by other settings; those that are None are left out."""
    found = read_manifest(bundle)
    config = {name: value for name, value in {**found.backbone["config"], **changed}.items() if value is not None}
    altered = dataclasses.replace(found, backbone={**found.backbone, "config": config})
    (bundle / "bundle.json").write_text(altered.to_json(), encoding="utf-8")
    return bundle


def export(bundle: Path) -> Path:
    out = bundle.parent / "hf"
    files = pipeline.export(bundle, out, form="hf")
    assert files == ["README.md", "config.json", "model.safetensors", "preprocessor_config.json"]
    return out


def loaded(folder: Path, task: str) -> tuple[Any, Any]:
    """As anyone loads it: nothing is missing, and the labels have their names."""
    auto = getattr(transformers, f"AutoModelFor{task}")
    model, told = auto.from_pretrained(folder, output_loading_info=True)
    assert not told["missing_keys"]
    assert not told["unexpected_keys"]
    assert model.config.id2label == dict(enumerate(LABELS))
    assert model.config.label2id == {label: number for number, label in enumerate(LABELS)}
    return model.eval(), transformers.AutoImageProcessor.from_pretrained(folder)


def answers(bundle: Path, pixels: Any, *names: str) -> list[np.ndarray]:
    session = open_session(bundle / "model.onnx", 1)
    return [np.asarray(some) for some in session.run(list(names), {"pixels": pixels.numpy()})]


@pytest.mark.parametrize("kind", ["rt_detr", "d_fine", "detr", "yolos"])
def test_a_detector_comes_back(tmp_path: Path, kind: str) -> None:
    bundle = detector_bundle(tmp_path, kind)
    model, processor = loaded(export(bundle), "ObjectDetection")
    inputs = processor(scene(1, WIDTH, HEIGHT)[0], return_tensors="pt")
    with torch.no_grad():
        given = model(**inputs)
    boxes, scores = answers(bundle, inputs["pixel_values"], "boxes", "scores")
    found = torch.cat([given.pred_boxes[..., :2] - given.pred_boxes[..., 2:] / 2, given.pred_boxes[..., 2:]], -1)
    left_top, sides = (boxes / np.array([WIDTH, HEIGHT] * 2))[..., :2], boxes[..., 2:] - boxes[..., :2]
    wanted = np.concatenate([left_top, sides / np.array([WIDTH, HEIGHT])], -1)
    np.testing.assert_allclose(found.numpy(), wanted, atol=1e-4)
    own = given.logits.softmax(-1)[..., :-1] if kind in ("detr", "yolos") else given.logits.sigmoid()
    np.testing.assert_allclose(own.numpy(), scores, atol=1e-4)
    assert np.ptp(scores) > 1e-3


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_segmenter_comes_back(tmp_path: Path, mirrored: bool) -> None:
    bundle = segmenter_bundle(tmp_path, mirrored=mirrored)
    model, processor = loaded(export(bundle), "SemanticSegmentation")
    picture = scene(1, WIDTH, HEIGHT)[0]
    pixels = processor(picture, size={"height": HEIGHT, "width": WIDTH}, return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        given = model(pixel_values=pixels).logits.numpy()
    (wanted,) = answers(bundle, pixels.flip(1) if mirrored else pixels, "logits")
    np.testing.assert_allclose(given, wanted, atol=1e-4)
    assert np.ptp(wanted) > 1e-3


@pytest.mark.parametrize("kind", ["vit", "dinov2", "convnext", "resnet", "swin"])
def test_a_classifier_comes_back(tmp_path: Path, kind: str) -> None:
    bundle = classifier_bundle(tmp_path, kind)
    model, processor = loaded(export(bundle), "ImageClassification")
    pixels = processor([draw("disc", 1), draw("lines", 2)], return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        given = model(pixel_values=pixels).logits.numpy()
    (wanted,) = answers(bundle, pixels, "logits")
    np.testing.assert_allclose(given, wanted, atol=1e-4)
    assert np.ptp(wanted, axis=0).max() > 1e-3


def test_an_image_processor_cuts_out_what_the_bundle_sees(tmp_path: Path) -> None:
    bundle = classifier_bundle(tmp_path, "convnext")
    _, processor = loaded(export(bundle), "ImageClassification")
    wide = draw("disc", 1, 96).crop((0, 0, 96, 64))
    preprocess = vision_from(str(tmp_path / "model")).preprocess
    wanted = preprocess.pixels([preprocess.square(wide)])
    given = processor(wide, return_tensors="pt")["pixel_values"].numpy()
    assert given.shape == wanted.shape
    assert np.abs(given - wanted).mean() < 0.02


def test_a_head_on_frozen_features_has_no_place(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="features at unit length") as caught:
        export(classifier_bundle(tmp_path, "resnet", "head"))
    assert "--method partial or full" in str(caught.value.how)
    assert not (tmp_path / "hf").exists()


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"num_hidden_layers": 2}, "differs"),
        ({"intermediate_size": 48}, "other layers"),
        ({"hidden_act": "relu"}, "differs"),
    ],
)
def test_what_would_answer_otherwise_is_refused(tmp_path: Path, changed: dict[str, Any], why: str) -> None:
    bundle = with_settings(classifier_bundle(tmp_path, "vit"), changed)
    with pytest.raises(RecipeError, match=why):
        export(bundle)
    assert not (tmp_path / "hf").exists()


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"model_type": "no-such"}, "knows no model_type 'no-such'"),
        ({"model_type": None}, "knows no model_type ''"),
        ({"model_type": "marian"}, "cannot make it .*Unrecognized configuration class"),
        ({"hidden_size": "wide"}, "cannot make it"),
    ],
)
def test_what_the_installed_transformers_cannot_make_is_refused(
    tmp_path: Path, changed: dict[str, Any], why: str
) -> None:
    bundle = with_settings(classifier_bundle(tmp_path, "vit"), changed)
    with pytest.raises(RecipeError, match=why) as caught:
        export(bundle)
    assert "\n" not in caught.value.what
    assert len(caught.value.what) < 300  # no list of all that there is
    assert not (tmp_path / "hf").exists()


def test_without_transformers_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = classifier_bundle(tmp_path, "vit")
    monkeypatch.setitem(sys.modules, "transformers", None)
    monkeypatch.delitem(sys.modules, "fewtune.backbones.transformers_folder")
    with pytest.raises(MissingExtraError, match=r"needs the extra \[train\]"):
        export(bundle)


def test_no_pretrained_weights_are_fetched_to_be_overwritten(tmp_path: Path) -> None:
    """Nor by who loads the export, whether the setting stands beside the backbone's own or among them."""
    fetching = {"use_pretrained_backbone": True}
    bundle = with_settings(classifier_bundle(tmp_path / "beside", "vit"), fetching)
    assert json.loads((export(bundle) / "config.json").read_text())["use_pretrained_backbone"] is False
    bundle = detector_bundle(tmp_path / "among", "detr")
    backbone = {**read_manifest(bundle).backbone["config"]["backbone_config"], **fetching}
    config = json.loads((export(with_settings(bundle, {"backbone_config": backbone})) / "config.json").read_text())
    assert config["backbone_config"]["use_pretrained_backbone"] is False


def test_training_content_has_no_place_there(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no place for training content"):
        pipeline.export(classifier_bundle(tmp_path, "resnet"), tmp_path / "hf", form="hf", with_data=True)


def test_weights_that_only_training_reads_are_named(tmp_path: Path) -> None:
    card = (export(detector_bundle(tmp_path, "rt_detr")) / "README.md").read_text(encoding="utf-8")
    assert "begin anew: model.denoising" in card


@pytest.mark.parametrize("kind", ["resnet", "segformer"])
def test_weights_of_8_bits_are_written_as_what_they_stand_for(tmp_path: Path, kind: str) -> None:
    exact = segmenter_bundle(tmp_path) if kind == "segformer" else classifier_bundle(tmp_path, kind)
    found = read_manifest(exact)
    examples = []
    for number in range(4):
        scene(number)[0].save(tmp_path / f"{number}.png")
        examples.append(Example(str(tmp_path / f"{number}.png")))
    smaller = pictures_in_integers(_content(exact, found), examples, RunContext(tmp_path)).graphs["model.onnx"]
    assert b"DequantizeLinear" in smaller
    preprocess = (exact / "preprocess.json").read_bytes()
    bundle = bundle_of(tmp_path / "rounded" / "bundle", found.task, smaller, found.backbone, preprocess)
    tensors = [load_file(export(some) / "model.safetensors") for some in (exact, bundle)]
    assert tensors[0].keys() == tensors[1].keys()
    layers = [name for name, value in tensors[0].items() if value.ndim > 1 and value.std() > 0]
    assert all(np.corrcoef(tensors[0][name].ravel(), tensors[1][name].ravel())[0, 1] > 0.99 for name in layers)
    assert any((tensors[0][name] != tensors[1][name]).any() for name in layers)
