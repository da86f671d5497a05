from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from fewtune.report.data import ReportData, read_private
from tests.report.sample import TICKETS, as_lines, make_answers, make_facts, make_label_issues


@pytest.fixture(scope="session")
def facts() -> dict:
    return make_facts()


@pytest.fixture(scope="session")
def data() -> ReportData:
    return read_private(private_files())


def private_files() -> dict[str, bytes]:
    return {
        "out_of_fold.jsonl": as_lines(make_answers(TICKETS, 300)),
        "label_issues.jsonl": as_lines(make_label_issues()),
    }


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle without its graphs: what a report reads of it is there."""
    folder = tmp_path / "tickets.fewtune"
    (folder / "private").mkdir(parents=True)
    entries = {}
    for name, content in private_files().items():
        (folder / "private" / name).write_bytes(content)
        entries[name] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    facts = {**make_facts(), "files": {}, "private_files": entries}
    (folder / "bundle.json").write_text(json.dumps(facts), encoding="utf-8")
    return folder
