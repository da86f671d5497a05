from __future__ import annotations

import pytest

from fewtune.data.columns import check_labels, find_columns, to_dataset
from fewtune.data.read import read_table
from fewtune.errors import DataError
from fewtune.types import Table

TEXTS = [f"a rather long sentence about thing number {i}" for i in range(12)]
LABELS = ["red", "green", "blue"] * 4


def table(**columns: list[str]) -> Table:
    names = list(columns)
    return read_table([dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)])


@pytest.mark.parametrize("text", ["text", "Text", "REVIEW", "内容"])
@pytest.mark.parametrize("label", ["label", "Category", "标签"])
def test_columns_are_found_by_name_in_any_case(text: str, label: str) -> None:
    found = find_columns(table(**{label: LABELS, "id": [str(i) for i in range(12)], text: TEXTS}))
    assert (found.text, found.label) == (text, label)
    assert all("by its name" in note for note in found.notes)


def test_columns_are_found_by_content_and_said() -> None:
    found = find_columns(table(number=[str(i) for i in range(12)], what=TEXTS, colour=LABELS))
    assert (found.text, found.label) == ("what", "colour")
    assert "by what it holds" in found.notes[1]


def test_a_column_that_is_not_there_lists_those_that_are() -> None:
    with pytest.raises(DataError) as caught:
        find_columns(table(text=TEXTS, label=LABELS), label="lable")
    assert "'label'" in caught.value.how


def test_no_label_column_lists_the_columns() -> None:
    with pytest.raises(DataError, match="no label column") as caught:
        find_columns(table(text=TEXTS, id=[str(i) for i in range(12)]))
    assert "'id'" in caught.value.how


@pytest.mark.parametrize(
    ("labels", "what"),
    [
        (["same"] * 12, "one class only"),
        ([str(i * 0.37) for i in range(12)], "number to be predicted"),
        (["['a', 'b']", "['b']"] * 6, "several labels"),
        (["a|b", "b|c", "a", "b", "c", "a"] * 2, "several labels"),
        ([f"id-{i}" for i in range(12)], "not classes"),
    ],
)
def test_targets_that_are_no_classes_are_refused(labels: list[str], what: str) -> None:
    data = table(text=TEXTS, label=labels)
    with pytest.raises(DataError, match=what):
        check_labels(data, find_columns(data))


def test_indicator_columns_are_several_labels() -> None:
    flags = {"sport": ["1", "0", "1"] * 4, "politics": ["1", "1", "0"] * 4}
    with pytest.raises(DataError, match="several labels"):
        find_columns(table(text=TEXTS, **flags))


def test_whole_numbers_are_classes() -> None:
    data = table(text=TEXTS, rating=["1", "2", "5"] * 4)
    check_labels(data, find_columns(data))


def test_rows_without_text_or_label_are_left_out_and_named() -> None:
    data = table(text=["one", "", "three"], label=["a", "b", ""])
    dataset = to_dataset(data, find_columns(data))
    assert [example.input for example in dataset] == ["one"]
    assert any("data[1]" in note for note in dataset.notes)
    assert any("data[2]" in note for note in dataset.notes)


def test_groups_are_read() -> None:
    data = table(text=TEXTS, label=LABELS, Group=["g1", "g2"] * 6)
    assert to_dataset(data, find_columns(data)).examples[1].group == "g2"
