"""The page in a real browser, from the first example to the bundle that runs, in both languages and for both kinds."""

from __future__ import annotations

import io
import json
import os
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("playwright")

from playwright.sync_api import Page, expect, sync_playwright

import fewtune
from fewtune.data.mask import read_mask
from fewtune.data.read.masks import read_masked_pictures
from tests.conftest import needs_encoder
from tests.pictures import draw, needs_network, scene
from tests.report.browser import violations
from tests.studio.conftest import running

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium here")
HOSTILE = "<img src=x onerror=alert(1)>"
BILLING = ("I was charged twice for one order", "refund the fee that you charged", "the invoice charges me twice")
BILLING += ("you charged the wrong card", "please refund the charge", "why was the fee charged")
PARCEL = ("the parcel is late again", "where is my parcel now", "my parcel came broken", "track the parcel for me")
PARCEL += ("the parcel went to a neighbour", "when does the parcel arrive")
# Where somebody wants to look at them.
PICTURES = os.environ.get("STUDIO_PICTURES")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(tmp_path_factory.mktemp("studio")) as (_, address):
        yield address


@contextmanager
def seen(browser: Any, url: str, look: str, **options: Any) -> Iterator[Page]:
    """A page that must not complain, ask others for anything, or be wider than its window."""
    complaints: list[str] = []
    context = browser.new_context(accept_downloads=True, **options)
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(dialog.message))
    page.on("request", lambda request: _note(complaints, request.url, url))
    page.goto(url)
    yield page
    picture(page, f"{look}-last")
    assert complaints == []
    context.close()


def _note(complaints: list[str], asked: str, url: str) -> None:
    if not asked.startswith((url, f"blob:{url}")):
        complaints.append(f"asked for {asked}")


def picture(page: Page, name: str) -> None:
    """Look at the page as it is: it fits its window, and everybody can read it."""
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    assert violations(page) == []
    if PICTURES:
        page.wait_for_timeout(300)
        page.screenshot(path=f"{PICTURES}/{name}.png", full_page=True)


def tab(page: Page, number: int) -> None:
    page.click(f"#tabs a:nth-child({number})")
    expect(page.locator(f"#tabs a:nth-child({number})")).to_have_attribute("aria-current", "page")


def new_project(page: Page, title: str, task: str, labels: tuple[str, ...]) -> None:
    page.fill("#new-title", title)
    page.select_option("#new-task", task)
    page.press("#new-title", "Enter")
    for count, label in enumerate(labels, 1):
        page.fill("#label-name", label)
        page.press("#label-name", "Enter")
        expect(page.locator("#labels > li")).to_have_count(count)


def train(page: Page, method: str, rungs: int = 1) -> None:
    tab(page, 3)
    page.click("summary")
    page.select_option("#method", method)
    page.fill("#budget", "0")
    page.focus("#train")
    page.keyboard.press("Enter")
    expect(page.locator("#stop")).to_be_focused()
    page.reload()  # loses nothing
    expect(page.locator(".ladder tbody tr")).to_have_count(rungs, timeout=300_000)
    expect(page.locator("#training a")).to_be_visible(timeout=300_000)


def bundle(page: Page, folder: Path, press: str = "#download") -> fewtune.Model:
    tab(page, 5)
    with page.expect_download() as started:
        page.click(press)
    content = started.value.path().read_bytes()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        archive.extractall(folder)
    (found,) = folder.glob("*.fewtune")
    return fewtune.load(found)


