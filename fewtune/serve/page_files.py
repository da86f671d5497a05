"""The pages, read once from the package: no request ever names a file."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files

_KINDS = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_PAGES = {"index.html": "/", "docs.html": "/docs"}


@dataclass(frozen=True, slots=True)
class PageFile:
    """A file of the pages and what it is."""

    content: bytes
    media_type: str


def page_files(package: str = "fewtune.serve") -> dict[str, PageFile]:
    """Path of the URL to file, of the folder `page` of a package."""
    found = {}
    for entry in (files(package) / "page").iterdir():
        kind = _KINDS.get(entry.name.rpartition(".")[2])
        if kind:
            found[_PAGES.get(entry.name, f"/{entry.name}")] = PageFile(entry.read_bytes(), kind)
    return found
