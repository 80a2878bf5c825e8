"""Small HTTP calls for tests, on the standard library, so that the client under test does not test itself."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Reply:
    """A whole answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> Any:
        return self.json["error"]

    @property
    def events(self) -> list[Any]:
        """The JSON of each server-sent event, `[DONE]` as text."""
        payloads = [line[5:].strip() for line in self.body.decode().split("\n") if line.startswith("data:")]
        return [payload if payload == "[DONE]" else json.loads(payload) for payload in payloads]


def call(
    url: str, method: str = "GET", body: Any = None, headers: dict[str, str] | None = None, timeout: float = 20.0
) -> Reply:
    """Make one request; `body` is sent as it is when it is bytes, as JSON otherwise."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout)
    data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request(method, target, data, headers or {})
        response = connection.getresponse()
        return Reply(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())
    finally:
        connection.close()
