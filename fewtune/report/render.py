"""Put the sections into one page that needs nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from fewtune.report.blocks import Section
from fewtune.report.data import ReportData
from fewtune.report.facts import Report
from fewtune.report.sections.again import again
from fewtune.report.sections.attacks import attacks
from fewtune.report.sections.candidates import candidates
from fewtune.report.sections.compression import compression
from fewtune.report.sections.confidence import confidence
from fewtune.report.sections.confusions import confusions
from fewtune.report.sections.found_boxes import found_boxes
from fewtune.report.sections.learning_curve import learning_curve
from fewtune.report.sections.next_steps import next_steps
from fewtune.report.sections.outcome import outcome
from fewtune.report.sections.replies import replies
from fewtune.report.sections.scores import scores
from fewtune.report.sections.segmented import segmented
from fewtune.report.sections.suspects import suspects
from fewtune.report.sections.training_data import training_data
from fewtune.report.sections.unsure import unsure
from fewtune.report.sections.worst import worst
from fewtune.report.wording import task_name

if TYPE_CHECKING:
    from jinja2 import Template

_SECTIONS: tuple[Callable[[Report], Section | None], ...] = (
    outcome,
    next_steps,
    training_data,
    candidates,
    scores,
    confusions,
    found_boxes,
    segmented,
    replies,
    confidence,
    unsure,
    learning_curve,
    suspects,
    worst,
    attacks,
    compression,
    again,
)
# Control characters, lone surrogates and code points that are none: HTML has no way to write them.
_FORBIDDEN = re.compile(
    "[\\x00-\\x08\\x0b\\x0e-\\x1f\\x7f-\\x9f\\ud800-\\udfff\\ufdd0-\\ufdef"
    + "".join(f"{chr(plane * 0x10000 + 0xFFFE)}{chr(plane * 0x10000 + 0xFFFF)}" for plane in range(17))
    + "]"
)


def render_report(facts: Mapping[str, Any], data: ReportData, name: str) -> str:
    """Write the report of a bundle.

    Args:
        facts: what bundle.json holds.
        data: the private examples; without them the report has none.
        name: of the bundle.

    Returns:
        A whole HTML page, in English and Chinese.
    """
    report = Report(facts, data, name)
    sections = [section for make in _SECTIONS if (section := make(report)) is not None]
    style, script = _asset("style.css"), _asset("script.js")
    page = _template().render(
        name=name,
        task=task_name(facts["task"]),
        sections=sections,
        style=Markup(style),
        script=Markup(script),
        policy=_policy(style, script),
        version=facts["fewtune_version"],
    )
    return _FORBIDDEN.sub("\ufffd", page)


def _policy(style: str, script: str) -> str:
    """Nothing may be loaded or sent; only the page's own style and script may run."""
    allowed = f"style-src '{_fingerprint(style)}'; script-src '{_fingerprint(script)}'"
    return f"default-src 'none'; {allowed}; img-src data:; base-uri 'none'; form-action 'none'"


def _fingerprint(content: str) -> str:
    digest = hashlib.sha256(content.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def _asset(name: str) -> str:
    return (files("fewtune.report") / "templates" / name).read_text(encoding="utf-8")


@cache
def _template() -> Template:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("fewtune.report")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("report.html")
