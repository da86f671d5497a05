"""Open a bundle, trusting nothing in it before its sha256 was checked."""

from __future__ import annotations

import hashlib
from pathlib import Path

from fewtune.bundle.manifest import FileEntry, Manifest, manifest_from_json
from fewtune.errors import BundleError

_REMEDY = "Fit it again, or copy it again from where it is whole."


def read_manifest(folder: Path) -> Manifest:
    """Read bundle.json.

    Raises:
        BundleError: there is no bundle, or it is of a newer format or malformed.
    """
    path = folder / "bundle.json"
    try:
        if not folder.exists():
            raise BundleError("There is no such bundle.", where=str(folder), how="`fewtune fit DATA` makes one.")
        if not path.is_file():
            raise BundleError(
                "This is not a fewtune bundle: it has no bundle.json.", where=str(folder), how="Give a bundle's folder."
            )
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(f"The bundle cannot be read ({error}).", where=str(folder), how=_REMEDY) from None
    return manifest_from_json(text, where=str(path))


def verify(folder: Path, manifest: Manifest) -> None:
    """Check that every file is there and unaltered; private ones only where they are there.

    Raises:
        BundleError: a file is missing or altered, or its name leads out of the bundle.
    """
    private = {f"private/{name}": entry for name, entry in manifest.private_files.items()}
    beside = (name for graph in manifest.graphs for name in (graph.tokenizer, graph.preprocess) if name)
    for name in (*manifest.files, *private, *beside):
        if not _is_plain(name):
            raise BundleError(f"The file name {name!r} leads out of the bundle.", where=str(folder), how=_REMEDY)
    for graph in manifest.graphs:
        if graph.file not in manifest.files:
            raise BundleError(f"{graph.file} is not among the files of the bundle.", where=str(folder), how=_REMEDY)
    there = {name: entry for name, entry in private.items() if (folder / name).exists()}
    for name, entry in {**manifest.files, **there}.items():
        _verify_file(folder, name, entry)


def _is_plain(name: str) -> bool:
    """Whether a name stays inside its folder, on every system: no root, no drive, no way up."""
    is_odd = not name or name.startswith("/") or any(mark in name for mark in "\\:\0")
    return not is_odd and not any(part in ("", ".", "..") for part in name.split("/"))


def _verify_file(folder: Path, name: str, entry: FileEntry) -> None:
    path = folder / name
    if not path.is_file():
        raise BundleError(f"The file {name} is missing.", where=str(folder), how=_REMEDY)
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BundleError(f"The file {name} cannot be read ({error}).", where=str(folder), how=_REMEDY) from None
    if digest != entry.sha256:
        raise BundleError(f"The file {name} was altered: its sha256 is another.", where=str(folder), how=_REMEDY)
