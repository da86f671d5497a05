"""What timm loads of an exported network answers as the bundle does, whatever its layers are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("timm")
import timm
import torch
from safetensors.numpy import load_file

from fewtune import pipeline
from fewtune.backbones.bert_onnx import with_linear_head
from fewtune.backbones.picture_network import export_onnx
from fewtune.backbones.vision import vision_from
from fewtune.bundle.read import read_manifest
from fewtune.compress.int8_pictures import pictures_in_integers
from fewtune.compress.path import _content
from fewtune.errors import RecipeError
from fewtune.interfaces import RunContext
from fewtune.runtime.preprocess import preprocess_from_json
from fewtune.tune.picture_layers import TunedStages
from fewtune.types import Example
from tests.backbones.test_transformers_folder import LABELS, answers, bundle_of, learn
from tests.backbones.test_vision import tiny_timm
from tests.pictures import draw


def classifier_bundle(folder: Path, kind: str) -> Path:
    model = timm.create_model(f"local-dir:{tiny_timm(folder / 'model', kind)}", pretrained=True)
    learn(model)
    timm.models.save_for_hf(model, folder / "model", model_config={"num_classes": 7})
    found = vision_from(str(folder / "model"))
    graph = export_onnx(TunedStages(found.network, 0).whole(), found.preprocess.size_px, "features")
    generator = np.random.default_rng(0)
    graph = with_linear_head(graph, generator.normal(size=(found.width, 2)), generator.normal(size=2))
    made_by = {"name": str(folder / "model")}
    return bundle_of(folder / "bundle", "image-classification", graph, made_by, found.preprocess.to_json())


@pytest.mark.parametrize("kind", ["test_efficientnet", "test_resnet", "test_vit", "test_convnext"])
def test_a_classifier_comes_back(tmp_path: Path, kind: str) -> None:
    bundle = classifier_bundle(tmp_path, kind)
    files = pipeline.export(bundle, tmp_path / "hf", form="hf")
    assert files == ["README.md", "config.json", "model.safetensors"]
    model = timm.create_model(f"local-dir:{tmp_path / 'hf'}", pretrained=True).eval()
    assert model.pretrained_cfg["label_names"] == list(LABELS)
    seen = preprocess_from_json((bundle / "preprocess.json").read_bytes(), where="")
    pixels = torch.from_numpy(seen.pixels([seen.square(draw(kind, 1)) for kind in ("disc", "lines")]))
    with torch.no_grad():
        given = model(pixels).numpy()
    (wanted,) = answers(bundle, pixels, "logits")
    np.testing.assert_allclose(given, wanted, atol=1e-3)
    assert np.ptp(wanted, axis=0).max() > 1e-3


def test_weights_of_8_bits_are_written_as_what_they_stand_for(tmp_path: Path) -> None:
    exact = classifier_bundle(tmp_path, "test_efficientnet")
    found = read_manifest(exact)
    examples = []
    for number in range(4):
        draw("disc", number).save(tmp_path / f"{number}.png")
        examples.append(Example(str(tmp_path / f"{number}.png")))
    smaller = pictures_in_integers(_content(exact, found), examples, RunContext(tmp_path)).graphs["model.onnx"]
    assert b"DequantizeLinear" in smaller
    preprocess = (exact / "preprocess.json").read_bytes()
    rounded = bundle_of(tmp_path / "rounded", found.task, smaller, found.backbone, preprocess)
    for bundle, out in ((exact, tmp_path / "a"), (rounded, tmp_path / "b")):
        pipeline.export(bundle, out, form="hf")
    first, second = (load_file(tmp_path / name / "model.safetensors") for name in "ab")
    layers = [name for name, value in first.items() if value.ndim > 1]
    assert all(np.corrcoef(first[name].ravel(), second[name].ravel())[0, 1] > 0.98 for name in layers)
    assert any((first[name] != second[name]).any() for name in layers)


def test_a_network_that_timm_does_not_know_is_refused(tmp_path: Path) -> None:
    bundle = classifier_bundle(tmp_path, "test_resnet")
    (tmp_path / "model" / "config.json").unlink()
    with pytest.raises(RecipeError, match="no place in timm: it has no architecture"):
        pipeline.export(bundle, tmp_path / "hf", form="hf")
    assert not (tmp_path / "hf").exists()
