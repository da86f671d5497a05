"""A folder of class folders with a .txt file an example, or a folder of .txt files without classes."""

from __future__ import annotations

import hashlib
from pathlib import Path

from fewtune.data.read.encoding import decode
from fewtune.errors import DataError
from fewtune.types import Table


def read_text_folder(folder: Path, *, name: str) -> Table:
    """Read every .txt file; a file's folder is its label.

    Raises:
        DataError: there is no .txt file at the place expected.
    """
    labelled = sorted(path for path in folder.glob("*/*.txt") if path.is_file())
    loose = sorted(path for path in folder.glob("*.txt") if path.is_file())
    if not labelled and not loose:
        raise DataError(
            "The folder holds no texts.",
            where=name,
            how="Expected a folder for each class with .txt files in it, or a data file instead of a folder.",
        )
    paths = labelled or loose
    contents = [path.read_bytes() for path in paths]
    places = [path.relative_to(folder).as_posix() for path in paths]
    texts = [
        decode(content, source=place)[0].strip() if content.strip() else ""
        for content, place in zip(contents, places, strict=True)
    ]
    digest = hashlib.sha256()
    for place, content in zip(places, contents, strict=True):
        digest.update(f"{place}\0{len(content)}\0".encode())
        digest.update(content)
    if labelled:
        rows = tuple((text, path.parent.name) for text, path in zip(texts, paths, strict=True))
        return Table(("text", "label"), rows, places, name, digest.hexdigest(), ("labels are the folders' names",))
    rows = tuple((place, text) for text, place in zip(texts, places, strict=True))
    return Table(("file", "text"), rows, places, name, digest.hexdigest())
