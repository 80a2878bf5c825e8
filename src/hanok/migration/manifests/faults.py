"""What preflight finds wrong with the manifests that were taken in, as notes.

Errors and warnings are told, where nobody told of that line before, and of what is mere information that which is old,
needless or missing in what was read; the rest, and what is not known, is preflight's own business.
"""

from __future__ import annotations

from hanok.migration.manifests.told import Told
from hanok.migration.notes import Note
from hanok.preflight import Finding, Report

_ABSENT = ("HK203", "HK209", "HK210")
"""What is not among the files may well be in the cluster: Secrets, namespaces, hosts."""
_MINOR = (
    "HK403", "HK408", "HK409", "HK427", "HK540", "HK543", "HK558", "HK573", "HK574", "HK620", "HK624",
)  # fmt: skip
"""Only information to preflight: settings that say nothing any more, what is old, and what is missing around it."""
_WAYS = ("HTTPRoute", "InferencePool", "EndpointPicker")
"""Ways to the models that were taken in: what is wrong with them is told, though none of it is carried over."""


def tell_faults(report: Report, told: Told) -> None:
    """The findings that touch what was taken in."""
    wrong = {(note.file, note.line) for note in told.notes if note.kind == "wrong"}
    for finding in report.findings:
        if _touches(finding, told) and (finding.file, finding.line) not in wrong:
            told.add(_note(finding))


def _touches(finding: Finding, told: Told) -> bool:
    grave = finding.severity != "info" or finding.rule.id in _MINOR
    if not grave or finding.rule.open or finding.rule.id in _ABSENT:
        return False
    manifest = finding.manifest
    return manifest is None or not manifest.kind or manifest.kind in _WAYS or told.has_taken(manifest)


def _note(finding: Finding) -> Note:
    place = " ".join(part for part in (finding.object, finding.path) if part)
    first = finding.message.split("\n")[0]
    return Note(
        kind="wrong", file=finding.file, line=finding.line, column=1, path=place,
        message=f"{first}; {finding.hint} ({finding.rule.id})",
    )  # fmt: skip
