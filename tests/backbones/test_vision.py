"""Networks for pictures: the graph gives what torch gives, wherever a network comes from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("timm")
import timm
import torch

from fewtune import catalog
from fewtune.backbones.picture_network import from_timm
from fewtune.backbones.vision import EfficientNetLite0, VisionBackbone, vision_from
from fewtune.errors import RecipeError
from fewtune.runtime.picture_graph import PictureGraph
from tests.pictures import draw, needs_network


def tiny_timm(folder: Path, name: str = "test_efficientnet") -> Path:
    """A network of a few thousand random weights, as timm saves it."""
    torch.manual_seed(0)
    model: Any = timm.create_model(name, pretrained=False, num_classes=7)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
    if "vit" not in name:
        model.pretrained_cfg["input_size"] = (3, 48, 48)
    timm.models.save_for_hf(model, folder, model_config={"num_classes": 7})
    return folder


def tiny_transformers(folder: Path, kind: str) -> Path:
    """A network of a few thousand random weights, as Transformers saves it."""
    import transformers

    torch.manual_seed(0)
    labels = {0: "a", 1: "b", 2: "c"}
    tokens = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32, "image_size": 32, "patch_size": 8}
    maps = {"hidden_sizes": [8, 16, 16, 24], "depths": [1] * 4}
    model: Any
    if kind == "resnet":
        config: Any = transformers.ResNetConfig(**maps, embedding_size=8, layer_type="basic", id2label=labels)
        model = transformers.ResNetForImageClassification(config)
    elif kind == "convnext":
        model = transformers.ConvNextForImageClassification(transformers.ConvNextConfig(**maps, id2label=labels))
    elif kind == "swin":
        heads = {"depths": [1, 1], "num_heads": [1, 2], "window_size": 2}
        config = transformers.SwinConfig(image_size=32, embed_dim=8, **heads, id2label=labels)
        model = transformers.SwinForImageClassification(config)
    elif kind == "dinov2":
        config = transformers.Dinov2Config(**tokens, num_hidden_layers=3, id2label=labels)
        model = transformers.Dinov2ForImageClassification(config)
    elif kind == "segformer":
        heads = {"num_attention_heads": [1, 1, 2, 2], "decoder_hidden_size": 8}
        config = transformers.SegformerConfig(**maps, **heads, id2label=labels)
        model = transformers.SegformerForSemanticSegmentation(config)
    else:
        config = transformers.ViTConfig(**tokens, num_hidden_layers=3, id2label=labels)
        model = transformers.ViTForImageClassification(config)
    model.save_pretrained(folder)
    prepares = {
        "image_processor_type": "ViTImageProcessor",
        "size": {"height": 32, "width": 32},
        "resample": 2,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "do_resize": True,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(prepares))
    return folder


TRANSFORMERS = ("resnet", "vit", "dinov2", "convnext", "segformer")


def made(kind: str, folder: Path) -> VisionBackbone:
    folder.mkdir()
    return vision_from(str(tiny_transformers(folder, kind) if kind in TRANSFORMERS else tiny_timm(folder, kind)))


def squares(network: VisionBackbone, count: int = 3) -> list[np.ndarray]:
    return [network.preprocess.square(draw("disc", number, 100)) for number in range(count)]


@pytest.mark.parametrize("kind", ["test_efficientnet", "test_resnet", "test_vit", "test_convnext", *TRANSFORMERS])
def test_the_graph_gives_what_the_network_gives(tmp_path: Path, kind: str) -> None:
    network = made(kind, tmp_path / "model")
    some = squares(network)
    found = network.features(some, threads=1)
    with torch.no_grad():
        pooled = network.network(torch.from_numpy(network.preprocess.pixels(some)))
        unit = torch.nn.functional.normalize(pooled, dim=1).numpy()
    assert np.abs(found[:, : network.width] - unit).max() < 1e-4
    if kind not in ("segformer", "dinov2"):  # they come without a classifier of what is pooled
        assert np.allclose(np.square(found[:, network.width :]).sum(axis=1), 1, atol=1e-4)


@pytest.mark.parametrize("kind", ["test_efficientnet", "test_resnet", *TRANSFORMERS])
def test_a_cut_anywhere_gives_the_same(tmp_path: Path, kind: str) -> None:
    network = made(kind, tmp_path / "model")
    assert network.stages > 1
    some = squares(network)
    with torch.no_grad():
        whole = network.network(torch.from_numpy(network.preprocess.pixels(some)))
        for cut in range(1, network.stages):
            maps = torch.from_numpy(network.maps(some, cut, threads=1))
            for stage in network.network.stages[cut:]:
                maps = stage(maps)
            gap = (network.network.pool(maps) - whole).abs().max() / whole.abs().max()
            assert float(gap) < 1e-4


def test_same_padding_is_written_down_rightly() -> None:
    """The exporter writes TensorFlow's padding wrongly as it is."""
    torch.manual_seed(0)
    model: Any = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    pixels = torch.randn(1, 3, 96, 96)
    with torch.no_grad():
        before = model.eval().forward_features(pixels).mean((2, 3))
        after = from_timm(model, 96)(pixels)
    assert float((before - after).abs().max()) <= 1e-4 * float(before.abs().max())


