"""Reads traces from files."""

from __future__ import annotations

from pathlib import Path

from hanok.autoscaling.trace import FORMS, Call, parse
from hanok.errors import PlanError


def load_trace(file: Path) -> list[Call]:
    """The calls of a trace. Raises `PlanError`."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            return parse(lines, name=str(file))
    except OSError as error:
        raise PlanError(f"{file}: {error.strerror or 'cannot be read'}", hint=f"a trace has lines of {FORMS}") from None
    except UnicodeDecodeError:
        raise PlanError(f"{file} is not text", hint=f"a trace has lines of {FORMS}") from None
