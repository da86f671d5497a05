"""Write a bundle so that at no moment half of one stands at its place."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from fewtune.bundle.manifest import FileEntry, Manifest
from fewtune.bundle.model_card import model_card
from fewtune.errors import OutputError
from fewtune.interfaces import Fitted

MANIFEST = "bundle.json"
PRIVATE = "private"


def write_bundle(
    folder: Path,
    fitted: Fitted,
    manifest: Manifest,
    *,
    name: str,
    recipe_toml: str,
    private: Mapping[str, bytes],
) -> Manifest:
    """Write all files of a bundle into a fresh folder, bundle.json last.

    Args:
        folder: is made; what stands there is deleted.
        fitted: graphs and assets.
        manifest: all but the list of files.
        name: what the model card is headed with.
        recipe_toml: the recipe that makes the same model again.
        private: name to content of what holds training content.

    Returns:
        The manifest with its files.

    Raises:
        OutputError: the disk is full, or the place cannot be written to.
    """
    public = {**fitted.graphs, **fitted.assets, "recipe.toml": recipe_toml.encode()}
    return write_contents(folder, public, manifest, name=name, private=private)


def write_contents(
    folder: Path, public: Mapping[str, bytes], manifest: Manifest, *, name: str, private: Mapping[str, bytes]
) -> Manifest:
    """As `write_bundle`, from the contents of the files themselves."""
    with output_errors(folder), whole_or_nothing(folder):
        shutil.rmtree(folder, ignore_errors=True)
        (folder / PRIVATE).mkdir(parents=True)
        for file, content in public.items():
            write_file(folder / file, content)
        for file, content in private.items():
            write_file(folder / PRIVATE / file, content)
        manifest = replace(manifest, files=_entries(public), private_files=_entries(private))
        card = model_card(manifest, name).encode()
        write_file(folder / "README.md", card)
        manifest = replace(manifest, files={**manifest.files, **_entries({"README.md": card})})
        write_file(folder / MANIFEST, manifest.to_json().encode())
    return manifest


def _entries(contents: Mapping[str, bytes]) -> dict[str, FileEntry]:
    return {name: FileEntry(hashlib.sha256(data).hexdigest(), len(data)) for name, data in sorted(contents.items())}


def write_file(path: Path, content: bytes) -> None:
    """Write and flush to the disk: after a rename the file is whole or not there."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file by another in one step.

    Raises:
        OutputError: the disk is full, or the place cannot be written to.
    """
    partial = path.with_name(f".{path.name}.partial")
    with output_errors(path):
        try:
            write_file(partial, content)
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)


def check_free(out: Path, *, overwrite: bool) -> None:
    """Refuse an `out` that exists, before any work is done.

    Raises:
        OutputError: it exists and `overwrite` is not given, or it is no bundle.
    """
    check_replaceable(out, overwrite=overwrite, is_ours=lambda folder: (folder / MANIFEST).is_file(), kind="bundle")


def check_replaceable(out: Path, *, overwrite: bool, is_ours: Callable[[Path], bool], kind: str) -> None:
    """Refuse an `out` that exists, unless it may be overwritten and is empty or of our own making.

    Raises:
        OutputError: it exists, or cannot be looked at.
    """
    another = "Give another --out."
    if out.name in ("", ".."):
        raise OutputError("This does not name a folder to be made.", where=str(out), how=another)
    with output_errors(out):
        if out.is_symlink():
            raise OutputError("This is a link.", where=str(out), how="Give the folder that it points to.")
        if not out.exists():
            return
        if not overwrite:
            raise OutputError(
                "There is something at this place already.",
                where=str(out),
                how="Give another --out, or add --overwrite.",
            )
        if not out.is_dir() or (any(out.iterdir()) and not is_ours(out)):
            raise OutputError(f"This is not a fewtune {kind}, so it is not overwritten.", where=str(out), how=another)


def check_work(work: Path, mark: str, also: Collection[str] = ()) -> None:
    """Refuse to delete what somebody else keeps under the name of the work in progress.

    Args:
        work: the folder of the work in progress.
        mark: name of a file that every folder of ours holds.
        also: names of which one may be there alone.

    Raises:
        OutputError: there is a folder that is not empty, and not of our own making.
    """
    kept = {path.name for path in work.iterdir()} if work.is_dir() else set()
    if kept and mark not in kept and not (len(kept) == 1 and kept <= set(also)):
        raise OutputError(
            "The work in progress would take the place of a folder that fewtune did not make.",
            where=str(work),
            how="Move it away, or give another --out.",
        )


def publish(built: Path, out: Path, *, overwrite: bool) -> None:
    """Move a finished bundle to its place by renaming.

    Raises:
        OutputError: `out` exists and may not be replaced, or cannot be written to.
    """
    check_free(out, overwrite=overwrite)
    replace_folder(built, out)


def replace_folder(built: Path, out: Path) -> None:
    """Rename a finished folder to its place; what stood there is moved aside first, and back if that fails.

    Raises:
        OutputError: `out` cannot be written to.
    """
    old = out.with_name(f".{out.name}.old")
    with output_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        replaces = out.exists()
        if replaces:
            shutil.rmtree(old, ignore_errors=True)
            os.rename(out, old)
        try:
            os.rename(built, out)
        except BaseException:
            if replaces and not out.exists():
                os.rename(old, out)
            raise
        _sync_folder(out.parent)
    shutil.rmtree(old, ignore_errors=True)


def _sync_folder(folder: Path) -> None:
    """Make a rename outlast a power cut, on the systems that have a way to ask for it."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        # Some network file systems refuse; the rename itself is done.
        with suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def whole_or_nothing(folder: Path) -> Iterator[None]:
    """Delete the folder where writing it was not finished."""
    try:
        yield
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


@contextmanager
def output_errors(place: Path) -> Iterator[None]:
    """Turn the system's errors about a place into ours."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            what, how = "The disk is full.", "Free some space and run the same command with --resume."
        else:
            what, how = f"This cannot be written: {error.strerror or error}.", "Choose another place with --out."
        raise OutputError(what, where=str(place), how=how) from error
