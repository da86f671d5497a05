"""Pictures that tests draw themselves: two kinds that any network tells apart, and every odd kind."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from fewtune.backbones.vision import EfficientNetLite0
from fewtune.data.mask import IGNORE

MASK_CLASSES = ("ground", "disc", "square")
needs_network = pytest.mark.skipif(not EfficientNetLite0().info.installed, reason="needs the embedded network")


def draw(kind: str, number: int, size_px: int = 64) -> Image.Image:
    """A disc or a bar, its place, size and colours drawn by the number."""
    generator = np.random.default_rng([number, len(kind)])
    back, front = (tuple(int(value) for value in generator.integers(0, 256, 3)) for _ in range(2))
    picture = Image.new("RGB", (size_px, size_px), back)
    x, y = (int(value) for value in generator.integers(4, size_px // 3, 2))
    pen = ImageDraw.Draw(picture)
    if kind == "disc":
        pen.ellipse((x, y, x + size_px // 2, y + size_px // 2), fill=front)
    else:
        for line in range(0, size_px, 12):
            pen.line((line, 0, line + x, size_px), fill=front, width=4)
    noise = generator.normal(0, 6, (size_px, size_px, 3))
    return Image.fromarray(np.clip(np.asarray(picture) + noise, 0, 255).astype(np.uint8))


def class_folders(folder: Path, per_class: int = 6, *, start: int = 0) -> Path:
    """A folder with `disc` and `lines`."""
    for kind in ("disc", "lines"):
        (folder / kind).mkdir(parents=True)
        for number in range(start, start + per_class):
            draw(kind, number).save(folder / kind / f"{number:03d}.png")
    return folder


def odd_pictures(folder: Path) -> Iterator[tuple[str, Path]]:
    """Pictures that are read all the same: name of the kind, and its file."""
    base = draw("disc", 99, 80)
    kinds = {
        "cmyk": (base.convert("CMYK"), "jpg", {}),
        "grey": (base.convert("L"), "png", {}),
        "palette": (base.convert("P"), "png", {}),
        "two-tone": (base.convert("1"), "png", {}),
        "alpha": (base.convert("RGBA"), "png", {}),
        "alpha-palette": (base.convert("P"), "png", {"transparency": 0}),
        "16-bit": (Image.fromarray(np.asarray(base.convert("L"), np.uint16) * 257), "png", {}),
        "float": (Image.fromarray(np.asarray(base.convert("L"), np.float32) / 255), "tif", {}),
        "one-pixel": (Image.new("RGB", (1, 1), "red"), "png", {}),
        "thin": (Image.new("RGB", (1, 4000), "red"), "png", {}),
        "animated": (base, "gif", {"save_all": True, "append_images": [draw("lines", 1, 80)]}),
        "webp": (base, "webp", {}),
    }
    for name, (picture, suffix, options) in kinds.items():
        path = folder / f"{name}.{suffix}"
        picture.save(path, **options)
        yield name, path
    exif = Image.Exif()
    exif[0x0112] = 6
    rotated = folder / "rotated.jpg"
    base.save(rotated, exif=exif)
    yield "rotated", rotated


def scene(
    number: int, width: int = 96, height: int = 64
) -> tuple[Image.Image, list[tuple[str, tuple[int, int, int, int]]]]:
    """Discs and squares on noise, with their names and boxes (left, top, right, bottom)."""
    generator = np.random.default_rng([7, number])
    picture = Image.new("RGB", (width, height), (110, 110, 110))
    pen, found = ImageDraw.Draw(picture), []
    for place in range(int(generator.integers(1, 4))):
        kind = ("disc", "square")[int(generator.integers(2))]
        side = int(generator.integers(14, 26))
        x, y = (
            place * width // 3 + int(generator.integers(0, width // 3 - 25)),
            int(generator.integers(0, height - side)),
        )
        shape = pen.ellipse if kind == "disc" else pen.rectangle
        shape((x, y, x + side - 1, y + side - 1), fill=(230, 40, 40) if kind == "disc" else (40, 60, 230))
        found.append((kind, (x, y, x + side, y + side)))
    noise = generator.normal(0, 6, (height, width, 3))
    return Image.fromarray(np.clip(np.asarray(picture) + noise, 0, 255).astype(np.uint8)), found


def coco_folder(folder: Path, count: int, *, start: int = 0, size: tuple[int, int] = (96, 64)) -> Path:
    """`boxes.json` with its pictures under `images/`; the first picture holds nothing that is annotated."""
    (folder / "images").mkdir(parents=True)
    images, annotations = [], []
    for number in range(start, start + count):
        picture, found = scene(number, *size)
        picture.save(folder / "images" / f"{number:03d}.png")
        images.append({"id": number + 1, "file_name": f"{number:03d}.png", "width": size[0], "height": size[1]})
        for kind, (left, top, right, bottom) in found if number > start else []:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number + 1,
                    "category_id": {"disc": 3, "square": 8}[kind],
                    "bbox": [left, top, right - left, bottom - top],
                    "area": (right - left) * (bottom - top),
                    "iscrowd": 0,
                }
            )
    categories = [{"id": 3, "name": "disc"}, {"id": 8, "name": "square"}, {"id": 9, "name": "unused"}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "boxes.json").write_text(json.dumps(content))
    return folder


def masked_folder(folder: Path, count: int, *, start: int = 0) -> Path:
    """`images`, `masks` and `classes.txt`; each mask has a border that is passed over."""
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    (folder / "classes.txt").write_text("\n".join(MASK_CLASSES) + "\n")
    for number in range(start, start + count):
        picture, found = scene(number)
        ids = np.zeros((picture.height, picture.width), np.uint8)
        for kind, (left, top, right, bottom) in found:
            ids[top:bottom, left:right] = MASK_CLASSES.index(kind)
        ids[:2] = IGNORE
        picture.save(folder / "images" / f"{number:03d}.png")
        Image.fromarray(ids).save(folder / "masks" / f"{number:03d}.png")
    return folder
