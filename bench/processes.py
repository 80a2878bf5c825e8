"""Child processes: started on one core, looked at with all their own children, and always ended.

The idea that keeps it simple: every child is the leader of a session of its own, so Ctrl-C at the terminal reaches
only the benchmark, and whoever leaves a `with running(...)` block ends the child and all it started, whatever happened.
"""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

STOPPING = 5.0  # seconds a child has to stop by itself


def stop_on_signals() -> None:
    """A signal leaves all blocks, as Ctrl-C does, so that all children end."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, stop)


class ChildFailed(Exception):
    """A child that did not start or ended too early. The text is the reason, for the table."""


@dataclass(frozen=True)
class Child:
    process: subprocess.Popen[bytes]
    log: Path
    started: float

    def check(self) -> None:
        """Raises when the child has ended."""
        code = self.process.poll()
        if code is not None:
            raise ChildFailed(f"it ended with code {code}: {last_line(self.log)}")


def last_line(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it said nothing"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def on_core(core: int | None) -> Generator[None]:
    """What is started inside runs on this core: a child inherits the cores of the thread that starts it.

    None: wherever this program may run.
    """
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextlib.contextmanager
def running(command: list[str], core: int | None, folder: Path, env: dict[str, str], log: Path) -> Generator[Child]:
    """Starts the command; ends it, and everything it started, at the end of the block."""
    with log.open("wb") as output, on_core(core):
        started = time.perf_counter()
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield Child(process, log, started)
    finally:
        end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """Asks the child to stop, then ends what is left of its whole family."""
    family = family_of(process.pid)
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOPPING)
    for pid in {*family, *family_of(process.pid)}:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()


@dataclass(frozen=True)
class Stat:
    parent: int
    session: int
    cpu_ticks: int  # in user mode and in the kernel, all its threads


def stat_of(pid: int) -> Stat | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The name, in brackets, may hold anything; what is wanted comes after it: state, parent, group, session, …
    # See proc_pid_stat(5).
    fields = text.rpartition(")")[2].split()
    return Stat(parent=int(fields[1]), session=int(fields[3]), cpu_ticks=int(fields[11]) + int(fields[12]))


def family_of(leader: int) -> set[int]:
    """The process, its descendants, and all in its session (a descendant whose parent has ended is still there)."""
    found = {int(entry.name): stat_of(int(entry.name)) for entry in Path("/proc").iterdir() if entry.name.isdigit()}
    stats = {pid: stat for pid, stat in found.items() if stat is not None}
    family = {pid for pid, stat in stats.items() if pid == leader or stat.session == leader}
    grown = True
    while grown:
        more = {pid for pid, stat in stats.items() if stat.parent in family} - family
        family |= more
        grown = bool(more)
    return family


def rss_mib(leader: int) -> float:
    """The memory in RAM of the process and its whole family."""
    total = 0
    for pid in family_of(leader):
        with contextlib.suppress(OSError):
            status = Path(f"/proc/{pid}/status").read_text()
            total += sum(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))
    return total / 1024


def cpu_by_process(leader: int) -> dict[int, float]:
    """Seconds that the process and each of its family have computed so far. It counts in hundredths of a second."""
    stats = {pid: stat_of(pid) for pid in family_of(leader)}
    ticks = os.sysconf("SC_CLK_TCK")
    return {pid: stat.cpu_ticks / ticks for pid, stat in stats.items() if stat is not None}


def busy_cores(seconds: float = 0.5) -> float:
    """How many cores' worth of work the machine does right now."""

    def ticks() -> tuple[int, int]:
        fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        return sum(fields), fields[3] + fields[4]  # all; idle and waiting for a disk

    all_before, idle_before = ticks()
    time.sleep(seconds)
    all_after, idle_after = ticks()
    whole = max(1, all_after - all_before)
    return (1 - (idle_after - idle_before) / whole) * (os.cpu_count() or 1)
