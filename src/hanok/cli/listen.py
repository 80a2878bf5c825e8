"""The address that `hanok up` listens at: bound by one process, or by several that the kernel deals connections to.

Each worker has a listening socket of its own (SO_REUSEPORT): the kernel deals new connections evenly, which an
inherited socket does not: there, whoever wakes first takes all that wait, and keeps them for as long as they are kept
alive. The supervisor's own socket is bound too, but does not listen: it keeps the port while workers come and go.
"""

from __future__ import annotations

import errno
import socket

from hanok.cli.state import read_server
from hanok.errors import StartError
from hanok.spec import Loaded


def bind(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """A socket bound to the address; with `shared`, others of this user may bind it too. Raises `OSError`."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    return bound


def check_address(loaded: Loaded, host: str, port: int) -> None:
    """Find out that the port is taken before any engine is started. Raises `StartError`."""
    try:
        bind(host, port).close()
    except socket.gaierror:
        raise StartError(f"{host!r} is not an address of this machine", hint="try --host 127.0.0.1") from None
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise StartError(f"cannot listen on {host}:{port}: {error.strerror}") from None
        ours = read_server(loaded.state)
        if ours is not None and ours.port == port:
            hint = f"this platform is running already (process {ours.process_id}); stop it first, or use it"
        else:
            hint = f"stop what listens there, or choose another: hanok up --port {port + 1}"
        raise StartError(f"port {port} on {host} is taken", hint=hint) from None