@pytest.mark.parametrize(
    ("locale", "scheme", "width", "words"),
    [
        ("en-US", "light", 1200, ("Saved: billing", "of 100 new texts get the right class", "as small as it can be")),
        ("zh-CN", "dark", 360, ("已保存：billing", "条会被判对", "不能再小")),
    ],
)
def test_twelve_texts_become_a_model_by_keyboard(
    browser: Any, url: str, tmp_path: Path, locale: str, scheme: str, width: int, words: tuple[str, str, str]
) -> None:
    look = f"texts-{locale[:2]}"
    viewport = {"width": width, "height": 900}
    with seen(browser, url, look, locale=locale, color_scheme=scheme, viewport=viewport) as page:
        picture(page, f"{look}-start")
        new_project(page, f"Post {HOSTILE}", "text-classification", ("billing", f"parcel {HOSTILE}"))
        for count, text in enumerate((*BILLING, *PARCEL, HOSTILE), 1):
            page.fill("#new-text", text)
            page.press("#new-text", "Control+Enter")
            expect(page.locator("#rows > li")).to_have_count(count)
        assert page.locator("main img").count() == 0
        picture(page, f"{look}-data")
        tab(page, 2)
        for text in (*BILLING, *PARCEL):
            expect(page.locator("#card .text")).to_have_text(text)
            page.keyboard.press("1" if text in BILLING else "2")
        expect(page.locator("#card .text")).to_have_text(HOSTILE)
        page.keyboard.press("u")
        expect(page.locator("#card .text")).to_have_text(PARCEL[-1])
        page.keyboard.press("1")
        expect(page.locator("#status")).to_have_text(words[0])
        page.reload()
        expect(page.locator("#card .text")).to_have_text(HOSTILE)
        page.keyboard.press("u")  # over a reload too
        expect(page.locator("#card .text")).to_have_text(PARCEL[-1])
        page.keyboard.press("2")
        page.keyboard.press("s")
        expect(page.locator("#left")).to_contain_text("12")
        picture(page, f"{look}-label")
        train(page, "tfidf")
        picture(page, f"{look}-train")
        tab(page, 4)
        expect(page.locator("main .sentence")).to_contain_text(words[1])
        page.fill("#try-text", "where is the parcel")
        page.press("#try-text", "Control+Enter")
        expect(page.locator("#answer h3").first).to_contain_text("%")
        picture(page, f"{look}-see")
        assert page.evaluate("document.documentElement.lang") == {"en": "en", "zh": "zh-Hans"}[locale[:2]]
        tab(page, 5)
        expect(page.locator("#smaller")).to_contain_text(words[2])  # there is no encoder in it
        picture(page, f"{look}-take")
        model = bundle(page, tmp_path)
        assert model.labels == ("billing", f"parcel {HOSTILE}")
        assert model.predict(["the charged fee", "my parcel"]) == list(model.labels)


@needs_encoder
def test_the_model_is_made_smaller_beside_the_one_that_was_trained(browser: Any, url: str, tmp_path: Path) -> None:
    viewport = {"width": 360, "height": 900}
    with seen(browser, url, "smaller-zh", locale="zh-CN", color_scheme="dark", viewport=viewport) as page:
        new_project(page, "Small", "text-classification", ())
        rows = [f"{text},{label}" for label, texts in (("billing", BILLING), ("parcel", PARCEL)) for text in texts]
        content = "\n".join(["text,label", *rows]).encode()
        page.set_input_files("#file", {"name": "rows.csv", "mimeType": "text/csv", "buffer": content})
        expect(page.locator("#rows > li")).to_have_count(len(rows))
        train(page, "head")
        tab(page, 5)
        page.locator("section", has=page.locator("#make-smaller")).locator("summary").click()
        page.select_option("#max-drop", "0.05")
        page.focus("#make-smaller")
        page.keyboard.press("Enter")
        expect(page.locator("#stop-smaller")).to_be_focused()
        expect(page.locator("#smaller-progress")).to_contain_text("正在把模型变小")
        page.reload()  # loses nothing
        expect(page.locator("#stop-smaller")).to_be_visible()
        picture(page, "smaller-zh-running")
        page.click("#stop-smaller")
        expect(page.locator("#smaller-progress")).to_contain_text("已停止，模型保持原样")
        page.click("#make-smaller")
        expect(page.locator("#smaller .costs tbody tr")).to_have_count(2, timeout=300_000)
        expect(page.locator("#smaller")).to_contain_text("原模型")
        picture(page, "smaller-zh")
        page.click("#language")
        expect(page.locator("#smaller")).to_contain_text("original")
        if page.locator("#download-smaller").count():  # on a busy machine the clock may speak against it
            model = bundle(page, tmp_path, "#download-smaller")
            assert model.predict(["the charged fee", "my parcel"]) == list(model.labels)


