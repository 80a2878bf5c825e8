"""Input lines: what each must say, and where in the file those stand that are still to be asked. Pure.

Format: one JSON object a line, `{"custom_id", "method": "POST", "url", "body"}`; empty lines are passed over.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Collection
from typing import Any

import msgspec

from hanok.batches.entries import LineError
from hanok.errors import RequestError

LINE_LIMIT = 50_000
ERRORS_TOLD = 100
CUSTOM_ID_LIMIT = 512
_BLANK = b" \t\r\n"


class Line(msgspec.Struct):
    """An input line. The body stays as it came."""

    custom_id: str
    method: str
    url: str
    body: msgspec.Raw


class _AnyLine(msgspec.Struct):
    custom_id: Any = msgspec.UNSET
    method: Any = msgspec.UNSET
    url: Any = msgspec.UNSET
    body: Any = msgspec.UNSET


read_line = msgspec.json.Decoder(Line).decode
_read_any = msgspec.json.Decoder(_AnyLine).decode


class _Asks(msgspec.Struct):
    model: str


_read_asks = msgspec.json.Decoder(_Asks).decode


def read_model(body: bytes) -> str:
    """The model that a body asks for, which was checked before."""
    return _read_asks(body).model


CheckBody = Callable[[bytes], str]
"""From a body to its model. Raises `RequestError`."""


class Plan:
    """The lines that are to be asked: where each begins and ends in the file, and its model."""

    def __init__(self) -> None:
        self.models: list[str] = []
        self._starts = array("Q")
        self._ends = array("Q")
        self._model = array("H")

    def __len__(self) -> int:
        return len(self._starts)

    def add(self, start: int, end: int, model: str) -> None:
        if model not in self.models:
            self.models.append(model)
        self._starts.append(start)
        self._ends.append(end)
        self._model.append(self.models.index(model))

    def __getitem__(self, index: int) -> tuple[int, int, str]:
        return self._starts[index], self._ends[index], self.models[self._model[index]]


class Reader:
    """Reads an input file's lines one after the other. `done` are the custom ids that have been asked before."""

    def __init__(self, *, endpoint: str, check: CheckBody, done: Collection[str] = ()) -> None:
        self._endpoint = endpoint
        self._check = check
        self._done = done
        self._seen: set[str] = set()
        self._number = 0
        self.total = 0
        self.plan = Plan()
        self.errors: list[LineError] = []

    def take(self, start: int, text: bytes) -> None:
        """The next line, which stands at that byte of the file."""
        self._number += 1
        if not text.strip(_BLANK):
            return
        self.total += 1
        if self.total > LINE_LIMIT:
            self._blame("too_many_tasks", f"a batch has at most {LINE_LIMIT:,} lines")
            return
        line = self._read(text)
        if line is None or not self._is_sound(line):
            return
        self._seen.add(line.custom_id)
        if line.custom_id in self._done:
            return
        try:
            model = self._check(bytes(line.body))
        except RequestError as error:
            param = f"body.{error.param}" if error.param else "body"
            self._blame(error.code or "invalid_request", error.message, param)
            return
        self.plan.add(start, start + len(text), model)

    def take_too_long(self, limit: int) -> None:
        """The next line is longer than this many bytes."""
        self._number += 1
        self.total += 1
        self._blame("line_too_long", f"this line is longer than {limit / 1024**2:g} MiB (gateway.body_limit_mib)")

    def end(self) -> None:
        """There are no more lines."""
        if not self.total:
            self.errors.append(LineError(code="empty_file", message="the input file has no lines"))

    @property
    def full(self) -> bool:
        """Whether so much is wrong that nobody reads on."""
        return len(self.errors) >= ERRORS_TOLD or self.total > LINE_LIMIT

    def _blame(self, code: str, message: str, param: str | None = None) -> None:
        self.errors.append(LineError(code=code, message=message, param=param, line=self._number))

    def _read(self, text: bytes) -> Line | None:
        try:
            text.decode()
            return read_line(text)
        except UnicodeDecodeError:
            self._blame("invalid_json_line", "this line is not UTF-8")
        except msgspec.ValidationError as error:
            self._blame(*_missing(text, error))
        except (msgspec.DecodeError, RecursionError):
            self._blame("invalid_json_line", "this line is not parseable as valid JSON")
        return None

    def _is_sound(self, line: Line) -> bool:
        if not 0 < len(line.custom_id) <= CUSTOM_ID_LIMIT:
            self._blame("invalid_value", f"`custom_id` is text of 1 to {CUSTOM_ID_LIMIT} characters", "custom_id")
        elif line.custom_id in self._seen:
            message = f"the custom_id {line.custom_id[:64]!r} is that of another line, too"
            self._blame("duplicate_custom_id", message, "custom_id")
        elif line.method != "POST":
            self._blame("invalid_method", f"`method` is POST, not {line.method[:16]!r}", "method")
        elif line.url != self._endpoint:
            message = f"`url` is {line.url[:64]!r}, and the batch is for {self._endpoint}"
            self._blame("mismatched_url", message, "url")
        else:
            return True
        return False


def _missing(text: bytes, error: msgspec.ValidationError) -> tuple[str, str, str | None]:
    """What a line's shape is wrong in: code, message, and the field."""
    try:
        found = _read_any(text)
    except (msgspec.DecodeError, RecursionError):
        return "invalid_json_line", "this line is not a JSON object", None
    for name in Line.__struct_fields__:
        if getattr(found, name) is msgspec.UNSET:
            return "missing_required_parameter", f"{name!r} is missing", name
    param = str(error).partition("`$.")[2].rstrip("`") or None
    return "invalid_value", str(error).partition(" - at ")[0].lower(), param
