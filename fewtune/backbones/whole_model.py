"""Transformers' models that find boxes or give masks by themselves: kept whole, for the labels at hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fewtune.backbones.vision import VisionBackbone, network_info, transformers_preprocess, unavailable
from fewtune.errors import MissingExtraError, RecipeError, first_line
from fewtune.interfaces import ModelInfo
from fewtune.runtime.preprocess import Preprocess

if TYPE_CHECKING:
    from fewtune.backbones.picture_network import PictureNetwork
    from fewtune.backbones.whole_network import Parts

# A task, and how the names of Transformers' classes for it end.
_ENDINGS = {"object-detection": "ForObjectDetection", "segmentation": "ForSemanticSegmentation"}
# Whether pictures have an up is told from small ones.
_GLANCE_PX = 224


class WholeModel(VisionBackbone):
    """A checkpoint of Transformers' that does a task by itself.

    Attributes:
        task: the one that it does.
    """

    def __init__(self, name: str, source: str, task: str) -> None:
        """Keep where it is: a folder, or a name on the model hub; nothing is read yet."""
        self._name, self._source, self.task = name, source, task

    @property
    def info(self) -> ModelInfo:
        """What it is, as far as that is known before it is read."""
        return network_info(self._name)

    def load(self) -> tuple[PictureNetwork, Preprocess]:
        """What a glance shows of a picture: the last map of the network that the model stands on."""
        from fewtune.backbones.whole_network import glancing

        return glancing(self.parts.model, _GLANCE_PX), replace(self.seen, size_px=_GLANCE_PX, crop=1.0)

    @property
    def made_by(self) -> Mapping[str, Any]:
        """Transformers' settings, the kind of its image processor, and whether that mirrors colours."""
        from fewtune.backbones.picture_network import config_of

        parts, _, mirrored, processor = self._read
        return {"config": config_of(parts.model), "processor": processor, "mirrored": mirrored}

    @property
    def parts(self) -> Parts:
        """The model as it was pretrained, and what of it depends on the classes."""
        return self._read[0]

    @property
    def seen(self) -> Preprocess:
        """What it was trained to see."""
        return self._read[1]

    @property
    def is_mirrored(self) -> bool:
        """Whether it was trained on blue, green and red, and not the other way round."""
        return self._read[2]

    @cached_property
    def _read(self) -> tuple[Parts, Preprocess, bool, str]:
        import torch
        import transformers
        from transformers.utils import logging

        from fewtune.backbones.whole_network import Parts

        logging.disable_progress_bar()
        auto = getattr(transformers, f"AutoModel{_ENDINGS[self.task]}")
        try:
            model, told = auto.from_pretrained(
                self._source, use_safetensors=True, dtype=torch.float32, output_loading_info=True
            )
            given = transformers.AutoImageProcessor.from_pretrained(self._source).to_dict()
            seen = transformers_preprocess(given)
        except Exception as error:  # the hub's client, Transformers and safetensors each raise their own
            raise unavailable(self._name, error) from None
        missing = sorted(told["missing_keys"])
        if missing:
            raise RecipeError(
                f"The model {self._name!r} cannot be used for {self.task}: {len(missing)} weights are missing, as "
                f"{missing[0]}.",
                where="--model",
                how="Give a folder as `save_pretrained` writes it.",
            )
        try:
            parts = Parts.of(model)
        except Exception as error:  # architectures raise many kinds
            raise RecipeError(
                f"The model {self._name!r} cannot be made for other classes ({first_line(error)}).",
                where="--model",
                how="Choose another one, such as an RT-DETR for boxes or a SegFormer for masks.",
            ) from None
        return parts, seen, bool(given.get("do_flip_channel_order")), str(given["image_processor_type"])


def whole_model(name: str, task: str) -> WholeModel | None:
    """The model in a folder, or of a name on the model hub, where it was saved for a task; None where for another one.

    Raises:
        MissingExtraError: Transformers is not installed.
    """
    folder = Path(name).expanduser()
    if task not in _ENDINGS or name.startswith("timm/") or not (folder.is_dir() or "/" in name):
        return None
    if folder.is_dir() and not (folder / "config.json").is_file():
        return None
    try:
        from transformers import AutoConfig
    except ImportError:
        raise MissingExtraError("train", needed_for="Learning from pictures", where="--task") from None
    source = str(folder) if folder.is_dir() else name
    try:
        saved = AutoConfig.from_pretrained(source).architectures or []
    except Exception:  # a network of timm's, or one that cannot be had: who reads it as a network says so
        return None
    return WholeModel(name, source, task) if any(kind.endswith(_ENDINGS[task]) for kind in saved) else None