@needs_network
def test_pictures_become_a_model(browser: Any, url: str, tmp_path: Path) -> None:
    pack = tmp_path / f"parts & {HOSTILE.replace('/', '')}.zip"
    with zipfile.ZipFile(pack, "w") as archive:
        for kind in ("disc", "lines"):
            for number in range(6):
                content = io.BytesIO()
                draw(kind, number).save(content, "PNG")
                archive.writestr(f"{kind}/{number}.png", content.getvalue())
        archive.writestr("disc/broken.png", b"no picture")
    alone = tmp_path / "alone.png"
    draw("disc", 77).save(alone)
    with seen(browser, url, "pictures", locale="en-US", viewport={"width": 1200, "height": 900}) as page:
        new_project(page, "Parts", "image-classification", ())
        page.set_input_files("#file", pack)
        expect(page.locator("#rows > li")).to_have_count(12)
        expect(page.locator(".drop ul.faint")).to_contain_text("broken.png")
        page.set_input_files("#file", alone)
        expect(page.locator("#rows > li")).to_have_count(13)
        picture(page, "pictures-data")
        tab(page, 2)
        expect(page.locator("#card figcaption")).to_have_text("alone.png")
        picture(page, "pictures-label")
        page.keyboard.press("1")
        expect(page.locator("#left")).to_contain_text("13")
        train(page, "head", rungs=2)  # learning from mirrored pictures, and from more views
        page.click("#language")
        tab(page, 4)
        expect(page.locator("main")).to_contain_text("它有多好")
        page.set_input_files("#try-picture", alone)
        expect(page.locator("#answer h3")).to_contain_text("disc")
        picture(page, "pictures-see")
        model = bundle(page, tmp_path)
        assert model.predict([draw("lines", 50)]) == ["lines"]


def test_findings_are_mended_with_a_click(browser: Any, url: str) -> None:
    with seen(browser, url, "findings", locale="en-US") as page:
        new_project(page, "Findings", "text-classification", ())
        rows = [
            "text,label",
            "one thing,A",
            "one thing,A",
            "two things,a",
            "both ways,A",
            "both ways,b",
            "<b>,b",
            "<i>x</i>,b",
        ]
        page.set_input_files("#file", {"name": "rows.csv", "mimeType": "text/csv", "buffer": "\n".join(rows).encode()})
        expect(page.locator("#rows > li")).to_have_count(7)
        page.click("text=Delete the repeats")
        expect(page.locator("#rows > li")).to_have_count(6)
        page.click("text=Make “a” the same as “A”")
        expect(page.locator("#labels > li")).to_have_count(2)
        clash = page.locator(".finding", has_text="under several labels")
        picture(page, "findings")
        clash.locator("li", has_text="both ways").first.get_by_role("button").click()
        expect(page.locator("#rows > li")).to_have_count(5)
        page.locator("body").click(position={"x": 1, "y": 1})


def test_two_windows_on_one_project(browser: Any, url: str) -> None:
    with seen(browser, url, "windows", locale="en-US") as page:
        new_project(page, "Windows", "text-classification", ("a", "b"))
        for count, text in enumerate(("first", "second"), 1):
            page.fill("#new-text", text)
            page.press("#new-text", "Control+Enter")
            expect(page.locator("#rows > li")).to_have_count(count)
        tab(page, 2)
        expect(page.locator("#card .text")).to_have_text("first")
        other = page.context.new_page()
        other.goto(page.url)
        expect(other.locator("#card .text")).to_have_text("first")
        other.keyboard.press("2")
        expect(other.locator("#card .text")).to_have_text("second")
        expect(page.locator("#left")).to_contain_text("1 labelled")
        other.close()


def test_what_is_refused_is_told_in_the_pages_language(browser: Any, url: str) -> None:
    context = browser.new_context(locale="zh-CN")
    page = context.new_page()
    page.goto(url)
    new_project(page, "拒绝", "text-classification", ("a",))
    page.set_input_files("#file", {"name": "a.png", "mimeType": "image/png", "buffer": b"no"})
    expect(page.locator("#error")).to_contain_text("这不是文本表格")
    tab(page, 3)
    page.click("#train")
    expect(page.locator("#error")).to_contain_text("至少需要两个标签")
    context.close()


