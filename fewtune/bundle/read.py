"""Open a bundle, trusting nothing in it before its sha256 was checked."""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePosixPath

from fewtune.bundle.manifest import FileEntry, Manifest, manifest_from_json
from fewtune.errors import BundleError

_REMEDY = "Fit it again, or copy it again from where it is whole."


def read_manifest(folder: Path) -> Manifest:
    """Read bundle.json.

    Raises:
        BundleError: there is no bundle, or it is of a newer format or malformed.
    """
    path = folder / "bundle.json"
    if not folder.exists():
        raise BundleError("There is no such bundle.", where=str(folder), how="`fewtune fit DATA` makes one.")
    if not path.is_file():
        raise BundleError("This is not a fewtune bundle: it has no bundle.json.", where=str(folder), how=_REMEDY)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(f"bundle.json cannot be read ({error}).", where=str(folder), how=_REMEDY) from None
    return manifest_from_json(text, where=str(path))


def verify(folder: Path, manifest: Manifest) -> None:
    """Check that every file is there and unaltered; private ones only where they are there.

    Raises:
        BundleError: a file is missing or altered, or its name leads out of the bundle.
    """
    for name, entry in manifest.files.items():
        _verify_file(folder, name, entry)
    for name, entry in manifest.private_files.items():
        if (folder / "private" / name).exists():
            _verify_file(folder, f"private/{name}", entry)
    for graph in manifest.graphs:
        if graph.file not in manifest.files:
            raise BundleError(f"{graph.file} is not among the files of the bundle.", where=str(folder), how=_REMEDY)


def _verify_file(folder: Path, name: str, entry: FileEntry) -> None:
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or "\\" in name or any(part in ("..", ".") or ":" in part for part in parts):
        raise BundleError(f"The file name {name!r} leads out of the bundle.", where=str(folder), how=_REMEDY)
    path = folder / name
    if not path.is_file():
        raise BundleError(f"The file {name} is missing.", where=str(folder), how=_REMEDY)
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    if digest.hexdigest() != entry.sha256:
        raise BundleError(f"The file {name} was altered: its sha256 is another.", where=str(folder), how=_REMEDY)
