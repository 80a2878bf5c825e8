"""Requests out: one page of an exporter, an engine or Prometheus, within a time and a size.

No redirect is followed: a token must not go where it was not meant to.
"""

from __future__ import annotations

import http.client
import ssl
import time
import urllib.error
import urllib.request
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from hanok.errors import SourceError
from hanok.gpu.monitor.samples import clean

ANSWER_LIMIT_BYTES = 32 * 1024 * 1024
"""Prometheus' answer for a thousand GPUs is a quarter of it."""
_PIECE_BYTES = 64 * 1024
_LOCAL = ("localhost", "127.0.0.1", "::1")


def as_address(text: str, path: str = "") -> str:
    """The URL of what was written, `http://` if no scheme is, with `path` if it has none. Raises `ValueError`."""
    parts = urlsplit(text if "://" in text else f"http://{text}")
    if parts.scheme not in ("http", "https") or not parts.hostname or not text.isprintable() or " " in text:
        raise ValueError(f"{clean(text)!r} is no address, as http://node:9400/metrics")
    if parts.username is not None or parts.password is not None:
        raise ValueError(f"{parts.hostname}: names and passwords in addresses are not taken")
    _ = parts.port  # raises ValueError where it is no port
    return parts._replace(path=parts.path if parts.path not in ("", "/") else path, fragment="").geturl()


def short(url: str) -> str:
    """What an address is called in a table: host and port, and the path if it is not the usual."""
    parts = urlsplit(url)
    return parts.netloc + ("" if parts.path in ("", "/", "/metrics") else parts.path)


def host_of(url: str) -> str:
    """The host that an address names."""
    return urlsplit(url).hostname or url


def is_local(url: str) -> bool:
    """Whether an address names this machine."""
    return host_of(url) in _LOCAL


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


class Fetcher:
    """Fetches pages. `ca_file` holds certificates to trust, too. Raises `SourceError` where it cannot be read."""

    def __init__(self, *, timeout_s: float, ca_file: str | None = None, limit_bytes: int = ANSWER_LIMIT_BYTES) -> None:
        try:
            context = ssl.create_default_context()
            if ca_file is not None:
                context.load_verify_locations(cafile=ca_file)
        except OSError as error:
            raise SourceError(f"{ca_file}: no certificates can be read there: {error.strerror or error}") from error
        self._opener = urllib.request.build_opener(_NoRedirects, urllib.request.HTTPSHandler(context=context))
        self._timeout_s = timeout_s
        self._limit_bytes = limit_bytes

    def get(self, url: str, *, token: str | None = None) -> bytes:
        """The page at `url`. Raises `SourceError` when there is none, or it is too long or too slow."""
        headers = {"user-agent": "hanok", "accept": "text/plain, application/json"}
        headers |= {"authorization": f"Bearer {token}"} if token else {}
        deadline = time.monotonic() + self._timeout_s
        try:
            with self._opener.open(urllib.request.Request(url, headers=headers), timeout=self._timeout_s) as answer:  # noqa: S310
                return self._read(answer, deadline)
        except urllib.error.HTTPError as error:
            with error:
                raise _refused(error.code, error.headers.get("location")) from None
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise SourceError(_reason(error, self._timeout_s)) from error

    def _read(self, answer: http.client.HTTPResponse, deadline: float) -> bytes:
        """The body. Each piece may take the whole time once more, so the clock is looked at between them."""
        pieces: list[bytes] = []
        size = 0
        while piece := answer.read1(_PIECE_BYTES):
            pieces.append(piece)
            size += len(piece)
            if size > self._limit_bytes:
                raise SourceError(f"answers more than {self._limit_bytes // 1024**2} MiB")
            if time.monotonic() > deadline:
                raise TimeoutError
        if answer.length:
            raise SourceError("its answer was cut short")
        return b"".join(pieces)


def _refused(status: int, location: str | None) -> SourceError:
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return SourceError(
            f"lets nobody in without a token that it knows ({status})", hint="for Prometheus: --bearer-file"
        )
    if status in range(300, 400):
        return SourceError(f"sends us elsewhere ({status}): name {clean(location or 'that address')}")
    return SourceError(f"answers {status}")


def _reason(error: Exception, timeout_s: float) -> str:
    reason = getattr(error, "reason", None) or error
    if isinstance(reason, TimeoutError):
        return f"no answer within {timeout_s:g} s"
    if isinstance(reason, ConnectionRefusedError):
        return "connection refused: nothing listens there"
    if isinstance(reason, OSError) and not isinstance(reason, ssl.SSLError):
        return reason.strerror or str(reason)
    return f"cannot be asked: {clean(str(reason)) or type(reason).__name__}"
