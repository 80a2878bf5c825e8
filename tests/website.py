"""A web site for tests: a real server on a free port, that answers what it is told and remembers what it was asked."""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = tuple[int, dict[str, str], bytes] | Callable[[BaseHTTPRequestHandler], None]


@dataclass
class Site:
    """Answers by path; what is not among them is 404. `asked` are methods, paths and headers in their order, `bodies`
    what came with them."""

    port: int = 0
    replies: dict[str, Reply] = field(default_factory=dict)
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def page(self, path: str, body: bytes | str, status: int = 200, **headers: str) -> str:
        """Answer this at the path; the page's URL. `_` in names of headers is `-`."""
        told = {name.replace("_", "-").lower(): value for name, value in headers.items()}
        self.replies[path] = (status, told, body.encode() if isinstance(body, str) else body)
        return f"{self.url}{path}"

    def methods(self, path: str) -> list[str]:
        """The methods by which that path was asked for."""
        return [method for method, asked, _ in self.asked if asked == path]


@contextlib.contextmanager
def running_site(tls: ssl.SSLContext | None = None) -> Iterator[Site]:
    """A site that listens until the end."""
    site, lock = Site(), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with lock:
                site.at_once += 1
                site.most_at_once = max(site.most_at_once, site.at_once)
                site.asked.append(
                    (self.command, self.path, {name.lower(): each for name, each in self.headers.items()})
                )
                site.bodies.append(self.rfile.read(int(self.headers.get("content-length", 0))))
            self._is_here = True
            try:
                self._reply(site.replies.get(self.path, (404, {}, b"")))
            finally:
                self._leave()

        def _leave(self) -> None:
            with lock:
                site.at_once -= self._is_here
                self._is_here = False

        do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815 - their names there

        def _reply(self, reply: Reply) -> None:
            with contextlib.suppress(OSError):
                if callable(reply):
                    reply(self)
                    return
                status, headers, body = reply
                self.send_response(status)
                for name, value in {"content-length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body[:-1])
                    self._leave()  # who has the last byte may ask again
                    self.wfile.write(body[-1:])

        def log_message(self, *_: Any) -> None:
            pass

        def finish(self) -> None:
            with contextlib.suppress(OSError):
                super().finish()

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: Any) -> None:
            pass  # callers that hang up are what some tests are about

    server = Server(("127.0.0.1", 0), Handler)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    site.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
