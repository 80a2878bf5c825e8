"""Forms in: `multipart/form-data` (RFC 7578) with short fields and one file, which is handed on as it comes.

The maintained parser `python_multipart` finds the parts; here they get their names and their limits.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from hanok.errors import RequestError, WrongContentType
from hanok.gateway.http import Call

PARTS = 32
CONTENT_TYPE_BYTES = 1024
FIELD_BYTES = 64 * 1024
FILE = "file"
Take = Callable[[bytes], Awaitable[None]]
logging.getLogger("python_multipart").setLevel(logging.ERROR)  # callers' mistakes are told to callers


@dataclass(frozen=True, kw_only=True)
class Form:
    """What a form said: its fields, and its file's name."""

    fields: dict[str, str]
    filename: str


async def read_form(call: Call, *, limit: int, take: Take, too_large: Callable[[], RequestError]) -> Form:
    """Read a form of at most `limit` bytes, and have `take` take its file's bytes, piece by piece.

    Raises `WrongContentType`, `too_large`, and `RequestError` when it is no form, or has no file.
    """
    parts = _Parts(_boundary(call))
    async with aclosing(call.pieces(limit, too_large)) as pieces:
        async for piece in pieces:
            if data := parts.feed(piece):
                await take(data)
    return parts.form()


def _boundary(call: Call) -> bytes:
    given = call.headers.get(b"content-type", b"")[:CONTENT_TYPE_BYTES]  # its parser is slow with long ones
    kind, options = parse_options_header(given.decode("latin-1"))
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        message = "a file comes as multipart/form-data with a boundary, as `curl -F purpose=batch -F file=@lines.jsonl`"
        raise WrongContentType(message, code="unsupported_media_type")
    return options[b"boundary"]


class _Parts:
    """The parts of one form, as the parser finds them."""

    def __init__(self, boundary: bytes) -> None:
        self._fields: dict[str, bytes] = {}
        self._filename: str | None = None
        self._name = ""
        self._header = self._value = self._disposition = b""
        self._in_file = self._ended = False
        self._begun = 0
        self._file: list[bytes] = []
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin_part,
                    "on_header_field": self._take_header,
                    "on_header_value": self._take_value,
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._begin_data,
                    "on_part_data": self._take_data,
                    "on_end": self._end,
                },
            )
        except FormParserError as error:
            raise _broken(str(error)) from None

    def feed(self, data: bytes) -> bytes:
        """Parse on; the bytes of the file that came. Raises `RequestError`."""
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise _broken(str(error)) from None
        found, self._file = b"".join(self._file), []
        return found

    def form(self) -> Form:
        """What was said. Raises `RequestError` unless the form is whole and has a file."""
        if not self._ended:
            raise _broken("it ends in the middle of a part")
        if self._filename is None:
            raise RequestError(f"the form has no part {FILE!r}", param=FILE, code="missing_required_parameter")
        fields = {name: value.decode("utf-8", "replace") for name, value in self._fields.items()}
        return Form(fields=fields, filename=self._filename)

    # what the parser calls

    def _begin_part(self) -> None:
        self._begun += 1
        if self._begun > PARTS:
            raise _broken(f"it has more than {PARTS} parts")
        self._header = self._value = self._disposition = b""

    def _take_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _take_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header = self._value = b""

    def _begin_data(self) -> None:
        _, options = parse_options_header(self._disposition.decode("latin-1"))
        self._name = options.get(b"name", b"").decode("utf-8", "replace")
        self._in_file = self._name == FILE
        if self._in_file:
            if self._filename is not None:
                raise RequestError("a form has one file", param=FILE, code="invalid_value")
            self._filename = _plain_name(options.get(b"filename", b"").decode("utf-8", "replace"))
        else:
            self._fields[self._name] = b""

    def _take_data(self, data: bytes, start: int, end: int) -> None:
        if self._in_file:
            self._file.append(data[start:end])
            return
        self._fields[self._name] += data[start:end]
        if len(self._fields[self._name]) > FIELD_BYTES:
            raise _broken(f"the field {self._name[:64]!r} is longer than {FIELD_BYTES} bytes")

    def _end(self) -> None:
        self._ended = True


def _plain_name(name: str) -> str:
    """A file's own name, for showing: it is never a path of ours."""
    shown = "".join(letter for letter in name.replace("\\", "/").rpartition("/")[2] if letter.isprintable())
    return shown[:255] or "file"


def _broken(what: str) -> RequestError:
    return RequestError(f"the body is no multipart form: {what}", code="invalid_form")
