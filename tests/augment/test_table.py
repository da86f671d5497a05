from __future__ import annotations

from pathlib import Path

import pytest

from fewtune import pipeline
from fewtune.errors import DataError
from fewtune.recipe import Recipe

ROWS = [
    {"id": "1", "text": "one two three four five", "label": "x", "group": "g"},
    {"id": "2", "text": "", "label": "y", "group": "h"},
    {"id": "3", "text": "😀", "label": "y", "group": "h"},
]


def test_rows_are_kept_and_views_follow_them() -> None:
    made = pipeline.augment(Recipe(augment="swap,case"), copies=2, strength=0.3, source=ROWS)
    assert list(made.columns) == ["id", "text", "label", "group", "augmentation"]
    originals = [row for row in made.rows if not row[-1]]
    assert [dict(zip(made.columns[:-1], row[:-1], strict=True)) for row in originals] == ROWS
    assert [row[-1] for row in made.rows] == ["", "swap", "case", "", ""]
    assert all(row[0] == "1" and row[2:4] == ["x", "g"] for row in map(list, made.rows[1:3]))
    assert made.counts["swap"] == {"wanted": 3, "views": 1, "unchanged": 2}


def test_views_get_a_group_of_their_row() -> None:
    rows = [{"text": row["text"], "label": row["label"]} for row in ROWS]
    made = pipeline.augment(Recipe(augment="swap"), copies=1, strength=0.1, source=rows)
    assert list(made.columns) == ["text", "label", "group", "augmentation"]
    assert [row[2] for row in made.rows] == [1, 1, 2, 3]


def test_a_blank_group_is_one_of_its_own() -> None:
    groups = ["g", "", " ", "row 2"]
    rows = [
        {"text": "one two three four five", "label": label, "group": g} for label, g in zip("xyxy", groups, strict=True)
    ]
    made = pipeline.augment(Recipe(augment="swap"), copies=1, strength=0.3, source=rows)
    found = [row[2] for row in made.rows]
    assert found[::2] == found[1::2]
    assert found[0] == "g"
    assert found[6] == "row 2"
    assert len(set(found)) == 4
    assert all(str(group).strip() for group in found)


def test_not_twice(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="augmentation"):
        pipeline.augment(
            Recipe(augment="swap"), copies=1, strength=0.1, source=[{"text": "a b", "label": "x", "augmentation": ""}]
        )
