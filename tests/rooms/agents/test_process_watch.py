"""A worker's name tells whether its process is still there; what cannot be seen from here is never called dead."""

from __future__ import annotations

import subprocess
import sys

from hanok.agents.process_watch import is_dead, name_worker

_TELL = "from hanok.agents.process_watch import name_worker; print(name_worker(), flush=True); input()"


def test_a_worker_is_dead_when_its_process_has_ended_and_not_before() -> None:
    with subprocess.Popen([sys.executable, "-c", _TELL], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        name = child.stdout.readline().decode().strip()
        assert not is_dead(name)
        child.kill()
        child.stdout.read()  # until it has let go of everything
        while not is_dead(name) and child.poll() is None:
            pass
        assert is_dead(name)


def test_of_a_worker_that_cannot_be_seen_from_here_nothing_is_certain() -> None:
    mine = name_worker()
    who, _, process = mine.partition("@")
    where, pid, started = process.split(".")
    assert not is_dead(mine)
    assert is_dead(f"{who}@{where}.{pid}.{int(started) - 1}"), "another process has its number now"
    assert not is_dead(f"{who}@another-boot-or-container.{pid}.{started}1")
    assert not is_dead("worker_of_an_older_version")