def test_the_same_network_gives_the_same_bytes(tmp_path: Path) -> None:
    tiny_timm(tmp_path / "model")
    first, again = (vision_from(str(tmp_path / "model")) for _ in range(2))
    assert first.graph == again.graph
    assert first.fingerprint == again.fingerprint
    assert str(tmp_path).encode() not in first.graph


@needs_network
def test_the_embedded_network_is_listed_and_knows_a_batch_from_one(tmp_path: Path) -> None:
    network = catalog.networks()["efficientnet-lite0"]
    assert any(info.name == "efficientnet-lite0" and info.task == "pictures" for info in catalog.models())
    assert isinstance(network, EfficientNetLite0)
    some = squares(network, 5)
    together = network.features(some, threads=1)
    alone = np.concatenate([network.features([square], threads=1) for square in some])
    assert np.abs(together - alone).max() < 1e-5


@pytest.mark.parametrize(
    ("name", "what"),
    [("no_such_network", "no model"), ("nobody/no-such-network", "cannot be had"), ("resnet18", "cannot be had")],
)
def test_what_cannot_be_had_is_said(name: str, what: str) -> None:
    with pytest.raises(RecipeError, match=what):
        _ = vision_from(name).network


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"config\.json"):
        vision_from(str(tmp_path))
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(RecipeError, match="cannot be used for pictures: Transformers classifies none with a bert"):
        _ = vision_from(str(tmp_path)).network


def test_a_checkpoint_without_the_network_in_it_is_refused(tmp_path: Path) -> None:
    """Transformers would go on with random weights."""
    from safetensors.torch import load_file, save_file

    tiny_transformers(tmp_path / "model", "resnet")
    file = tmp_path / "model" / "model.safetensors"
    weights = load_file(file)
    save_file({key: weight for key, weight in weights.items() if "encoder" not in key}, file, {"format": "pt"})
    with pytest.raises(RecipeError, match="weights are missing"):
        _ = vision_from(str(tmp_path / "model")).network


def test_a_segformer_for_masks_brings_its_maps_and_no_classifier(tmp_path: Path) -> None:
    from fewtune.backbones.segmenter import STRIDES, find_scales

    network = made("segformer", tmp_path / "model").network
    assert network.classifier is None
    assert len(find_scales(network).stages) == len(STRIDES)


def test_a_graph_of_no_pictures_gives_no_rows(tmp_path: Path) -> None:
    network = made("test_resnet", tmp_path / "model")
    graph = PictureGraph(network.graph, network.preprocess, threads=1)
    assert graph.run([], "features").shape == (0, network.width + 7)
