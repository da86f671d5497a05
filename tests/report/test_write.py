from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fewtune.errors import BundleError, OutputError
from fewtune.report.data import ReportData, read_private
from fewtune.report.write import write_report


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fewtune", "report", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, env={**os.environ})


def test_the_command_writes_a_page(bundle: Path) -> None:
    done = run("tickets.fewtune", "--json", cwd=bundle.parent)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"out": "tickets-report.html"}
    page = (bundle.parent / "tickets-report.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert "包裹" in page


def test_the_command_refuses_to_overwrite(bundle: Path) -> None:
    (bundle.parent / "page.html").write_text("mine")
    done = run("tickets.fewtune", "--out", "page.html", "--json", cwd=bundle.parent)
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["how"] == "Give another --out, or add --overwrite."
    assert (bundle.parent / "page.html").read_text() == "mine"
    assert run("tickets.fewtune", "--out", "page.html", "--overwrite", cwd=bundle.parent).returncode == 0
    assert (bundle.parent / "page.html").read_text() != "mine"


def test_the_page_goes_where_it_is_wanted(bundle: Path) -> None:
    out = bundle.parent / "new" / "folder" / "page.html"
    assert write_report(bundle, out) == out
    assert [path.name for path in out.parent.iterdir()] == ["page.html"]


def test_a_folder_is_no_place_for_a_page(bundle: Path) -> None:
    with pytest.raises(OutputError, match="folder"):
        write_report(bundle, bundle.parent, overwrite=True)


def test_without_private_the_page_has_no_examples(bundle: Path) -> None:
    shutil.rmtree(bundle / "private")
    page = write_report(bundle, bundle.parent / "page.html").read_text(encoding="utf-8")
    assert "came without its private/ folder" in page
    assert "包裹" not in page


def test_an_altered_bundle_has_no_report(bundle: Path) -> None:
    (bundle / "private" / "out_of_fold.jsonl").write_text("{}\n")
    with pytest.raises(BundleError, match="altered"):
        write_report(bundle, bundle.parent / "page.html")


def test_no_bundle_no_report(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no such bundle"):
        write_report(tmp_path / "none", tmp_path / "page.html")


def test_private_files_are_read() -> None:
    line = '{"place": "a:2", "text": "t", "label": "x", "prediction": "y", "confidence": 0.5}\n'
    data = read_private({"out_of_fold.jsonl": (line + '{"place": "a:3", "text": "u", "label": "x"}\n').encode()})
    assert data.out_of_fold is not None
    assert [(answer.text, answer.is_right) for answer in data.out_of_fold] == [("t", False)]
    assert (data.test, data.label_issues) == (None, None)
    assert read_private({"report.html": b""}) == ReportData()


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("out_of_fold.jsonl", b"{", "malformed"),
        ("out_of_fold.jsonl", b"\xff", "malformed"),
        ("test.jsonl", b"[1]", "no object"),
        ("test.jsonl", b'{"prediction": "y", "place": "a", "text": "t"}', "lacks label, confidence"),
        ("label_issues.jsonl", b'{"place": "a"}', "lacks text"),
    ],
)
def test_private_files_that_are_not_ours_are_refused(name: str, content: bytes, why: str) -> None:
    with pytest.raises(BundleError, match=why):
        read_private({name: content})