def test_the_token_is_asked_for(browser: Any, tmp_path: Path) -> None:
    with running(tmp_path, FEWTUNE_TOKEN="secret") as (_, address):
        context = browser.new_context(locale="en-US")
        page = context.new_page()
        page.goto(address)
        page.fill("#token", "secret")
        page.press("#token", "Enter")
        expect(page.locator("#new-title")).to_be_visible()
        context.close()


def test_the_words_of_both_languages_have_the_same_names() -> None:
    import re
    from importlib.resources import files

    folder = files("fewtune.studio") / "page"
    names = {}
    for language in ("en", "zh"):
        text = (folder / f"words-{language}.js").read_text(encoding="utf-8")
        body = re.sub(r"\"[^\"]*\"|`[^`]*`", "", text.split("errors: {")[0].split("export const")[1])
        names[language] = set(re.findall(r"(\w+):", body))
    assert names["en"] == names["zh"]


def test_every_step_has_chinese_words() -> None:
    import re
    from importlib.resources import files

    root = Path(str(files("fewtune")))
    words = (root / "studio" / "page" / "words-zh.js").read_text(encoding="utf-8").split("export const")[0]
    patterns = re.findall(r"\[/(.+?)/, ", words)
    sources = "".join(path.read_text(encoding="utf-8") for path in sorted(root.rglob("*.py")))
    steps = {re.sub(r"{.*?}", "X", name) for name in re.findall(r"\.step\(\s*f?\"(.+?)\"", sources)}
    assert {"Folds of X", "Answer as the original does", "Predict"} <= steps
    assert {step for step in steps if not any(re.search(pattern, step) for pattern in patterns)} == set()


@pytest.mark.parametrize(("locale", "scheme", "width"), [("en-US", "light", 1200), ("zh-CN", "dark", 360)])
def test_boxes_are_drawn_by_pointer_and_by_keyboard(
    browser: Any, url: str, tmp_path: Path, locale: str, scheme: str, width: int
) -> None:
    look, viewport = f"boxes-{locale[:2]}", {"width": width, "height": 900}
    for number in range(3):
        scene(number, 480, 320)[0].save(tmp_path / f"{number} {HOSTILE.replace('/', '')}.png")
    with seen(browser, url, look, locale=locale, color_scheme=scheme, viewport=viewport) as page:
        new_project(page, "Things", "object-detection", ("disc", f"square {HOSTILE}"))
        page.set_input_files("#file", sorted(tmp_path.glob("*.png")))
        expect(page.locator("#rows > li")).to_have_count(3)
        tab(page, 2)
        canvas = page.locator("#draw")
        expect(canvas).to_have_attribute("aria-label", f"0 {HOSTILE.replace('/', '')}.png")
        expect(canvas).to_have_attribute("width", "480")
        drag(page, (0.1, 0.1), (0.5, 0.5))
        expect(page.locator("#boxes li")).to_have_count(1)
        page.keyboard.press("2")  # the chosen box, and those that follow
        expect(page.locator("#boxes")).to_contain_text("square")
        drag(page, (0.6, 0.6), (0.9, 0.9))
        expect(page.locator("#boxes li")).to_have_count(2)
        picture(page, f"{look}-drawn")
        page.keyboard.press("u")
        expect(page.locator("#boxes li")).to_have_count(1)
        page.keyboard.press("Enter")
        expect(canvas).to_have_attribute("aria-label", f"1 {HOSTILE.replace('/', '')}.png")
        page.keyboard.press("1")
        page.keyboard.press("b")
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("Shift+ArrowDown")
        expect(page.locator("#boxes")).to_contain_text("disc")
        page.keyboard.press("Enter")
        expect(canvas).to_have_attribute("aria-label", f"2 {HOSTILE.replace('/', '')}.png")
        page.keyboard.press("u")  # what was saved comes back, with its box
        expect(page.locator("#boxes li")).to_have_count(1)
        page.keyboard.press("n")
        page.keyboard.press("Delete")
        expect(page.locator("#boxes li")).to_have_count(0)
        page.keyboard.press("Enter")
        expect(canvas).to_have_attribute("aria-label", f"2 {HOSTILE.replace('/', '')}.png")
        tab(page, 5)
        with page.expect_download() as started:
            page.click("#coco")
        taken = json.loads(started.value.path().read_text(encoding="utf-8"))
        assert [image["width"] for image in taken["images"]] == [480, 480]
        (box,) = taken["annotations"]
        assert box["bbox"] == pytest.approx([48, 32, 192, 128], abs=4)
        assert [some["name"] for some in taken["categories"]] == ["disc", f"square {HOSTILE}"]
        assert box["category_id"] == 2
        tab(page, 1)
        expect(page.locator("#rows canvas")).to_have_count(3)
        picture(page, f"{look}-data")


