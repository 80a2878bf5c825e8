"""The platform file itself: everything that `hanok check` refuses, and the version of Kubernetes that it is for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from hanok.preflight.case import Case
from hanok.preflight.declared import oldest
from hanok.preflight.findings import Finding, Rule

REFUSED = Rule("HK701", "error", "a platform file that Hanok refuses", "mend it; `hanok check` says the same")

OTHER_VERSION = Rule(
    "HK716",
    "warning",
    "held to another Kubernetes than is declared",
    "look at one cluster's folder at a time, or name the version that is meant: `--kubernetes 1.36`",
)


def check_file(case: Case) -> Iterator[Finding]:
    """Every problem of every file, but for what was found when it was read."""
    told = {(each.file, each.line) for each in case.cluster.findings if each.severity == "error"}
    for declared in case.platforms:
        file = declared.manifest.file
        for line, problem in declared.problems:
            if (file, line) not in told:
                found = REFUSED.at(file, line, problem.message, hint=problem.hint)
                yield replace(found, object=problem.path, path=problem.path)


def check_versions(case: Case) -> Iterator[Finding]:
    """Clusters of other versions than what everything is held to: the user named it, or there are several."""
    several = len({each.minor for each in case.platforms if each.kubernetes}) > 1
    for each in case.platforms:
        if each.kubernetes not in (None, case.facts.kubernetes):
            message = f"declares Kubernetes {each.kubernetes}; here all is held to {case.facts.kubernetes}"
            message += ", the oldest that is declared" if several and _is_oldest(case) else ""
            severity = "warning" if several else "info"
            yield OTHER_VERSION.on(each.manifest, "cluster", "kubernetes", message=message, severity=severity)


def _is_oldest(case: Case) -> bool:
    first = oldest(case.platforms)
    return first is not None and first.kubernetes == case.facts.kubernetes


CHECKS = (check_file, check_versions)
