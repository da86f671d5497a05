"""Transformers' checkpoints for pictures go the same way as any network, for classes, masks and boxes, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("transformers")
pytest.importorskip("timm")

import fewtune
from fewtune import pipeline
from fewtune.errors import RecipeError
from tests.backbones.test_vision import tiny_transformers
from tests.exported import on_its_side, run_card
from tests.pictures import class_folders, coco_folder
from tests.tasks.test_segmentation import masked_folder

STEPS: dict[str, Any] = {
    "classes": {"epochs": 2, "batch_size": 4},
    "boxes": {"steps": 4, "width_px": 96, "height_px": 64},
    "masks": {"steps": 3, "size_px": 96, "crop_px": 64, "batch_size": 2},
}
DATA = {"classes": class_folders, "boxes": coco_folder, "masks": masked_folder}


def fit(place: Path, what: str, kind: str, method: str) -> fewtune.Model:
    """What is written must answer as what was tuned, or fit refuses to say done."""
    data = DATA[what](place / "data", 6)
    folder = tiny_transformers(place / kind, kind)
    options: dict[str, Any] = {
        "model": str(folder),
        "settings": STEPS[what],
        "threads": 1,
        "budget": "1h",
        "compress": "none",
    }
    test: dict[str, Any] = {} if what == "classes" else {"test": str(DATA[what](place / "test", 3))}
    return fewtune.fit(data, method=method, out=place / "out", **options, **test)


@pytest.mark.parametrize(
    ("what", "kind", "method"),
    [
        ("classes", "dinov2", "partial"),
        ("classes", "convnext", "full"),
        ("masks", "segformer", "full"),
        ("boxes", "resnet", "partial"),
    ],
)
def test_a_checkpoint_becomes_a_bundle(
    tmp_path: Path, what: str, kind: str, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = fit(tmp_path, what, kind, method)
    assert (model.manifest.method, model.manifest.model) == (method, str(tmp_path / kind))
    picture = next(path for path in sorted((tmp_path / "data").rglob("*.png")) if "masks" not in path.parts)
    (answer,) = fewtune.load(model.bundle).predict([str(picture)])
    if what == "boxes":
        assert (answer.scores <= 1).all()
        with pytest.raises(RecipeError, match="own pyramid and head") as caught:
            pipeline.export(model.bundle, tmp_path / "hf", form="hf")
        assert "RT-DETR" in str(caught.value.how)
        return
    pipeline.export(model.bundle, tmp_path / "hf", form="hf")
    names = run_card(tmp_path / "hf", picture, monkeypatch)
    turned = run_card(tmp_path / "hf", on_its_side(picture, tmp_path), monkeypatch)
    assert np.array_equal(turned["logits"], names["logits"])
    if what == "masks":
        assert set(np.unique(answer.ids)) <= {0, 1, 2}
        assert (names["mask"].numpy() == answer.ids).mean() > 0.98
    else:
        given = names["logits"].softmax(dim=1).numpy()
        np.testing.assert_allclose(given, model.predict_proba([str(picture)]), atol=0.02)


@pytest.mark.parametrize(("what", "method"), [("masks", "head"), ("boxes", "partial")])
def test_one_that_gives_no_maps_says_so(tmp_path: Path, what: str, method: str) -> None:
    with pytest.raises(RecipeError, match=r"pictures of one size only|no maps") as caught:
        fit(tmp_path, what, "vit", method)
    assert "\n" not in str(caught.value.what)
