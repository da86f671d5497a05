"""Which column is the text, which the label: by name, else by content, and always said aloud."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fewtune.errors import DataError
from fewtune.types import Dataset, Example, Table

_TEXT_NAMES = [
    "text",
    "sentence",
    "review",
    "content",
    "comment",
    "message",
    "question",
    "title",
    "headline",
    "body",
    "query",
    "utterance",
    "tweet",
    "post",
    "description",
    "document",
    "文本",
    "内容",
    "评论",
    "句子",
    "标题",
    "问题",
    "正文",
    "留言",
    "消息",
    "描述",
    "文字",
    "文章",
]
_LABEL_NAMES = [
    "label",
    "class",
    "category",
    "target",
    "sentiment",
    "intent",
    "topic",
    "tag",
    "labels",
    "y",
    "rating",
    "type",
    "标签",
    "类别",
    "分类",
    "情感",
    "意图",
    "类型",
    "主题",
    "标注",
    "结果",
]
_GROUP_NAMES = ("group", "group_id", "分组", "组")
# A column's name has no more words.
_NAME_WORDS = 3
_NUMBER = re.compile(r"^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$", re.IGNORECASE)
_LIST = re.compile(r"^\s*[\[{(].*[\])}]\s*$", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns that were taken.

    Attributes:
        text: name of the text column.
        label: name of the label column; None where none was needed or found.
        group: name of the group column; None where there is none.
        notes: which were taken, and why, in words.
    """

    text: str
    label: str | None
    group: str | None
    notes: tuple[str, ...]


def find_columns(table: Table, *, text: str = "", label: str = "", group: str = "", need_label: bool = True) -> Columns:
    """Find the columns of a text classification table.

    Args:
        table: the rows.
        text, label, group: names given by the user; empty to find them.
        need_label: whether to fail where there is no label column.

    Raises:
        DataError: a named column is not there, none can be found, or the data has several labels a row.
    """
    named_label = _named(table, label, "label", "--label") if label else _by_name(table, _LABEL_NAMES)
    named_text = _named(table, text, "text", "--text") if text else _by_name(table, _TEXT_NAMES, {named_label})
    group_column = _named(table, group, "group", "--group") if group else _by_name(table, _GROUP_NAMES)
    taken = {named_text, named_label, group_column}
    text_column = named_text or _text_by_content(table, taken)
    label_column = named_label
    if need_label and label_column is None:
        _refuse_indicator_columns(table, {text_column, group_column})
        label_column = _label_by_content(table, {text_column, group_column})
    notes = [_note("text", text_column, text, named_text)]
    if label_column is not None:
        notes.append(_note("label", label_column, label, named_label))
    if group_column is not None:
        notes.append(f"rows of one {group_column!r} are kept together when the data is split")
    return Columns(text_column, label_column, group_column, tuple(notes))


def names_columns(fields: Sequence[str]) -> bool:
    """Whether these are names of columns: one is what texts or labels are called, and none is a sentence."""
    known = {*_TEXT_NAMES, *_LABEL_NAMES}
    short = all(len(field.split()) <= _NAME_WORDS for field in fields)
    return short and any(field.casefold().strip().strip('"') in known for field in fields)


def _note(role: str, column: str, given: str, named: str | None) -> str:
    how = "as you said" if given else "by its name" if named else "by what it holds"
    return f"{role} from column {column!r} ({how})"


def _named(table: Table, name: str, role: str, option: str) -> str:
    if name in table.columns:
        return name
    for column in table.columns:
        if column.casefold() == name.strip().casefold():
            return column
    near = difflib.get_close_matches(name, table.columns, n=1, cutoff=0.5)
    raise DataError(
        f"There is no column {name!r} for the {role}.",
        where=f"{table.source}, {option}",
        how=(f"Did you mean {near[0]!r}? " if near else "") + _listed(table),
    )


def _listed(table: Table) -> str:
    return "The columns are: " + ", ".join(repr(column) for column in table.columns) + "."


def _by_name(table: Table, names: Sequence[str], taken: set[str | None] | None = None) -> str | None:
    folded = {column.casefold().strip(): column for column in table.columns if column not in (taken or set())}
    for name in names:
        if name in folded:
            return folded[name]
    return None


def _text_by_content(table: Table, taken: set[str | None]) -> str:
    """The column with the longest and most varied values."""

    def wealth(column: str) -> float:
        values = [value for value in table.column(column)[:1000] if value.strip()]
        if not values or all(_NUMBER.match(value.strip()) for value in values):
            return 0.0
        return sum(map(len, values)) / len(values) * len(set(values)) / len(values)

    free = [column for column in table.columns if column not in taken]
    best = max(free, key=wealth, default=None)
    if best is None or wealth(best) <= 0:
        raise DataError("No column holds texts.", where=table.source, how=f"Name it with --text. {_listed(table)}")
    return best


