"""What `hanok up` leaves in the state folder for the other commands: where it listens, and a key for this machine.

Where machines share a ledger, as pods of a cluster do, each has a key of its own name, and only once it is asked for:
one key for all would be renewed by each in turn, and the others' would end.
"""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import json
import os
import socket
import time
from collections.abc import Generator
from dataclasses import asdict, dataclass
from http import HTTPStatus
from pathlib import Path

from hanok.errors import SpecError, StoreError
from hanok.ledger import Key, KeyRing, Ledger
from hanok.spec import Loaded
from hanok.wire import Caller

LOCAL = "local"
"""The name of the key for this machine's own commands."""
RENEWAL_GRACE_S = 3600.0
_SERVER, _KEY = "server.json", "local.key"


@dataclass(frozen=True, kw_only=True)
class RunningServer:
    """A server started from this folder: its process and its address."""

    process_id: int
    host: str
    port: int

    @property
    def reachable_host(self) -> str:
        """An address of this machine that reaches it, also where it listens on all of them."""
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)

    @property
    def url(self) -> str:
        host = self.reachable_host
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"


def write_server(state: Path, server: RunningServer) -> None:
    """Say where the server listens."""
    _write_private(state / _SERVER, json.dumps(asdict(server)))


def read_server(state: Path) -> RunningServer | None:
    """Where a server of this folder listens, if its process is alive."""
    try:
        server = RunningServer(**json.loads((state / _SERVER).read_text("utf-8")))
        os.kill(server.process_id, 0)
    except (OSError, ValueError, TypeError):
        return None
    return server


def forget_server(state: Path) -> None:
    """Take our own mark away; another server that was started since keeps its."""
    server = read_server(state)
    if server is None or server.process_id == os.getpid():
        (state / _SERVER).unlink(missing_ok=True)


def own_name(loaded: Loaded) -> str:
    """The name of this machine's own key: of machines that share a ledger each has another."""
    return LOCAL if loaded.platform.ledger.database is None else f"{LOCAL}-{socket.gethostname()}"


def key_at_start(loaded: Loaded, ledger: Ledger) -> tuple[str, bool]:
    """This machine's own key for a server that starts, and whether it was made just now.

    With a ledger that others share none is made: an empty text where none is kept that opens something.
    """
    if loaded.platform.ledger.database is None:
        return local_key(loaded.state, ledger)
    kept = _kept_key(loaded.state)
    return (kept if kept and KeyRing(ledger.list_keys()).find(kept) is not None else ""), False


def local_key(state: Path, ledger: Ledger, name: str = LOCAL) -> tuple[str, bool]:
    """This machine's own key, and whether it was made just now.

    It is kept in `local.key`, readable by its owner only, so that `hanok ask` and the printed curl line work. One that
    opens nothing any more is renewed. Of several processes that begin at once, one makes it.
    """
    with _alone(state):
        kept = _kept_key(state)
        local = _in_use(ledger, name)
        if local is not None and kept and KeyRing([local]).find(kept) is not None:
            return kept, False
        secret = _renewed(ledger, local, name)
        keep_local_key(state, secret)
        return secret, True


def local_caller(ledger: Ledger) -> Caller:
    """Who calls where a command works without a server: the key `local`, which is made where there is none.

    No secret is needed for that, so none is renewed.
    """
    key = _in_use(ledger, LOCAL) or _made(ledger)
    return Caller(key_id=key.id, key_name=key.name, team=key.team, user=key.user)


def _made(ledger: Ledger) -> Key:
    """The key `local`; of several who begin at once one makes it, and the others find it."""
    try:
        return ledger.create_key(LOCAL).key
    except StoreError:
        if (key := _in_use(ledger, LOCAL)) is None:
            raise
        return key


def own_secret(loaded: Loaded) -> str:
    """This machine's own key, known to the running server. Where the ledger's address is not set, the one kept here.

    Raises `SpecError` when none is kept either.
    """
    try:
        ledger = Ledger.of(loaded)
    except SpecError:
        if kept := _kept_key(loaded.state):
            return kept
        raise
    with ledger:
        secret, fresh = local_key(loaded.state, ledger, own_name(loaded))
    if fresh:
        wait_until_known(loaded.state, secret)
    return secret


def keep_local_key(state: Path, secret: str) -> None:
    """Use this secret as this machine's own from now on. Raises `StoreError`."""
    _write_private(state / _KEY, secret + "\n")


def _kept_key(state: Path) -> str:
    try:
        return (state / _KEY).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _in_use(ledger: Ledger, name: str) -> Key | None:
    return next((key for key in ledger.list_keys() if key.name == name and key.revoked_at is None), None)


def _renewed(ledger: Ledger, local: Key | None, name: str) -> str:
    """A new secret for the key, whose budgets stay; who has the last one, as another machine, has time to follow."""
    if local is not None and (local.expires_at is None or local.expires_at > time.time()):
        return ledger.rotate_key(local.id, grace_s=RENEWAL_GRACE_S).secret
    if local is not None:
        ledger.revoke_key(local.id)
    return ledger.create_key(name).secret


@contextlib.contextmanager
def _alone(state: Path) -> Generator[None]:
    """While others of this folder wait, until we are done or dead. Raises `StoreError`."""
    try:
        lock = os.open(state / f"{_KEY}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StoreError(f"{state / _KEY}.lock cannot be written: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _write_private(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:  # noqa: PTH123
            file.write(text)
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}") from error


def wait_until_known(state: Path, secret: str, *, patience_s: float = 3.0) -> None:
    """Return when the running server, if there is one, lets this key in; it looks for new ones a few times a second."""
    server = read_server(state)
    deadline = time.monotonic() + patience_s
    while server is not None and time.monotonic() < deadline:
        connection = http.client.HTTPConnection(server.reachable_host, server.port, timeout=patience_s)
        try:
            connection.request("GET", "/v1/models", headers={"authorization": f"Bearer {secret}"})
            if connection.getresponse().status != HTTPStatus.UNAUTHORIZED:
                return
        except (OSError, http.client.HTTPException):
            return
        finally:
            connection.close()
        time.sleep(0.05)