def test_what_is_not_saved_is_not_lost(browser: Any, url: str, tmp_path: Path) -> None:
    def fail(route: Any) -> None:
        if route.request.method == "PATCH":
            route.abort()
        else:
            route.continue_()

    for number in range(2):
        scene(number, 96, 64)[0].save(tmp_path / f"{number}.png")
    context = browser.new_context(locale="en-US")
    page = context.new_page()
    page.goto(url)
    new_project(page, "Fragile", "object-detection", ("disc",))
    page.set_input_files("#file", sorted(tmp_path.glob("*.png")))
    expect(page.locator("#rows > li")).to_have_count(2)
    tab(page, 2)
    canvas, drawn = page.locator("#draw"), page.locator("#boxes li")
    expect(canvas).to_have_attribute("aria-label", "0.png")
    drag(page, (0.1, 0.1), (0.5, 0.5))
    page.route("**/examples/*", fail)
    page.keyboard.press("Enter")
    expect(page.locator("#error")).to_contain_text("cannot be reached")
    expect(drawn).to_have_count(1)
    page.unroute("**/examples/*")
    at = f"{url}/api/projects/{page.url.split('/p/')[1].split('/')[0]}"
    assert context.request.patch(f"{at}/examples/1", data={"version": 1, "shapes": []}).ok  # another window
    late: list[Any] = []
    page.route(
        "**/examples/1", lambda route: late.append(route) if route.request.method == "GET" else route.continue_()
    )
    with page.expect_request(lambda request: request.method == "GET" and request.url.endswith("/examples/1")):
        page.keyboard.press("Enter")
    expect(page.locator("#error")).to_contain_text("in another window")
    expect(canvas).to_have_attribute("aria-busy", "true")  # until it is there again, as it is now
    late[0].continue_()
    page.unroute("**/examples/1")
    expect(canvas).to_have_attribute("aria-busy", "false")
    expect(drawn).to_have_count(1)
    page.keyboard.press("Enter")
    expect(canvas).to_have_attribute("aria-label", "1.png")
    assert len(context.request.get(f"{at}/examples/1").json()["shapes"]) == 1
    page.route("**/examples/*", fail)
    page.keyboard.press("u")
    expect(page.locator("#error")).to_contain_text("cannot be reached")
    page.unroute("**/examples/*")
    page.keyboard.press("u")
    expect(canvas).to_have_attribute("aria-label", "0.png")
    expect(drawn).to_have_count(1)
    context.close()


def test_a_view_that_is_late_is_not_shown(browser: Any, url: str) -> None:
    context = browser.new_context(locale="en-US")
    page = context.new_page()
    page.goto(url)
    new_project(page, "Late", "text-classification", ("a",))
    page.fill("#new-text", "one")
    page.press("#new-text", "Control+Enter")
    expect(page.locator("#rows > li")).to_have_count(1)
    late: list[Any] = []
    page.route("**/waiting*", lambda route: late.append(route))
    with page.expect_request("**/waiting*"):
        tab(page, 2)
    tab(page, 1)
    expect(page.locator("#rows > li")).to_have_count(1)
    with page.expect_response("**/waiting*"):
        late[0].continue_()
    page.keyboard.press("1")
    page.select_option("#show", "labelled")
    expect(page.locator("#rows > li")).to_have_count(0)
    expect(page.locator("#card")).to_have_count(0)
    context.close()


