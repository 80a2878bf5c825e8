"""Asking the running server from the command line: JSON, and files as they come.

Calls go with this machine's own key, what only its admin API tells with `gateway.admin_key`.
"""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Self

from hanok.cli.state import RunningServer, own_secret, read_server
from hanok.errors import StartError
from hanok.spec import Loaded

PATIENCE_S = 60.0
PIECE_BYTES = 256 * 1024
_ADMIN_HINT = (
    'declare `gateway: {admin_key: "${env:HANOK_ADMIN_KEY}"}`, set the variable where the server runs and here, '
    "and start the server again"
)
_BOUNDARY = "hanok-5f0c1ab86c7d4e0e"


class Server:
    """The server that runs from this folder, asked with a key."""

    def __init__(self, running: RunningServer, secret: str) -> None:
        self._server = running
        self._secret = secret

    @classmethod
    def open_to_us(cls, loaded: Loaded) -> Self:
        """The server, asked with this machine's own key. Raises `StartError` when none runs."""
        found = running_server(loaded)
        return cls(found, own_secret(loaded))

    @classmethod
    def of_admin(cls, loaded: Loaded) -> Self:
        """The server, asked as its admin. Raises `StartError` when none runs or no key is declared."""
        found = running_server(loaded)
        loaded.require("gateway.admin_key")
        key = loaded.platform.gateway.admin_key
        if key is None:
            raise StartError("only the admin API tells this, and platform.yaml has no key for it", hint=_ADMIN_HINT)
        return cls(found, key.get_secret_value())

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """One call with JSON in and out. Raises `StartError` with what the server says is wrong."""
        data = None if body is None else json.dumps(body).encode()
        with self._sent(method, path, data, {"content-type": "application/json"}) as response:
            return json.loads(response.read())

    def events(self, path: str, body: Any) -> Iterator[tuple[str, Any]]:
        """One call that answers in server-sent events: the name of each, and its JSON. Raises `StartError`."""
        with self._sent("POST", path, json.dumps(body).encode(), {"content-type": "application/json"}) as response:
            name = "error"
            for line in response:
                field, _, value = line.decode().rstrip("\r\n").partition(": ")
                if field == "event":
                    name = value
                elif field == "data":
                    yield name, json.loads(value)
                    name = "error"

    def upload(self, file: Path, *, told: Callable[[int], None]) -> Any:
        """Send a file for batches; `told` is told how many bytes went, from time to time."""
        name = file.name.replace('"', "_").encode("utf-8", "replace").decode("utf-8")
        head = (
            f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
            f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
            "Content-Type: application/jsonl\r\n\r\n"
        ).encode()
        tail = f"\r\n--{_BOUNDARY}--\r\n".encode()
        try:
            with file.open("rb") as opened:
                length = len(head) + file.stat().st_size + len(tail)
                headers = {
                    "content-type": f"multipart/form-data; boundary={_BOUNDARY}",
                    "content-length": str(length),
                }
                with self._sent("POST", "/v1/files", _form(head, opened, tail, told), headers) as response:
                    return json.loads(response.read())
        except OSError as error:
            raise StartError(f"{file} cannot be sent: {error.strerror or error}") from error

    def download(self, id_: str) -> Iterator[bytes]:
        """A file's content, piece by piece."""
        with self._sent("GET", f"/v1/files/{id_}/content", None, {}) as response:
            while piece := response.read(PIECE_BYTES):
                yield piece

    @property
    def url(self) -> str:
        return self._server.url

    @contextmanager
    def _sent(
        self, method: str, path: str, body: bytes | Iterator[bytes] | None, headers: dict[str, str]
    ) -> Generator[http.client.HTTPResponse]:
        server = self._server
        connection = http.client.HTTPConnection(server.reachable_host, server.port, timeout=PATIENCE_S)
        try:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # refused early: the answer says why
                connection.request(method, path, body, headers={**headers, "authorization": f"Bearer {self._secret}"})
            response = connection.getresponse()
            if response.status == http.HTTPStatus.NOT_FOUND and path.startswith("/admin/"):
                raise StartError(f"the server at {server.url} runs without `gateway.admin_key`", hint=_ADMIN_HINT)
            if response.status >= http.HTTPStatus.BAD_REQUEST:
                raise StartError(f"{_said(response.read())} (status {response.status})")
            yield response
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise StartError(f"the server at {server.url} does not answer: {error}") from error
        finally:
            connection.close()


def running_server(loaded: Loaded) -> RunningServer:
    """Where the server of this folder listens. Raises `StartError` when none runs."""
    found = read_server(loaded.state)
    if found is None:
        raise StartError("no server of this platform runs here", hint="start it with `hanok up`")
    return found


def _form(head: bytes, file: BinaryIO, tail: bytes, told: Callable[[int], None]) -> Iterator[bytes]:
    yield head
    sent = 0
    while piece := file.read(PIECE_BYTES):
        yield piece
        sent += len(piece)
        told(sent)
    yield tail


def _said(body: bytes) -> str:
    """The message in an error envelope."""
    try:
        return str(json.loads(body)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return body[:200].decode("utf-8", "replace")
