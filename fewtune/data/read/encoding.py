"""Bytes to text: which encoding a file is in."""

from __future__ import annotations

import codecs
import unicodedata

from fewtune.errors import DataError

_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_BINARY_MAGIC = (b"PK\x03\x04", b"\x89PNG", b"\xff\xd8\xff", b"%PDF", b"\x1f\x8b", b"GIF8", b"\x7fELF", b"PAR1")


def decode(content: bytes, *, source: str) -> tuple[str, tuple[str, ...]]:
    """Decode a text file.

    Args:
        content: the whole file.
        source: its name, for messages.

    Returns:
        The text without BOM, and notes where it was not plain UTF-8.

    Raises:
        DataError: the file is empty, or is not text.
    """
    if not content.strip():
        raise DataError("The file is empty.", where=source, how="Choose a file with a header and rows.")
    for bom, encoding in _BOMS:
        if content.startswith(bom):
            return _strictly(content, encoding, source), ()
    if content.startswith(_BINARY_MAGIC) or b"\0" in content:
        raise DataError(
            "This is a binary file, not text.",
            where=source,
            how="Save the data as CSV, TSV, JSONL, XLSX or Parquet, with the ending that tells which.",
        )
    try:
        return content.decode("utf-8"), ()
    except UnicodeDecodeError:
        return _guess(content)


def decode_name(raw: bytes, *, otherwise: str) -> str:
    """Decode a file's name, which says nothing of its encoding: UTF-8, or that of a Chinese Windows.

    Args:
        raw: the bytes of the name.
        otherwise: an encoding of one byte a character, where it is neither.
    """
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        pass
    try:
        text = raw.decode("gb18030")
    except UnicodeDecodeError:
        return raw.decode(otherwise)
    # An accented letter of Latin-1 or DOS takes an ASCII one after it for its second half: then it is no Chinese.
    intact = sum(map(str.isascii, text)) == sum(byte < 0x80 for byte in raw)
    return text if intact else raw.decode(otherwise)


def readable_name(name: str) -> str:
    """A name as the system gave it; what it could not decode as UTF-8 (lone surrogates) is decoded."""
    if name.isascii() or not any("\udc80" <= char <= "\udcff" for char in name):
        return name
    return decode_name(name.encode("utf-8", "surrogateescape"), otherwise="latin-1")


def _strictly(content: bytes, encoding: str, source: str) -> str:
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise DataError(
            f"The file begins as {encoding} but byte {error.start} does not belong there.",
            where=source,
            how="Save it again as UTF-8.",
        ) from None


def _guess(content: bytes) -> tuple[str, tuple[str, ...]]:
    try:
        text = content.decode("gb18030")
    except UnicodeDecodeError:
        text = ""
    if text and _looks_chinese(text):
        return text, ("read as GB18030, since it is not UTF-8",)
    # Windows-1252 is what "Latin-1" files hold in practice; its five gaps fall back to Latin-1.
    try:
        return content.decode("cp1252"), ("read as Latin-1 (Windows-1252), since it is not UTF-8",)
    except UnicodeDecodeError:
        return content.decode("latin-1"), ("read as Latin-1, since it is not UTF-8",)


def _looks_chinese(text: str) -> bool:
    """Whether most of the letters beyond ASCII are common Han characters."""
    beyond = [char for char in text[:20_000] if ord(char) > 127]
    letters = [char for char in beyond if unicodedata.category(char)[0] in "LCM"]
    # GB2312's level 1 begins at a rare handful of code points that Latin-1 text never lands on in runs.
    common = sum("\u4e00" <= char <= "\u9fff" and _in_gb2312(char) for char in letters)
    return bool(letters) and common >= 0.8 * len(letters)


def _in_gb2312(char: str) -> bool:
    try:
        lead = char.encode("gb2312")[0]
    except UnicodeEncodeError:
        return False
    return 0xB0 <= lead <= 0xD7
