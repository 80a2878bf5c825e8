"""`hanok` commands as processes that need not import first: each is a fork of one that has.

A command takes 0.6 s, nearly all of it imports; a fork of this one a tenth of that. It has the folder, the environment,
the streams and the arguments of a command that was typed. What looks at the environment or the terminal when it is
imported (`hanok.cli`, typer's use of rich) is imported after the fork. Starts as such are proved in `tests/journeys`.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.interrupts import heeding

_IMPORTED = (
    "hanok.assemble",
    "hanok.serving.discover",
    "hanok.spec.reference",
    "rich.live",
    "rich.markdown",
    "rich.progress",
    "rich.table",
    "rich.traceback",
    "typer",
    "typer._adapters",
)
_READ_AT_START = ("LD_", "PYTHON")
"""Variables that count when a process begins: where they are others than ours, nothing is forked."""
_PID_BYTES = 8


def command(
    folder: Path,
    *arguments: str,
    env: Mapping[str, str] | None = None,
    input: str = "",  # noqa: A002 - as `subprocess.run` calls it
    timeout: float = 60,
) -> subprocess.CompletedProcess[str]:
    """Run `hanok` with these arguments to its end. Raises `subprocess.TimeoutExpired`."""
    env = {**(os.environ if env is None else env)}
    if _at_start(env) != _at_start(os.environ):
        return subprocess.run(
            [sys.executable, "-m", "hanok", *arguments],
            cwd=folder, env=env, input=input, capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip
    order = {"folder": str(folder), "arguments": arguments, "env": env}
    with contextlib.ExitStack() as stack:
        ordered, said_in, said, told = (stack.enter_context(tempfile.TemporaryFile()) for _ in range(4))
        for file, text in ((ordered, json.dumps(order)), (said_in, input)):
            file.write(text.encode())
            file.seek(0)
        line = stack.enter_context(socket.socket(socket.AF_UNIX))
        line.connect(_address())
        socket.send_fds(line, [b"!"], [each.fileno() for each in (ordered, said_in, said, told)])
        code = _ended(line, ["hanok", *arguments], timeout)
        for file in (said, told):
            file.seek(0)
        return subprocess.CompletedProcess(["hanok", *arguments], code, said.read().decode(), told.read().decode())


def _at_start(env: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if name.startswith(_READ_AT_START)}


def _ended(line: socket.socket, arguments: list[str], timeout: float) -> int:
    pid = int.from_bytes(line.recv(_PID_BYTES))
    line.settimeout(timeout)
    try:
        return int.from_bytes(line.recv(_PID_BYTES), signed=True)
    except TimeoutError:
        os.kill(pid, signal.SIGKILL)
        raise subprocess.TimeoutExpired(arguments, timeout) from None


@functools.cache
def _address() -> str:
    """Where the process listens that forks; it ends with this one."""
    folder = tempfile.mkdtemp(prefix="hanok-forked-")
    address = f"{folder}/line"
    process = subprocess.Popen(
        heeding("-m", "tests.forked", address),
        cwd=Path(__file__).parent.parent, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None and process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.stdout.close()

    def end() -> None:
        with process:
            Path(address).unlink()
            Path(folder).rmdir()

    atexit.register(end)
    return address


def _serve(address: str) -> None:
    for name in _IMPORTED:
        importlib.import_module(name)
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(address)
        door.listen(64)
        print("ready", flush=True)
        while sys.stdin.buffer not in select.select([door, sys.stdin.buffer], [], [])[0]:
            line, _ = door.accept()
            with line:
                if not os.fork():
                    door.close()
                    return _watch(line)
    return None


def _watch(line: socket.socket) -> None:
    """In a fork: begin the command in another, and tell how it ended."""
    _, descriptors, *_ = socket.recv_fds(line, 1, 4)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if not (pid := os.fork()):
        line.close()
        return _become(*descriptors)
    line.sendall(pid.to_bytes(_PID_BYTES))
    _, status = os.waitpid(pid, 0)
    with contextlib.suppress(OSError):
        line.sendall(os.waitstatus_to_exitcode(status).to_bytes(_PID_BYTES, signed=True))
    os._exit(0)


def _become(ordered: int, *streams: int) -> None:
    """The command, in a process that has imported: returns or ends as it does."""
    with os.fdopen(ordered) as file:
        order: dict[str, Any] = json.load(file)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdin, sys.stdout, sys.stderr = (
        open(number, mode, encoding="utf-8", errors=errors, closefd=False)  # noqa: SIM115 - as long as the process
        for number, mode, errors in ((0, "r", "strict"), (1, "w", "strict"), (2, "w", "backslashreplace"))
    )
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["env"])
    sys.path[0] = order["folder"]
    sys.argv = ["hanok", *order["arguments"]]
    importlib.import_module("hanok.cli").main()


if __name__ == "__main__":
    _serve(sys.argv[1])
