from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fewtune.data.read import read_lines, read_table, read_texts
from fewtune.errors import DataError

ROWS = [("good food", "yes"), ("bad, very bad", "no"), ("好吃", "yes"), ("line\nbreak", "no")]


def write_csv(path: Path, rows: list[tuple[str, ...]], encoding: str = "utf-8", **form: str) -> Path:
    text = io.StringIO()
    csv.writer(text, **form).writerows([("text", "label"), *rows])  # type: ignore[arg-type]
    path.write_bytes(text.getvalue().encode(encoding))
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gb18030"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_csv_in_any_encoding_and_form_reads_back(tmp_path: Path, encoding: str, delimiter: str, end: str) -> None:
    path = write_csv(tmp_path / "a.csv", ROWS, encoding, delimiter=delimiter, lineterminator=end)
    table = read_table(path)
    assert table.columns == ("text", "label")
    assert list(table.rows) == ROWS
    assert bool(table.notes) == (encoding == "gb18030")


def test_latin_1_is_read_and_said(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("text,label\ncafé à la crème,yes\nnaïve façade,no\n".encode("latin-1"))
    table = read_table(path)
    assert table.rows[0] == ("café à la crème", "yes")
    assert "Latin-1" in table.notes[0]


def test_old_mac_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"text,label\rone,a\rtwo,b\r")
    assert read_table(path).rows == (("one", "a"), ("two", "b"))


def test_places_are_physical_lines_even_after_a_field_of_several_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('text,label\n"one\ntwo\nthree",a\n\nfour,b\n')
    assert list(read_table(path).places) == ["a.csv:2", "a.csv:6"]


def test_a_file_without_header_gets_names_and_a_note(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("".join(f"a text of number {i},{'yes' if i % 2 else 'no'}\n" for i in range(10)))
    table = read_table(path)
    assert table.columns == ("text", "label")
    assert len(table.rows) == 10
    assert "no header" in table.notes[0]


def test_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "one", "label": 1}\n\n{"label": 2.0, "text": "zwei"}\n')
    table = read_table(path)
    assert table.rows == (("one", "1"), ("zwei", "2"))
    assert list(table.places) == ["a.jsonl:1", "a.jsonl:3"]


def test_xlsx(tmp_path: Path) -> None:
    from openpyxl import Workbook

    book = Workbook()
    assert book.active is not None
    for row in [("text", "label"), *ROWS]:
        book.active.append(row)
    book.save(tmp_path / "a.xlsx")
    assert list(read_table(tmp_path / "a.xlsx").rows) == ROWS


def test_parquet_and_frames(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    frame = pandas.DataFrame(ROWS, columns=["text", "label"])
    frame.to_parquet(tmp_path / "a.parquet")
    assert list(read_table(tmp_path / "a.parquet").rows) == ROWS
    assert list(read_table(frame).rows) == ROWS


def test_folder_of_class_folders(tmp_path: Path) -> None:
    for label, text in [("no", "bad"), ("yes", "good")]:
        (tmp_path / label).mkdir()
        (tmp_path / label / "1.txt").write_text(text)
    table = read_table(tmp_path)
    assert table.rows == (("bad", "no"), ("good", "yes"))


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"text": "one", "label": "a"}\n')))
    assert read_table("-").rows == (("one", "a"),)


