"""Transformers' detectors of a few thousand random weights, as their folders are saved."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

KINDS = ("rt_detr", "rt_detr_v2", "d_fine", "detr", "conditional_detr", "deformable_detr", "yolos")
_LABELS = {0: "a", 1: "b", 2: "c"}


def tiny_detector(folder: Path, kind: str) -> Path:
    """A detector that takes pictures of 64 pixels; its weights are random, its features differ from place to place."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    model = _model(kind)
    for module in model.modules():  # as it is made, hardly anything gets through
        if hasattr(module, "running_var"):
            torch.nn.init.ones_(module.weight)
        elif isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
    model.save_pretrained(folder)
    prepares = {
        "image_processor_type": "RTDetrImageProcessor"
        if "rt_detr" in kind or kind == "d_fine"
        else "DetrImageProcessor",
        "size": {"height": 64, "width": 64},
        "resample": 2,
        "do_resize": True,
        "do_rescale": True,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(prepares))
    return folder


def _model(kind: str) -> Any:
    import transformers

    maps: dict[str, Any] = {"embedding_size": 16, "hidden_sizes": [16, 24, 32, 32], "depths": [1] * 4}
    heads: dict[str, Any] = {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "num_queries": 12}
    sizes: dict[str, Any] = {"d_model": 32, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "decoder_layers": 2}
    common = {**heads, **sizes, "id2label": _LABELS}
    scales = {
        "encoder_hidden_dim": 32,
        "encoder_in_channels": [24, 32, 32],
        "decoder_in_channels": [32, 32, 32],
        "num_denoising": 12,
    }
    three = ["stage2", "stage3", "stage4"]
    if kind in ("rt_detr", "rt_detr_v2"):
        backbone: Any = transformers.RTDetrResNetConfig(**maps, layer_type="basic", out_features=three)
        made = {"backbone_config": backbone, **common, **scales}
        if kind == "rt_detr":
            return transformers.RTDetrForObjectDetection(transformers.RTDetrConfig(**made))
        return transformers.RTDetrV2ForObjectDetection(transformers.RTDetrV2Config(**made))
    if kind == "d_fine":
        backbone = transformers.HGNetV2Config(
            hidden_sizes=[16, 24, 32, 32],
            depths=[1] * 4,
            stem_channels=[3, 8, 16],
            stage_in_channels=[16, 16, 24, 32],
            stage_mid_channels=[8, 8, 16, 16],
            stage_out_channels=[16, 24, 32, 32],
            stage_num_blocks=[1] * 4,
            stage_numb_of_layers=[1] * 4,
            out_features=three,
        )
        made = {"backbone_config": backbone, **common, **scales, "decoder_n_points": [2, 2, 2]}
        return transformers.DFineForObjectDetection(transformers.DFineConfig(**made))
    if kind == "yolos":
        return transformers.YolosForObjectDetection(
            transformers.YolosConfig(
                hidden_size=32,
                num_hidden_layers=2,
                num_attention_heads=2,
                intermediate_size=64,
                image_size=[64, 64],
                num_detection_tokens=12,
                id2label=_LABELS,
            )
        )
    names = three if kind == "deformable_detr" else ["stage4"]
    made = {
        "backbone_config": transformers.ResNetConfig(**maps, layer_type="basic", out_features=names),
        "use_timm_backbone": False,
        "encoder_layers": 1,
        **common,
    }
    if kind == "deformable_detr":
        made |= {"num_feature_levels": 3}
        return transformers.DeformableDetrForObjectDetection(transformers.DeformableDetrConfig(**made))
    if kind == "conditional_detr":
        return transformers.ConditionalDetrForObjectDetection(transformers.ConditionalDetrConfig(**made))
    return transformers.DetrForObjectDetection(transformers.DetrConfig(**made))
