"""How `hanok preflight` looks: for people findings by file, then the claims; for machines one object."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from rich.table import Table
from rich.text import Text

from hanok.cli.preflight_bill import bill_form, show_bill
from hanok.cli.terminal import data
from hanok.preflight import Finding, Report

_MARKS = {"error": ("✗", "bold red"), "warning": ("!", "yellow"), "info": ("·", "bright_black")}
_VERDICTS = {
    "proved": ("✓ proved", "bold green"),
    "refuted": ("✗ refuted", "bold red"),
    "unknown": ("? unknown", "bold yellow"),
}


def show(report: Report, *, show_info: bool) -> None:
    """The report for people, on stdout."""
    shown = [each for each in report.findings if show_info or each.severity != "info" or each.rule.open]
    for file, findings in groupby(shown, key=lambda each: each.file):
        data.print(Text(file or "everything together", style="bold underline"))
        for finding in findings:
            data.print(_finding(finding))
        data.print()
    show_bill(report)
    data.print(_claims(report))
    data.print(_verdict(report, hidden=len(report.findings) - len(shown)))


def _finding(finding: Finding) -> Table:
    mark, style = _MARKS[finding.severity]
    grid = Table.grid(padding=(0, 1))
    for width in (5, 1, 5):
        grid.add_column(width=width, justify="right", no_wrap=True)
    grid.add_column(overflow="fold")
    head = Text.assemble((finding.object, "bold"), " " if finding.object else "", finding.message)
    grid.add_row(
        Text(str(finding.line or ""), style="bright_black"),
        Text(mark, style=style),
        Text(finding.rule.id, style=style),
        head,
    )
    grid.add_row("", "", "", Text(f"→ {finding.hint}", style="cyan"))
    return grid


def _claims(report: Report) -> Table:
    grid = Table.grid(padding=(0, 2))
    for claim in report.claims:
        words, style = _VERDICTS[claim.verdict]
        told = [f"{claim.errors} errors" if claim.errors > 1 else "1 error"] if claim.errors else []
        told += [f"{claim.open} open"] if claim.open else []
        grid.add_row(Text(words, style=style), claim.layer, Text(", ".join(told), style="bright_black"))
    return grid


def _verdict(report: Report, *, hidden: int) -> Text:
    words, style = _VERDICTS[report.verdict]
    counts = ", ".join(_counts(report.findings))
    more = f" · {hidden} more with --info" if hidden else ""
    ignored = f" · {len(report.ignored)} ignored" if report.ignored else ""
    return Text.assemble("\n", (words, style), f"  {counts}{ignored}{more}")


def _counts(findings: Sequence[Finding]) -> Iterator[str]:
    for severity, plural in (("error", "errors"), ("warning", "warnings"), ("info", "of information")):
        count = sum(each.severity == severity for each in findings)
        yield f"{count} {severity if count == 1 and severity != 'info' else plural}"


def form(report: Report) -> dict[str, Any]:
    """The report as one JSON object."""
    return {
        "verdict": report.verdict,
        "claims": [
            {"layer": each.layer, "verdict": each.verdict, "errors": each.errors, "open": each.open}
            for each in report.claims
        ],
        "findings": [finding_form(each) for each in report.findings],
        "ignored": [finding_form(each) | {"reason": each.ignored} for each in report.ignored],
        "cost": bill_form(report),
    }


def finding_form(finding: Finding) -> dict[str, Any]:
    """One finding as JSON."""
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
    }
