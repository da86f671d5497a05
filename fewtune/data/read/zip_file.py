"""A zip of pictures, unpacked where nothing of it can reach outside, within limits that a bomb runs into."""

from __future__ import annotations

import errno
import hashlib
import lzma
import struct
import tempfile
import zipfile
import zlib
from functools import cache
from pathlib import Path, PurePosixPath

from fewtune.data.read.encoding import decode_name
from fewtune.errors import DataError

_MOST_FILES = 200_000
_MOST_BYTES = 8_000_000_000
# Pictures hardly shrink in a zip: one that grows like this was made to fill a disk.
_MOST_GROWTH = 200
_GROWTH_FROM_BYTES = 10_000_000
_JUNK = ("__MACOSX", ".DS_Store", "Thumbs.db")
_IS_UTF8 = 0x800
_RAISED = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    NotImplementedError,
    EOFError,
    OSError,
    RuntimeError,
    ValueError,
)


def unpack(path: Path) -> Path:
    """Unpack into a temporary folder that goes when this process ends; a lone folder at the top is stepped into.

    Raises:
        DataError: it is no zip, is encrypted or damaged, is too large, or a name in it leads out.
    """
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"The file cannot be read: {error.strerror or error}.", where=str(path)) from None
    return _stepped_in(Path(_unpacked(path, digest).name))


def unpack_into(path: Path, folder: Path) -> Path:
    """As `unpack`, into a folder of one's own that is there and empty; what was unpacked stays in it after an error.

    Raises:
        DataError: as `unpack`.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = _checked(archive, path)
            left = _MOST_BYTES
            for member in members:
                left = _extract(archive, member, folder, left, path)
    except _RAISED as error:
        raise DataError(f"The zip cannot be unpacked ({error}).", where=str(path), how=_remedy(error)) from None
    return _stepped_in(folder)


def _stepped_in(folder: Path) -> Path:
    inside = list(folder.iterdir())
    alone = inside[0] if len(inside) == 1 and inside[0].is_dir() else None
    # A folder of class folders, or of a table and pictures; a lone folder of pictures is a class.
    steps_in = alone is not None and any(entry.is_dir() or entry.suffix.lower() == ".csv" for entry in alone.iterdir())
    return alone if alone is not None and steps_in else folder


@cache
def _unpacked(path: Path, sha256: str) -> tempfile.TemporaryDirectory[str]:
    del sha256  # a file that changed is unpacked anew
    folder = tempfile.TemporaryDirectory(prefix="fewtune-")
    try:
        unpack_into(path, Path(folder.name))
    except DataError:
        folder.cleanup()
        raise
    return folder


def _remedy(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"The disk is full: make room in {tempfile.gettempdir()}, or set TMPDIR to a folder that has some."
    if "password" in str(error) or "encryption" in str(error):
        return "Make it again, without a password."
    if isinstance(error, NotImplementedError):
        return "Make it again, with the usual compression (deflate)."
    return "It is damaged: copy it again from where it is whole."


def _checked(archive: zipfile.ZipFile, path: Path) -> list[zipfile.ZipInfo]:
    for member in archive.infolist():
        member.filename = _readable(member)
    members = [member for member in archive.infolist() if not member.is_dir() and not _is_junk(member.filename)]
    if len(members) > _MOST_FILES:
        raise _refused(path, f"it holds {len(members)} files; the limit is {_MOST_FILES}")
    if sum(member.file_size for member in members) > _MOST_BYTES:
        raise _refused(path, f"unpacked it is larger than {_MOST_BYTES / 1e9:.0f} GB")
    for member in members:
        if not _is_inside(member.filename):
            raise _refused(path, f"the name {member.filename!r} leads out of it")
        if (member.external_attr >> 16) & 0o170000 == 0o120000:
            raise _refused(path, f"{member.filename!r} is a link")
        grown = member.file_size > _GROWTH_FROM_BYTES
        if grown and member.file_size > _MOST_GROWTH * max(1, member.compress_size):
            raise _refused(path, f"{member.filename!r} grows {_MOST_GROWTH} times and more")
    return members


def _readable(member: zipfile.ZipInfo) -> str:
    """A name that is not marked as UTF-8 is in the code page of the Windows that made the zip."""
    if member.flag_bits & _IS_UTF8:
        return member.filename
    try:
        return decode_name(member.filename.encode("cp437"), otherwise="cp437")
    except UnicodeEncodeError:  # the zip gave the name as UTF-8 elsewhere
        return member.filename


def _is_junk(name: str) -> bool:
    return any(part in _JUNK or part.startswith("._") for part in PurePosixPath(name).parts)


def _is_inside(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return bool(parts) and not name.startswith("/") and ".." not in parts and not any(c in name for c in "\\:\0")


def _refused(path: Path, why: str) -> DataError:
    return DataError(f"The zip is not unpacked: {why}.", where=str(path), how="Make a zip of the pictures alone.")


def _extract(archive: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path, left: int, path: Path) -> int:
    """Write one file; the sizes that the zip declares are not believed."""
    target = folder / member.filename
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(member) as source, target.open("wb") as copy:
        while chunk := source.read(1 << 20):
            left -= len(chunk)
            if left < 0:
                raise _refused(path, f"unpacked it is larger than {_MOST_BYTES / 1e9:.0f} GB")
            copy.write(chunk)
    return left
