"""Findings as GitHub Actions' workflow commands: a line each, which the log turns into a note at the place.

The form is GitHub's: `::error file=…,line=…,title=…::message`; `%`, line ends, and in properties `:` and `,` are
escaped (docs.github.com, "Workflow commands for GitHub Actions").
"""

from __future__ import annotations

from collections.abc import Iterator

from hanok.preflight.findings import Finding
from hanok.preflight.verdict import Report

_COMMANDS = {"error": "error", "warning": "warning", "info": "notice"}


def github(report: Report) -> str:
    """The report's findings, and the verdict as a last plain line."""
    lines = [_command(each) for each in report.findings]
    return "\n".join([*lines, f"hanok preflight: {report.verdict}"]) + "\n"


def _command(finding: Finding) -> str:
    subject = f"{finding.object}: " if finding.object else ""
    message = f"{subject}{finding.message}\n→ {finding.hint}"
    return f"::{_COMMANDS[finding.severity]} {','.join(_properties(finding))}::{_escape(message)}"


def _properties(finding: Finding) -> Iterator[str]:
    if finding.file:
        yield f"file={_escape_property(finding.file)}"
    if finding.line:
        yield f"line={finding.line}"
    yield f"title={_escape_property(f'{finding.rule.id} {finding.rule.title}')}"


def _escape(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _escape_property(text: str) -> str:
    return _escape(text).replace(":", "%3A").replace(",", "%2C")
