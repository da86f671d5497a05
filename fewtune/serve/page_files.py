"""The pages, read once from the package: no request ever names a file."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files

_NAMES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/docs": ("docs.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/docs.js": ("docs.js", "text/javascript; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}


@dataclass(frozen=True, slots=True)
class PageFile:
    """A file of the pages and what it is."""

    content: bytes
    media_type: str


def page_files() -> dict[str, PageFile]:
    """Path of the URL to file."""
    folder = files("fewtune.serve") / "page"
    return {path: PageFile((folder / name).read_bytes(), kind) for path, (name, kind) in _NAMES.items()}