def _label_by_content(table: Table, taken: set[str | None]) -> str:
    """The column with few distinct values that recur."""

    def variety(column: str) -> float:
        values = [value.strip() for value in table.column(column) if value.strip()]
        distinct = set(values)
        recurs = len(values) >= 2 * len(distinct) and len(distinct) >= 2
        short = values and sum(map(len, values)) / len(values) <= 60
        filled = len(values) >= 0.9 * len(table.rows)
        return len(distinct) / len(values) if recurs and short and filled else 2.0

    free = [column for column in table.columns if column not in taken]
    best = min(free, key=variety, default=None)
    if best is None or variety(best) > 1:
        raise DataError(
            "There is no label column: none is called label, class or category, and none holds a few values that "
            "recur.",
            where=table.source,
            how=f"Name it with --label. {_listed(table)}",
        )
    return best


def _refuse_indicator_columns(table: Table, taken: set[str | None]) -> None:
    """Several columns of 0 and 1 are several labels a row."""
    free = [column for column in table.columns if column not in taken]
    flags = [column for column in free if set(map(str.strip, table.column(column))) <= {"0", "1", "0.0", "1.0"}]
    if len(flags) < 2:
        return
    sums = [sum(row[table.columns.index(flag)].strip().startswith("1") for flag in flags) for row in table.rows]
    if any(total != 1 for total in sums):
        raise _several_labels(table, f"the columns {', '.join(flags)} each say yes or no")


def _several_labels(table: Table, reason: str) -> DataError:
    return DataError(
        f"These examples have several labels each ({reason}), which is not supported yet.",
        where=table.source,
        how="Give each row one label, or make one data set for each question.",
    )


def to_dataset(table: Table, columns: Columns, *, task: str = "text-classification") -> Dataset:
    """Rows to labelled examples; rows without text or label are left out, and a note says which.

    Raises:
        DataError: no row is left.
    """
    assert columns.label is not None
    texts, labels = table.column(columns.text), [value.strip() for value in table.column(columns.label)]
    groups = table.column(columns.group) if columns.group else None
    kept = [i for i in range(len(texts)) if texts[i].strip() and labels[i]]
    notes = [*table.notes, *columns.notes]
    notes += _left_out_note(table, lambda i: not texts[i].strip(), "text")
    notes += _left_out_note(table, lambda i: bool(texts[i].strip()) and not labels[i], "label")
    if not kept:
        raise DataError(
            "No row has both a text and a label.", where=table.source, how=f"Check the columns. {_listed(table)}"
        )
    examples = tuple(
        Example(texts[i], labels[i], table.places[i], groups[i].strip() or None if groups else None) for i in kept
    )
    classes = tuple(sorted({example.target for example in examples}))
    return Dataset(task, examples, classes, table.source, table.sha256, tuple(notes))


def _left_out_note(table: Table, is_out: Callable[[int], bool], missing: str) -> list[str]:
    out = [i for i in range(len(table.rows)) if is_out(i)]
    if not out:
        return []
    places = ", ".join(table.places[i] for i in out[:3]) + (", ..." if len(out) > 3 else "")
    rows = "1 row without a" if len(out) == 1 else f"{len(out)} rows without a"
    return [f"left out {rows} {missing} ({places})"]


def check_labels(table: Table, columns: Columns) -> None:
    """Refuse a label column that a classifier cannot learn from.

    Raises:
        DataError: there is one class only, the target is a number rather than a class, or rows have
            several labels each.
    """
    assert columns.label is not None
    column = columns.label
    labels = [label.strip() for label in table.column(column) if label.strip()]
    counts = Counter(labels)
    if not counts:
        return
    if len(counts) == 1:
        raise DataError(
            f"There is one class only: every label is {labels[0]!r}.",
            where=f"{table.source}, column {column!r}",
            how="Add examples of at least one other class.",
        )
    _refuse_numbers(table, counts, column)
    if sum(counts[label] for label in counts if _LIST.match(label)) >= 0.5 * len(labels):
        raise _several_labels(table, f"{labels[0]!r} is a list")
    for separator in "|;,":
        if _parts_recur(counts, separator):
            example = next(label for label in labels if separator in label)
            raise _several_labels(table, f"{example!r} joins labels that also stand alone")
    if len(counts) > 0.5 * len(labels) and len(labels) > 10:
        raise DataError(
            f"The column {column!r} has {len(counts)} different values in {len(labels)} rows: these are not classes.",
            where=table.source,
            how=f"Name the label column with --label. {_listed(table)}",
        )


def _refuse_numbers(table: Table, counts: Counter[str], column: str) -> None:
    numbers = [label for label in counts if _NUMBER.match(label)]
    if len(numbers) < len(counts):
        return
    fractions = [label for label in numbers if not float(label).is_integer()]
    if (len(fractions) > 2 and len(counts) > 10) or len(counts) > max(20, 0.5 * counts.total()):
        raise DataError(
            f"The column {column!r} looks like a number to be predicted ({len(counts)} different ones), not a class.",
            where=table.source,
            how="fewtune learns classes: put the numbers into ranges with a name each, or name another --label.",
        )


def _parts_recur(counts: Counter[str], separator: str) -> bool:
    """Whether most joined labels are made of parts that are labels themselves."""
    joined = [label for label in counts if separator in label]
    if len(joined) < 2:
        return False
    alone = {label for label in counts if separator not in label}
    composed = [label for label in joined if sum(part.strip() in alone for part in label.split(separator)) >= 2]
    return len(composed) >= 0.5 * len(joined)
