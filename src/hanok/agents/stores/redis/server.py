"""A Redis (6.2 or newer) or Valkey server, or a cluster of them, through redis-py (extra `redis`): asked by scripts.

A question is asked once: whether a step was done whose answer was lost, only its caller can tell. Connections come from
a pool, which looks whether the server has left before it lends one. So a server that was away needs nothing of us.

Of a server that does not answer in time one question is asked at a time, and all others are refused at once: those who
ask share a few threads, and would wait behind one another.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.exceptions import NoScriptError, OutOfMemoryError, ReadOnlyError, RedisError
from redis.exceptions import TimeoutError as NoAnswer
from redis.retry import Retry

from hanok.errors import KeptUnreachable

TIMEOUT_S = 5.0
"""For connecting, and for each answer."""
_HINT = "check `runs: {database: …}` in platform.yaml, and that the server runs and lets this user in"
_SILENT = "it does not answer"
_EXAMPLE = "write `redis://user:password@host:6379/0`, or `rediss://` for TLS, with %-escapes for / @ : in the password"


@dataclass(frozen=True, slots=True)
class Script:
    """Lua, known to a server by its digest once it was sent there."""

    text: str
    sha: str

    @classmethod
    def of(cls, *parts: str) -> Script:
        text = "\n".join(parts)
        return cls(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


MARK = Script.of("redis.call('SET', KEYS[1], ARGV[1], 'NX') return redis.call('GET', KEYS[1])")


class Server:
    """Where one subject is kept, of a platform. Safe to use from several threads. All raises `StoreError`.

    It is asked when something is first needed. `version` counts the changes of how the subject is kept: what a later
    one wrote is left alone.
    """

    def __init__(self, url: str, *, platform: str, subject: str, version: int) -> None:
        """Raises `StoreError` when `url` cannot be read."""
        self._url = url
        self.name = name_of(url)
        self._subject = subject
        self._version = version
        self._platform = quote(platform, safe="")
        self._client: Any = _client(url)
        self._lock = threading.Lock()
        self._ready = False
        self._is_silent = False
        self._probing = threading.Lock()

    def __repr__(self) -> str:
        return f"Server({self.name!r}, subject={self._subject!r})"  # no url: it may hold a password

    def prefix(self, *parts: str) -> str:
        """What keys begin with that are on one node: of a platform, or of what `parts` name in it."""
        within = "/".join((self._platform, *(quote(part, safe="") for part in parts)))
        return f"hanok:{{{within}}}:agents:"

    def begin(self) -> None:
        """Ask it now, once, whether it can be used."""
        if not self._ready:
            with self._naming_it(), self._probed():
                self._begin()

    def run(self, script: Script, prefix: str, *fields: Any) -> Any:
        """What the script answers, texts as bytes."""
        self.begin()
        with self._naming_it(), self._probed():
            return self._ask(script, prefix, fields)

    def told(self, *sections: str) -> dict[str, Any]:
        """What the server tells of itself; nothing where it does not."""
        try:
            return {name: value for each in sections for name, value in self._client.info(each).items()}
        except (RedisError, OSError):
            return {}

    def close(self) -> None:
        self._client.close()

    @contextmanager
    def _naming_it(self) -> Generator[None]:
        try:
            yield
        except (RedisError, OSError) as error:
            why, hint = _told_of(error)
            raise KeptUnreachable(f"{self.name} cannot be used: {why}", hint=hint) from None

    @contextmanager
    def _probed(self) -> Generator[None]:
        """One at a time asks a server that has fallen silent; its answer opens it to all."""
        probes = self._is_silent
        if probes and not self._probing.acquire(blocking=False):
            raise NoAnswer(_SILENT)
        try:
            yield
            self._is_silent = False
        except (RedisError, OSError) as error:
            self._is_silent = isinstance(error, NoAnswer)
            raise
        finally:
            if probes:
                self._probing.release()

    def _begin(self) -> None:
        with self._lock:
            if self._ready:
                return
            if self.told("cluster").get("cluster_enabled"):
                self._client.close()
                self._client = RedisCluster.from_url(self._url, **_how())
            found = int(self._ask(MARK, f"{self.prefix()}{self._subject}-version", (self._version,)))
            if found > self._version:
                message = f"what {self.name} has of {self._subject} was written by a newer Hanok"
                raise KeptUnreachable(message, hint="upgrade Hanok, or name another database")
            self._ready = True

    def _ask(self, script: Script, prefix: str, fields: Sequence[Any]) -> Any:
        try:
            return self._client.evalsha(script.sha, 1, prefix, *fields)
        except NoScriptError:  # nothing was done
            return self._client.eval(script.text, 1, prefix, *fields)


def name_of(url: str) -> str:
    """How messages name a server: without its password."""
    parts = urlsplit(url)
    return f"Redis at {parts.path if parts.scheme == 'unix' else parts.hostname or 'localhost'}"


def _told_of(error: Exception) -> tuple[str, str]:
    """Why a question was refused, and what to do."""
    match error:
        case OutOfMemoryError():
            return "it is full (its `maxmemory`)", "give it more memory; what agents keep goes on when there is room"
        case ReadOnlyError():
            return "it is a replica, which takes nothing", "name its primary in `runs: {database: …}`"
        case NoAnswer():
            return _SILENT, _HINT
        case _:
            return str(error) or type(error).__name__, _HINT


def _client(url: str) -> Any:
    single: Any = redis.Redis
    try:
        return single.from_url(url, **_how())
    except ValueError:  # its message may hold a part of the password
        raise KeptUnreachable("the address of the database of agents' runs cannot be read", hint=_EXAMPLE) from None


def _how() -> dict[str, Any]:
    """No retries: a step that was done would be done twice."""
    timeouts = {"socket_timeout": TIMEOUT_S, "socket_connect_timeout": TIMEOUT_S}
    return {**timeouts, "retry": Retry(NoBackoff(), 0), "protocol": 2}
