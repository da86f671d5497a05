"""The pages in a real browser: they work, in both languages, and reach nothing but the service."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("playwright")

from playwright.sync_api import expect, sync_playwright

import fewtune
from tests.pictures import draw, needs_network, scene
from tests.serve.conftest import Folders, running

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium here")
# Where somebody wants to look at them.
PICTURES = os.environ.get("SERVE_PICTURES")
HOSTILE = "<img src=x onerror=alert(1)> Where is my parcel? 快递"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def url(tfidf_model: fewtune.Model, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(tfidf_model.bundle, cwd=tmp_path_factory.mktemp("service")) as (_, address):
        yield address


class Seen:
    """A page, and all that it complained of or asked others for."""

    def __init__(self, browser: Any, url: str, path: str = "/", **options: Any) -> None:
        self.complaints: list[str] = []
        self.page = browser.new_context(**options).new_page()
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        self.page.on("request", lambda request: self._note(request.url, url))
        self.page.goto(url + path)

    def _note(self, asked: str, url: str) -> None:
        if not asked.startswith(url):
            self.complaints.append(f"asked for {asked}")


@pytest.mark.parametrize(
    ("locale", "scheme", "width", "word"), [("en-US", "light", 1000, "Spoke most"), ("zh-CN", "dark", 360, "词")]
)
def test_a_text_gets_its_answer_by_keyboard_alone(
    browser: Any, url: str, locale: str, scheme: str, width: int, word: str
) -> None:
    seen = Seen(browser, url, locale=locale, color_scheme=scheme, viewport={"width": width, "height": 800})
    page = seen.page
    page.wait_for_selector("#about p")
    assert page.evaluate("document.documentElement.lang") == locale[:2]
    page.focus("#text")
    page.keyboard.insert_text(HOSTILE)
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("#result:not([hidden])")
    assert page.text_content("#words") == HOSTILE
    assert page.locator(".bars li").count() == 5
    assert page.locator("#words img").count() == 0
    assert "%" in page.text_content("#answer")
    assert page.text_content("#status") == page.text_content("#answer")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("#told").text_content()
    page.click("#language")
    assert page.evaluate("document.documentElement.lang") != locale[:2]
    assert seen.complaints == []


def test_errors_are_told(browser: Any, url: str) -> None:
    seen = Seen(browser, url, locale="en-US")
    seen.page.click("#go")
    assert seen.page.text_content("#error") == "Type a text first."
    seen.page.fill("#text", "x" * 20_001)
    seen.page.click("#go")
    seen.page.wait_for_selector("#error:has-text('20000 characters')")
    assert all("422" in complaint for complaint in seen.complaints)


def test_the_token_is_asked_for(browser: Any, tfidf_model: fewtune.Model, tmp_path: Path) -> None:
    with running(tfidf_model.bundle, cwd=tmp_path, FEWTUNE_TOKEN="secret") as (_, address):
        page = Seen(browser, address, locale="en-US").page
        page.wait_for_selector("#token:visible")
        page.fill("#token", "secret")
        page.fill("#text", "hello")
        page.keyboard.press("Control+Enter")
        page.wait_for_selector("#result:not([hidden])")


def test_the_api_page_shows_every_route(browser: Any, url: str) -> None:
    seen = Seen(browser, url, "/docs")
    seen.page.wait_for_selector("#routes details")
    shown = seen.page.text_content("#routes")
    for route in ("POST /predict", "POST /models/{name}/explain", "GET /metrics"):
        assert route in shown
    assert seen.complaints == []


def look(page: Any, name: str) -> None:
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    if PICTURES:
        page.screenshot(path=f"{PICTURES}/{name}.png", full_page=True)


@needs_network
def test_pictures_are_shown_with_what_was_found(browser: Any, bundles: Folders, tmp_path: Path) -> None:
    draw("disc", 50, 160).save(tmp_path / "<img src=x onerror=alert(1)>.png".replace("/", ""))
    (disc,) = tmp_path.glob("*.png")
    seen_of = tmp_path / "scene.png"
    scene(101)[0].resize((480, 320)).save(seen_of)
    folders = [bundles(task) for task in ("image-classification", "object-detection", "segmentation", "translation")]
    with running(*folders, cwd=tmp_path) as (_, address):
        seen = Seen(browser, address, locale="en-US", viewport={"width": 800, "height": 900})
        page = seen.page
        page.wait_for_selector("#about p")
        page.click("#go")
        assert page.text_content("#error") == "Choose a picture first."
        page.set_input_files("#picture", disc)
        page.wait_for_selector("#result:not([hidden])")
        assert page.text_content("#answer").startswith("disc")
        assert page.locator("#details canvas").get_attribute("aria-label").startswith("Your picture. disc")
        look(page, "classes")
        page.select_option("#model", "boxes")
        page.set_input_files("#picture", seen_of)
        page.wait_for_selector("#details #least")
        page.fill("#least", "5")
        page.wait_for_selector("#found li")
        at_five = page.locator("#found li").count()
        page.fill("#least", "100")
        expect(page.locator("#found li")).to_have_count(0)
        assert at_five > 0
        page.fill("#least", "20")
        look(page, "boxes")
        page.select_option("#model", "masks")
        transfer = page.evaluate_handle(
            "async () => { const made = new DataTransfer(); const canvas = new OffscreenCanvas(60, 40);"
            " canvas.getContext('2d').fillRect(0, 0, 30, 40);"
            " made.items.add(new File([await canvas.convertToBlob()], 'a.png')); return made; }"
        )
        page.dispatch_event("#picture-row", "drop", {"dataTransfer": transfer})
        page.wait_for_selector("#found input")
        page.locator("#found input").first.uncheck()
        look(page, "masks")
        page.click("#language")
        page.wait_for_selector("#answer:has-text('各像素的类别')")
        page.select_option("#model", "manual")
        page.fill("#text", "the cat sees the dog")
        page.press("#text", "Control+Enter")
        page.wait_for_selector("#details .written")
        look(page, "translation")
        assert seen.complaints == []
