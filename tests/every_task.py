"""A bundle of every task, fitted in seconds: the networks are real or tiny, the steps few."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import fewtune
from tests import marian
from tests.pictures import class_folders, coco_folder, masked_folder

Folders = Callable[[str], Path]


def _fit_classes(place: Path) -> fewtune.Model:
    pytest.importorskip("timm")
    return fewtune.fit(class_folders(place / "parts", 6), method="head", out=place / "parts.fewtune")


def _fit_boxes(place: Path) -> fewtune.Model:
    pytest.importorskip("timm")
    quick = {"steps": 16, "width_px": 96, "height_px": 64, "augment": "crop,light,flip,vertical-flip"}
    train, test = coco_folder(place / "train", 12), coco_folder(place / "test", 2, start=100)
    out = place / "boxes.fewtune"
    return fewtune.fit(train, test=str(test), method="partial", budget="20m", out=out, settings=quick)


def _fit_masks(place: Path) -> fewtune.Model:
    pytest.importorskip("segmentation_models_pytorch")
    quick = {"steps": 4, "size_px": 96, "crop_px": 64, "batch_size": 2}
    train, test = masked_folder(place / "train", 6), masked_folder(place / "test", 2, start=100)
    return fewtune.fit(train, test=str(test), method="head", out=place / "masks.fewtune", settings=quick)


def _fit_translation(place: Path) -> fewtune.Model:
    pytest.importorskip("sacrebleu")
    pairs = [(f"the cat sees {i}", f"o gato vê {i}") for i in range(20)]
    student = str(marian.write_student(place / "student"))
    return fewtune.fit(pairs, task="translation", model=student, method="none", out=place / "manual.fewtune")


def _fit_replies(place: Path) -> fewtune.Model:
    pytest.importorskip("transformers")
    from tests.backbones.tiny_llama import save_tiny_llama

    place.mkdir()
    data = place / "replies.jsonl"
    data.write_text("".join(json.dumps({"prompt": f"cat {i}", "response": "the cat"}) + "\n" for i in range(20)))
    model, quick = str(save_tiny_llama(place / "llama")), {"max_new_tokens": 6}
    return fewtune.fit(data, model=model, method="none", out=place / "replies.fewtune", settings=quick)


FITS: dict[str, Callable[[Path], fewtune.Model]] = {
    "image-classification": _fit_classes,
    "object-detection": _fit_boxes,
    "segmentation": _fit_masks,
    "translation": _fit_translation,
    "text-generation": _fit_replies,
}
