"""multipart/form-data, read in memory: files, and fields beside them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from fewtune.serve.refusals import Refusal

_MOST_PARTS = 256


@dataclass
class _Part:
    headers: dict[str, str] = field(default_factory=dict)
    content: bytearray = field(default_factory=bytearray)


@dataclass(frozen=True, slots=True)
class Form:
    """What a form brought.

    Attributes:
        files: the content of every part that has a file's name, whatever its field is called.
        fields: name to text of the others.
    """

    files: tuple[bytes, ...]
    fields: dict[str, str]


def read_form(content_type: str, body: bytes) -> Form:
    """Read a form.

    Raises:
        Refusal: 400 where it is malformed, or has too many parts.
    """
    boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
    reader = _Reader()
    try:
        if not boundary:
            raise FormParserError("it names no boundary")
        parser = MultipartParser(boundary, reader.callbacks())
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        what = f"The body is no form: {error}."
        raise Refusal(400, what[:300], where="body", how="For example: curl -F inputs=@picture.jpg") from None
    if not reader.is_whole:
        raise Refusal(400, "The form is cut off.", where="body", how="Send it again.")
    files: list[bytes] = []
    fields: dict[str, str] = {}
    for part in reader.parts:
        options = parse_options_header(part.headers.get("content-disposition", ""))[1]
        if b"filename" in options:
            files.append(bytes(part.content))
        else:
            name = options.get(b"name", b"").decode("utf-8", "replace")
            fields[name] = part.content.decode("utf-8", "replace")
    return Form(tuple(files), fields)


class _Reader:
    """Keeps what the parser hands over."""

    def __init__(self) -> None:
        self.parts: list[_Part] = []
        self.is_whole = False
        self._name = self._value = b""

    def callbacks(self) -> Any:
        return {
            "on_part_begin": self._begin,
            "on_header_begin": self._header_begin,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_part_data": self._data,
            "on_end": self._end,
        }

    def _begin(self) -> None:
        if len(self.parts) == _MOST_PARTS:
            raise FormParserError(f"it has more than {_MOST_PARTS} parts")
        self.parts.append(_Part())

    def _header_begin(self) -> None:
        self._name = self._value = b""

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        # Browsers send names of files as UTF-8; as latin-1 the parser of options splits them as they are.
        self.parts[-1].headers[self._name.decode("latin-1").lower()] = self._value.decode("latin-1")

    def _data(self, data: bytes, start: int, end: int) -> None:
        self.parts[-1].content += data[start:end]

    def _end(self) -> None:
        self.is_whole = True
