"""What became of a smaller model, in both languages."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import pytest

from fewtune.compress.wording import FAILED
from fewtune.report.blocks import Paragraph
from fewtune.report.data import ReportData
from fewtune.report.facts import Report
from fewtune.report.sections.compression import compression
from fewtune.types import Compression, Evidence, Footprint, Trade

FOOTPRINT = Footprint(size_mb=60.0, load_ms=80.0, p50_ms=5.0, p95_ms=6.0, per_second=200.0, peak_memory_mb=300.0)
EVIDENCE = Evidence("labels", 80, 0.1, 0.02, drop=0.041, bound=0.083, held=False, proven=False)


def introduction(facts: dict[str, Any], *failed: str, evidence: Evidence = EVIDENCE) -> Paragraph:
    trades = (Trade("original", FOOTPRINT, 0.9), Trade("int8", FOOTPRINT, 0.86, evidence, failed))
    found = Compression("", 0.01, "on 80 examples", 2, trades, "The original was kept. Int8: it is slower here.")
    section = compression(Report({**facts, "compression": asdict(found)}, ReportData(), "tickets.fewtune"))
    assert section is not None
    paragraph = section.blocks[0]
    assert isinstance(paragraph, Paragraph)
    return paragraph


@pytest.mark.parametrize("promise", FAILED)
def test_every_broken_promise_is_said_in_both_languages(facts: dict, promise: str) -> None:
    said = introduction(facts, promise).text
    assert FAILED[promise] in said.en
    assert 'lang="en"' not in said.zh
    assert FAILED[promise] not in said.zh


@pytest.mark.parametrize("by", ["labels", "metric", "answers", "probabilities"])
def test_the_figures_of_the_first_one_are_there(facts: dict, by: Any) -> None:
    said = introduction(facts, "score", "speed", evidence=replace(EVIDENCE, by=by)).text
    assert ("8.3%" in said.en) == ("8.3%" in said.zh) == (by != "probabilities")
    assert "它在这台机器上更慢" in said.zh
    assert "它的回答相差太大" in said.zh
