"""A report as one JSON object of Hanok's own: what `--json` prints, and certificates hold."""

from __future__ import annotations

from typing import Any

from hanok.preflight.findings import Finding
from hanok.preflight.verdict import Report


def plain(report: Report) -> dict[str, Any]:
    """The whole report."""
    return {
        "verdict": report.verdict,
        "claims": plain_claims(report),
        "findings": [plain_finding(each) for each in report.findings],
        "ignored": [plain_finding(each) | {"reason": each.ignored} for each in report.ignored],
    }


def plain_claims(report: Report) -> list[dict[str, Any]]:
    """What each layer claims."""
    return [
        {
            "layer": each.layer,
            "verdict": each.verdict,
            "errors": each.errors,
            "warnings": each.warnings,
            "open": each.open,
        }
        for each in report.claims
    ]


def plain_finding(finding: Finding) -> dict[str, Any]:
    """One finding. `open` says that it leaves the verdict open instead of refuting anything."""
    return {
        "rule": finding.rule.id,
        "severity": finding.severity,
        "file": finding.file,
        "line": finding.line,
        "object": finding.object,
        "message": finding.message,
        "hint": finding.hint,
        "path": finding.path,
        "layer": finding.layer,
        "open": finding.rule.open,
    }