@pytest.mark.parametrize(("locale", "scheme", "width"), [("en-US", "dark", 1200), ("zh-CN", "light", 360)])
def test_masks_are_painted_by_pointer_and_by_keyboard(
    browser: Any, url: str, tmp_path: Path, locale: str, scheme: str, width: int
) -> None:
    look, viewport = f"masks-{locale[:2]}", {"width": width, "height": 900}
    names = [f"{number} {HOSTILE.replace('/', '')}.png" for number in range(3)]
    for number, name in enumerate(names):
        scene(number, 480, 320)[0].save(tmp_path / name)
    with seen(browser, url, look, locale=locale, color_scheme=scheme, viewport=viewport) as page:
        new_project(page, "Ground", "segmentation", ("disc", f"square {HOSTILE}"))
        page.set_input_files("#file", [tmp_path / name for name in names])
        expect(page.locator("#rows > li")).to_have_count(3)
        tab(page, 2)
        canvas, painted = page.locator("#draw"), page.locator("#painted li")
        expect(canvas).to_have_attribute("aria-label", names[0])
        page.keyboard.press("o")
        outline(page, [(0.1, 0.1), (0.6, 0.1), (0.6, 0.6), (0.1, 0.6)])
        expect(painted).to_have_count(1)
        expect(painted).to_contain_text("25")
        page.keyboard.press("2")
        page.keyboard.press("b")
        drag(page, (0.7, 0.8), (0.9, 0.8))
        expect(painted).to_have_count(2)
        picture(page, f"{look}-painted")
        page.keyboard.press("u")
        expect(painted).to_have_count(1)
        page.keyboard.press("Enter")
        expect(canvas).to_have_attribute("aria-label", names[1])
        page.keyboard.press("Space")
        page.keyboard.press("Shift+ArrowRight")
        expect(painted).to_have_count(1)
        page.keyboard.press("Enter")
        expect(canvas).to_have_attribute("aria-label", names[2])
        page.keyboard.press("u")  # what was saved comes back, with its mask
        expect(canvas).to_have_attribute("aria-label", names[1])
        expect(painted).to_have_count(1)
        page.keyboard.press("e")
        drag(page, (0.1, 0.5), (0.9, 0.5))
        expect(painted).to_have_count(0)
        page.locator("#draw").focus()
        page.keyboard.press("Enter")
        expect(canvas).to_have_attribute("aria-label", names[2])
        tab(page, 1)
        expect(page.locator("#rows canvas")).to_have_count(3)
        expect(page.locator("#rows figcaption").last).to_contain_text("disc")
        picture(page, f"{look}-data")
        tab(page, 3)
        expect(page.locator("#train")).to_be_visible()
        tab(page, 4)
        expect(page.locator("main h2")).to_have_count(1)
        tab(page, 5)
        with page.expect_download() as started:
            page.click("#data-zip")
        found = read_masked_pictures(str(_with_ending(started.value.path(), ".zip")))
        assert found.labels == ("background", "disc")
        assert len(found.masks) == 2
        first, second = (read_mask(mask) for mask in found.masks)
        assert first.shape == (320, 480)
        assert (first[40:180, 60:280] == 1).all()
        assert first.mean() == pytest.approx(0.25, abs=0.02)
        assert second.max() == 0


def _with_ending(path: Path, ending: str) -> Path:
    return path.rename(path.with_suffix(ending))


def outline(page: Page, points: list[tuple[float, float]]) -> None:
    """Around these places on the picture, which are shares of its sides."""
    seen_at = page.locator("#draw").bounding_box()
    assert seen_at is not None
    for place, (x, y) in enumerate(points):
        page.mouse.move(seen_at["x"] + x * seen_at["width"], seen_at["y"] + y * seen_at["height"], steps=3)
        if not place:
            page.mouse.down()
    page.mouse.up()


def drag(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    """From one place on the picture to another, both as shares of its sides."""
    seen_at = page.locator("#draw").bounding_box()
    assert seen_at is not None
    points = [(seen_at["x"] + x * seen_at["width"], seen_at["y"] + y * seen_at["height"]) for x, y in (start, end)]
    page.mouse.move(*points[0])
    page.mouse.down()
    page.mouse.move(*points[1], steps=3)
    page.mouse.up()
