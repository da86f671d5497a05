"""Look at a report in headless Chromium: axe-core's findings, requests, messages, widths.

Needs Chromium, `pip install playwright` and `npm install axe-core` (or AXE=path/to/axe.min.js).

    python -m tests.report.browser tickets-report.html [--pictures FOLDER]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
LOOKS = {
    "light": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light", "locale": "en-US"},
    "dark": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark", "locale": "en-US"},
    "chinese": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light", "locale": "zh-CN"},
    "narrow": {"viewport": {"width": 360, "height": 800}, "color_scheme": "dark", "locale": "zh-CN"},
    "without-script": {
        "viewport": {"width": 1280, "height": 900},
        "locale": "zh-CN",
        "java_script_enabled": False,
    },
}


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at a page showed.

    Attributes:
        violations: axe-core's rules that are broken, with the elements; empty where the page's script is off.
        requests: what the page asked for, itself aside.
        messages: of the console.
        overflow_px: how much wider than the window the page is.
        language: of the document.
        shown: its visible text.
    """

    violations: list[str]
    requests: list[str]
    messages: list[str]
    overflow_px: int
    language: str
    shown: str


def find_chromium() -> str | None:
    """The installed Chromium."""
    return next((path for name in _NAMES if (path := shutil.which(name))), None)


def find_axe() -> Path | None:
    """axe-core's script: where AXE says, or among the npm packages here."""
    places = [Path(os.environ.get("AXE", "")), Path("node_modules/axe-core/axe.min.js")]
    return next((place for place in places if place.is_file()), None)


@contextmanager
def browser() -> Iterator[Any]:
    """A running Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox"])
        try:
            yield opened
        finally:
            opened.close()


def look(opened: Any, page_file: Path, name: str, *, picture: Path | None = None) -> Look:
    """Open a page as one of LOOKS, and check it."""
    context = opened.new_context(**LOOKS[name])
    page = context.new_page()
    requests: list[str] = []
    messages: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.goto(page_file.resolve().as_uri())
    if picture:
        page.screenshot(path=str(picture), full_page=True)
    language, overflow = page.evaluate(
        "[document.documentElement.lang, document.documentElement.scrollWidth - innerWidth]"
    )
    shown = page.inner_text("body")
    wrong: list[str] = []
    if LOOKS[name].get("java_script_enabled", True):
        page.evaluate("document.querySelectorAll('details').forEach(some => { some.open = true; })")
        wrong = violations(page)
    found = Look(wrong, requests[1:], messages, overflow, language, shown)
    context.close()
    return found


def violations(page: Any) -> list[str]:
    """What axe-core finds wrong with a page as it is; nothing where axe-core is not installed."""
    axe = find_axe()
    if axe is None:
        return []
    page.evaluate(axe.read_text(encoding="utf-8"))
    options = {"runOnly": {"type": "tag", "values": _TAGS}, "resultTypes": ["violations"]}
    result = page.evaluate("options => axe.run(document, options)", options)
    return [
        f"{rule['id']}: {node['html'][:200]} {node['failureSummary']}"
        for rule in result["violations"]
        for node in rule["nodes"]
    ]


def main() -> None:
    """Print what was seen of each page, a JSON line a look."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", nargs="+", type=Path)
    parser.add_argument("--pictures", type=Path, help="a folder for screenshots")
    given = parser.parse_args()
    if given.pictures:
        given.pictures.mkdir(parents=True, exist_ok=True)
    with browser() as opened:
        for page in given.pages:
            for name in LOOKS:
                picture = given.pictures / f"{page.stem}-{name}.png" if given.pictures else None
                seen = asdict(look(opened, page, name, picture=picture))
                del seen["shown"]
                print(json.dumps({"page": page.name, "look": name, "kb": page.stat().st_size // 1000, **seen}))


if __name__ == "__main__":
    main()
