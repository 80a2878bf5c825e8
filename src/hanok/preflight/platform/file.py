"""The platform file itself: everything that `hanok check` refuses, as findings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from hanok.preflight.case import Case
from hanok.preflight.findings import Finding, Rule

REFUSED = Rule("HK701", "error", "a platform file that Hanok refuses", "mend it; `hanok check` says the same")


def check_file(case: Case) -> Iterator[Finding]:
    """Every problem of every file, but for what was found when it was read."""
    told = {(each.file, each.line) for each in case.cluster.findings if each.severity == "error"}
    for declared in case.platforms:
        file = declared.manifest.file
        for line, problem in declared.problems:
            if (file, line) not in told:
                found = REFUSED.at(file, line, problem.message, hint=problem.hint)
                yield replace(found, object=problem.path, path=problem.path)


CHECKS = (check_file,)
