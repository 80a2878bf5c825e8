"""What repeats is told once: findings that are alike, and those of a rule that says much."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hanok.preflight import Finding, Severity

TOLD: Mapping[Severity, int] = {"error": 10, "warning": 3, "info": 3}
"""Of one rule so many findings are told in their own words; of more only where they are."""
SPARED = 2
"""Two more are told as well: to say where they are takes as much room."""
_VALUES = re.compile(r"`[^`]*`|\d[\d.,]*")


@dataclass(frozen=True, kw_only=True)
class Told:
    """A finding, those that say the same of other places, and those of its rule that are not told one by one."""

    finding: Finding
    others: list[Finding] = field(default_factory=list[Finding])
    unlike: list[Finding] = field(default_factory=list[Finding])


def fold(findings: Sequence[Finding]) -> list[Told]:
    """Each thing once, in the order in which it is first said."""
    found: dict[tuple[str, str, str], Told] = {}
    for each in findings:
        first = found.setdefault((each.rule.id, each.severity, _likeness(each)), Told(finding=each))
        if first.finding is not each:
            first.others.append(each)
    return _shorten(list(found.values()))


def _shorten(told: Sequence[Told]) -> list[Told]:
    """Of one rule only the first few in their own words; the last of these says where the others are."""
    kept: dict[tuple[str, str], list[Told]] = {}
    counts = Counter((each.finding.rule.id, each.finding.severity) for each in told)
    for each in told:
        kind = (each.finding.rule.id, each.finding.severity)
        same = kept.setdefault(kind, [])
        if len(same) < TOLD[each.finding.severity] or counts[kind] <= TOLD[each.finding.severity] + SPARED:
            same.append(each)
        else:
            same[-1].unlike.extend([each.finding, *each.others])
    shown = {id(each) for same in kept.values() for each in same}
    return [each for each in told if id(each) in shown]


def _likeness(finding: Finding) -> str:
    """What findings that are alike have in common: of an error every word, of others all but names and figures."""
    return finding.message if finding.severity == "error" else _VALUES.sub("…", finding.message)
