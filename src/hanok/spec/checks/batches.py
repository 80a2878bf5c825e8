"""A window that opens."""

from __future__ import annotations

from collections.abc import Iterator

from hanok.spec.checks.findings import Finding
from hanok.spec.tree import Platform


def check_window(platform: Platform) -> Iterator[Finding]:
    """The hours in which batches run."""
    window = platform.batches.window
    if window is not None and window.opens == window.closes:
        place = ("batches", "window", "to")
        yield Finding(place=place, message="the window opens when it closes", hint="`window: always` never closes")
