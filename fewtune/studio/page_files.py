"""The page's files, read once from the package: no request ever names a file."""

from __future__ import annotations

from importlib.resources import files

from fewtune.serve.page_files import PageFile

_KINDS = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


def page_files() -> dict[str, PageFile]:
    """Path of the URL to file."""
    found = {}
    for entry in (files("fewtune.studio") / "page").iterdir():
        kind = _KINDS.get(entry.name.rpartition(".")[2])
        if kind:
            path = "/" if entry.name == "index.html" else f"/{entry.name}"
            found[path] = PageFile(entry.read_bytes(), kind)
    return found
