"""A word on what is being done, on stderr, for people who wait longer than a moment. Nobody else is told."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from threading import Timer

from hanok.cli.terminal import talk

MOMENT_S = 1.0


@contextmanager
def patience(doing: str) -> Generator[Callable[[str], None]]:
    """Show a spinner once the work inside takes longer than a moment; the caller tells what it is at."""
    if not talk.is_terminal:
        yield lambda _: None
        return
    status = talk.status(f"{doing} …")
    late = Timer(MOMENT_S, status.start)
    late.daemon = True
    late.start()
    try:
        yield lambda what: status.update(f"{what} …")
    finally:
        late.cancel()
        late.join()
        status.stop()