@pytest.mark.parametrize("reader", [read_table, read_lines])
def test_standard_input_has_a_limit(reader: Callable[[str], object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fewtune.data.read.MAX_BYTES", 10)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"text,label\na,b\n")))
    with pytest.raises(DataError, match="too much"):
        reader("-")


@pytest.mark.parametrize(
    ("name", "content", "what", "where"),
    [
        ("empty.csv", b"", "empty", "empty.csv"),
        ("blank.csv", b"\n \n", "empty", "blank.csv"),
        ("header.csv", b"text,label\n", "no rows", "header.csv"),
        ("picture.csv", b"\x89PNG\r\n\x1a\n\0\0", "binary", "picture.csv"),
        ("nul.csv", b"text,label\none,a\ntwo\0,b\n", "binary", "nul.csv"),
        ("ragged.csv", b"text,label\none,a\ntwo,b,c\n", "3 fields", "ragged.csv:3"),
        ("quote.csv", b'text,label\n"one,a\ntwo,b\n', "cannot be read", "quote.csv:2"),
        ("twice.csv", b"text,text\none,a\n", "Two columns", "twice.csv:1"),
        ("bad.jsonl", b'{"text": "a"}\n{oops}\n', "not JSON", "bad.jsonl:2"),
        ("list.jsonl", b"[1, 2]\n", "not an object", "list.jsonl:1"),
        ("broken.xlsx", b"PK\x03\x04 nothing", "workbook", "broken.xlsx"),
        ("model.bin", b"abc", "not read", "model.bin"),
    ],
)
def test_bad_files_say_what_and_where(tmp_path: Path, name: str, content: bytes, what: str, where: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_table(path)
    assert what in caught.value.what
    assert caught.value.where == where
    assert caught.value.how


def test_a_missing_file_names_near_ones(tmp_path: Path) -> None:
    (tmp_path / "tickets.csv").write_text("text,label\n")
    with pytest.raises(DataError) as caught:
        read_table(tmp_path / "ticket.csv")
    assert "tickets.csv" in caught.value.how


CELL = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).filter(lambda text: text.strip())


@given(st.lists(st.tuples(CELL, CELL), min_size=1, max_size=8))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_cells_read_back_from_tsv(tmp_path: Path, rows: list[tuple[str, ...]]) -> None:
    path = write_csv(tmp_path / "a.tsv", rows, delimiter="\t", quoting=csv.QUOTE_ALL)  # type: ignore[arg-type]
    table = read_table(path)
    # A first row that looks like data would be taken as such; here the header always comes first.
    assert list(table.rows) == rows or "no header" in table.notes[-1]


@given(st.binary(max_size=200), st.sampled_from([".csv", ".jsonl", ".xlsx", ".tsv"]))
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_bytes_are_read_or_refused_in_words(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    try:
        table = read_table(path)
    except DataError:
        return
    assert all(len(row) == len(table.columns) for row in table.rows)


def test_pairs_dictionaries_and_texts() -> None:
    assert read_table([("a", "x"), ("b", "y")]).columns == ("text", "label")
    assert read_table([{"t": "a", "k": 1}]).rows == (("a", "1"),)
    assert read_table(["a", "b"]).columns == ("text",)
    with pytest.raises(DataError, match="not a pair"):
        read_table([("a", "x"), ("b",)])


def test_sha256_follows_the_content(tmp_path: Path) -> None:
    first = read_table([("a", "x"), ("b", "y")]).sha256
    assert first == read_table([("a", "x"), ("b", "y")]).sha256
    assert first != read_table([("a", "x"), ("b", "z")]).sha256


def test_json_values_become_text(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"text": None, "label": True}) + "\n")
    assert read_table(path).rows == (("", "true"),)


def test_plain_lines_are_texts(tmp_path: Path) -> None:
    path = tmp_path / "new.txt"
    path.write_text("Where is it?\n\nLate, broken, and rude; never again\n", encoding="utf-8")
    table = read_texts(path)
    assert table.column("text") == ["Where is it?", "", "Late, broken, and rude; never again"]
    assert table.places[2] == "new.txt:3"
    assert "each line is a text" in table.notes
    path.write_text("text\nLate, broken, and rude\n", encoding="utf-8")
    assert read_texts(path).rows == (("Late, broken, and rude",),)
    path.write_text("Question, where is my card?\nGone\n", encoding="utf-8")
    assert len(read_texts(path).rows) == 2


@pytest.mark.parametrize("content", ["text,label\ngood,yes\nbad,no\n", "good\tyes\nbad\tno\n" * 3])
def test_a_table_in_a_text_file_stays_one(tmp_path: Path, content: str) -> None:
    path = tmp_path / "rows.txt"
    path.write_text(content, encoding="utf-8")
    assert read_texts(path).rows == read_table(path).rows
    assert len(read_texts(path).columns) == 2


def test_a_text_file_of_nothing_but_a_byte_order_mark_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "nothing.txt"
    path.write_bytes(b"\xef\xbb\xbf")
    with pytest.raises(DataError, match="empty"):
        read_texts(path)
