"""Where an endpoint is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self
from urllib.parse import quote, urlsplit

_HOST = re.compile(r"[A-Za-z0-9._:%-]+")
_PATH_SAFE = "/%:@!$&'()*+,;=~-._"


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where an endpoint is: scheme, host, port, and the path its URL begins with."""

    secure: bool
    host: str
    port: int
    prefix: str

    @classmethod
    def parse(cls, url: str) -> Self:
        """Take an `http(s)://` URL apart. Raises `ValueError` when it is none, or holds more than we could send."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is not an http URL")
        if parts.query or parts.fragment or parts.username or parts.password is not None or parts.port == 0:
            raise ValueError(f"{url!r} holds more than a host, a port and a path")
        secure = parts.scheme == "https"
        port = parts.port or (443 if secure else 80)
        host = parts.hostname if parts.hostname.isascii() else parts.hostname.encode("idna").decode("ascii")
        if not _HOST.fullmatch(host) or ".." in host:
            raise ValueError(f"{url!r} has no host that could be asked")
        return cls(secure=secure, host=host, port=port, prefix=quote(parts.path.rstrip("/"), safe=_PATH_SAFE))

    @property
    def authority(self) -> str:
        """The Host header: the port only when it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.secure else 80) else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{'https' if self.secure else 'http'}://{self.authority}{self.prefix}"
