"""Requests as they are written, with nothing in them that could end one early."""

from __future__ import annotations

import re
from collections.abc import Mapping

from hanok.serving.client.origin import Origin
from hanok.wire import Caller

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


class RequestForm:
    """Writes requests to one origin; `headers` go with each of them."""

    def __init__(self, origin: Origin, headers: Mapping[str, str]) -> None:
        self._prefix = origin.prefix
        self._heads: dict[tuple[str, str, str], bytes] = {}  # a few: paths are ours, not callers'
        lines = {"host": origin.authority, "accept-encoding": "identity", "user-agent": "hanok"}
        lines |= {name.lower(): value for name, value in headers.items()}
        self._common = "".join(f"{_token(name)}: {_clean(value)}\r\n" for name, value in lines.items()).encode(
            "latin-1"
        )

    def write(self, method: str, path: str, body: bytes, accept: str, caller: Caller) -> bytes:
        """A whole request. Raises `ValueError` for a method or path that cannot stand in one."""
        head = self._heads.get((method, path, accept)) or self._make_head(method, path, accept)
        tail = f"x-request-id: {_clean(caller.request_id)}\r\n" if caller.request_id else ""
        if caller.trace:
            tail += f"traceparent: {_clean(caller.trace)}\r\n"
            if caller.trace_state:
                tail += f"tracestate: {_clean(caller.trace_state)}\r\n"
        if body or method == "POST":
            tail += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
        return b"".join((head, tail.encode("latin-1"), b"\r\n", body))

    def _make_head(self, method: str, path: str, accept: str) -> bytes:
        line = f"{_token(method)} {self._prefix}{_target(path)} HTTP/1.1\r\naccept: {_clean(accept)}\r\n"
        head = self._heads[(method, path, accept)] = line.encode("latin-1") + self._common
        return head


def _token(name: str) -> str:
    """A method or a header's name, which may hold nothing but token characters (RFC 9110 section 5.6.2)."""
    if not _TOKEN.fullmatch(name):
        raise ValueError(f"{name!r} cannot stand in a request")
    return name


def _target(path: str) -> str:
    """A request's path, which may hold nothing that would end it."""
    if not path.isascii() or not path.isprintable() or " " in path:
        raise ValueError(f"{path!r} cannot stand in a request")
    return path


def _clean(value: str) -> str:
    """A header's value without anything that could end it."""
    if value.isascii() and value.isprintable():
        return value
    return "".join(character for character in value if character.isprintable() and character < "\u0100")
