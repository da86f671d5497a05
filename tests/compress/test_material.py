from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import fewtune
from fewtune import catalog
from fewtune.bundle.read import read_manifest
from fewtune.compress.material import gather
from fewtune.interfaces import ClassifierTask, RunContext
from fewtune.recipe import Recipe
from tests.pictures import class_folders


def test_pictures_under_another_path_are_still_what_was_learnt_from(tfidf_model: fewtune.Model, tmp_path: Path) -> None:
    learnt = class_folders(tmp_path / "learnt", 6)
    given = class_folders(tmp_path / "given", 10)
    bundle = Path(shutil.copytree(tfidf_model.bundle, tmp_path / "bundle"))
    lines = [
        {"place": path.name, "text": str(path), "label": path.parent.name} for path in sorted(learnt.rglob("*.png"))
    ]
    kept = "".join(json.dumps(line) + "\n" for line in lines)
    (bundle / "private" / "out_of_fold.jsonl").write_text(kept, encoding="utf-8")
    task = catalog.tasks()["image-classification"]
    assert isinstance(task, ClassifierTask)
    manifest = read_manifest(bundle)
    manifest = replace(manifest, labels=("disc", "lines"))
    material = gather(bundle, manifest, task, str(given), None, Recipe(), RunContext(tmp_path / "work"))
    assert len(material.measured) == 8, "of 20 given, 12 are copies of what was learnt from"
    assert not material.trained_on
    assert "without 12 that the model learnt from" in material.words
