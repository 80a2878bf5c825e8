"""What preflight says: rules, and the findings that they make.

A rule is an id, a severity, a title and a hint that stay the same; a finding is one place where it holds, in words of
its own. Rules stand beside the code that looks for them; `rules.py` gathers them, and `pages/ID.md` explains each with
a bad and a good example, which tests hold to.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from hanok.preflight.manifests import Manifest, Step

Severity = Literal["error", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing to say. `line` counts from 1; 0 means the file as a whole. `object` is empty where there is none."""

    rule: Rule
    severity: Severity
    file: str
    line: int
    object: str
    message: str
    hint: str
    path: str = ""
    manifest: Manifest | None = None
    layer: str = ""
    ignored: str | None = None
    """Why it does not count, where the file says so."""


@dataclass(frozen=True)
class Rule:
    """One rule. An `open` rule says what is not known: its findings refute nothing, and leave the verdict open."""

    id: str
    severity: Severity
    title: str
    hint: str
    open: bool = False

    def on(
        self,
        manifest: Manifest,
        *path: Step,
        message: str,
        hint: str | None = None,
        severity: Severity | None = None,
    ) -> Finding:
        """A finding at a place of a manifest."""
        return Finding(
            rule=self,
            severity=severity or self.severity,
            file=manifest.file,
            line=manifest.line(*path),
            object=manifest.title if manifest.kind else "",
            message=message,
            hint=hint or self.hint,
            path=dotted(path),
            manifest=manifest,
        )

    def at(self, file: str, line: int, message: str, *, hint: str | None = None) -> Finding:
        """A finding at a line of a file."""
        return Finding(
            rule=self, severity=self.severity, file=file, line=line, object="", message=message, hint=hint or self.hint
        )


def dotted(path: tuple[Step, ...]) -> str:
    """`("spec", "containers", 0)` as `spec.containers[0]`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def is_grave(finding: Finding, least: Severity) -> bool:
    """Whether a finding is at least so grave; what leaves the verdict open always is."""
    return finding.rule.open or SEVERITIES.index(finding.severity) <= SEVERITIES.index(least)


def order(finding: Finding) -> tuple[str, int, int, str]:
    """Findings in the order of their files; at one place the gravest first."""
    return finding.file, finding.line, SEVERITIES.index(finding.severity), finding.rule.id


Say = Callable[[Finding], None]
