"""What `hanok simulate` has found, for whoever shows it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hanok.autoscaling.simulation import Setting, Tried


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What was tried for one model: the fixed ones, the declared rule, and where asked for the candidates.

    Where none `is_declared`, the first of the rules is the usual one.
    """

    model: str
    is_declared: bool
    setting: Setting
    trace: Path
    fixed: list[Tried]
    rules: list[Tried]
    limit_s: float | None
    best: Tried | None

    def kind(self, tried: Tried) -> str:
        """What a rule is, in a word."""
        if any(tried is each for each in self.fixed):
            return "fixed"
        first = "declared" if self.is_declared else "usual"
        return first if tried is self.rules[0] else "tried"
