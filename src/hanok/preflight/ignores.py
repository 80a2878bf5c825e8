"""`# hanok: ignore HK123 because …`: findings that a file's author has looked at and accepts.

The comment counts for its own line; alone in a line, for the next one; before the first key of a document, for all of
it. It needs a reason. What is ignored stays in the report, with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import yaml

from hanok.preflight.findings import Finding, Rule
from hanok.preflight.manifests import Cluster, Source
from hanok.preflight.reading import pieces

NO_REASON = Rule(
    "HK007", "warning", "an ignore that does nothing", "write `# hanok: ignore HK123 reason`, or take it out"
)
_yaml: Any = yaml
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
NEVER = frozenset({"HK001", "HK003"})
"""What was not read is not known to be harmless."""
_COMMENT = re.compile(r"^(?P<before>.*?)#\s*hanok:\s*ignore\b(?P<rest>[^\n]*)$")
_IDS = re.compile(r"\s*(HK\d{3}(?:\s*,\s*HK\d{3})*)(?=\s|$)\s*(.*)")


@dataclass(frozen=True, kw_only=True)
class Ignore:
    """One comment: the rules, and the lines that it counts for."""

    file: str
    line: int
    rules: frozenset[str]
    reason: str
    first: int
    last: int

    def covers(self, finding: Finding) -> bool:
        return finding.file == self.file and finding.rule.id in self.rules and self.first <= finding.line <= self.last


def apply(findings: Sequence[Finding], cluster: Cluster) -> list[Finding]:
    """The same findings, those that are to be ignored marked; comments that do nothing are findings, too."""
    found: list[Ignore] = []
    extra: list[Finding] = []
    for source in cluster.sources:
        for each in _comments(source):
            if isinstance(each, Finding):
                extra.append(each)
            else:
                found.append(each)
    by_file: dict[str, list[Ignore]] = {}
    for each in found:
        by_file.setdefault(each.file, []).append(each)
    used: set[int] = set()
    marked = [_mark(finding, by_file, used) for finding in findings]
    idle = [each for each in found if id(each) not in used]
    return [*marked, *extra, *(NO_REASON.at(each.file, each.line, _idle(each)) for each in idle)]


def _idle(ignore: Ignore) -> str:
    rules = ", ".join(sorted(ignore.rules))
    if ignore.rules <= NEVER:
        return f"{rules} cannot be ignored: nothing is known of what was not read"
    return f"nothing of {rules} is found here"


def _mark(finding: Finding, ignores: Mapping[str, Sequence[Ignore]], used: set[int]) -> Finding:
    for each in ignores.get(finding.file, ()):
        if each.covers(finding) and finding.rule.id not in NEVER:
            used.add(id(each))
            return replace(finding, ignored=each.reason)
    return finding


def _comments(source: Source) -> Iterator[Ignore | Finding]:
    for part, before in source.parts:
        if "hanok:" in part:
            for text, offset in pieces(part):
                yield from _in_document(source.name, text.split("\n"), before + offset)


def _in_document(file: str, lines: Sequence[str], offset: int) -> Iterator[Ignore | Finding]:
    opened = _first_key(lines)
    texts = _texts("\n".join(lines))
    for index, line in enumerate(lines):
        comment = _COMMENT.match(line)
        if comment and not any(first <= (index, comment.end("before")) < last for first, last in texts):
            here = offset + index + 1
            span = (here, here)
            if index < opened:
                span = (offset + 1, offset + len(lines))
            elif not comment["before"].strip():
                span = (here, offset + _next_line(lines, index) + 1)
            yield _ignore(file, here, comment["rest"], span)


def _texts(text: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Where scalars begin and end, as (line, column): what looks like a comment in one is text."""
    found: list[tuple[tuple[int, int], tuple[int, int]]] = []
    try:
        for token in _yaml.scan(text, Loader=_Loader):
            if isinstance(token, yaml.ScalarToken) and token.style:
                first, last = token.start_mark, token.end_mark
                found.append(((first.line, first.column + 1), (last.line, last.column)))
    except (yaml.YAMLError, ValueError, OverflowError):
        pass  # what cannot be read is a finding of its own
    return found


def _ignore(file: str, line: int, rest: str, span: tuple[int, int]) -> Ignore | Finding:
    named = _IDS.fullmatch(rest)
    if named is None:
        return NO_REASON.at(file, line, "names no rule: an id, as `HK123`, comes after `ignore`")
    if not named[2].strip():
        return NO_REASON.at(file, line, f"gives no reason to ignore {named[1]}")
    rules = frozenset(re.findall(r"HK\d{3}", named[1]))
    return Ignore(file=file, line=line, rules=rules, reason=named[2].strip(), first=span[0], last=span[1])


def _first_key(lines: Sequence[str]) -> int:
    plain = (index for index, line in enumerate(lines) if line.strip() and not line.startswith(("#", "---")))
    return next(plain, len(lines))


def _next_line(lines: Sequence[str], index: int) -> int:
    """The next line that is not a comment."""
    return next((at for at in range(index + 1, len(lines)) if not lines[at].lstrip().startswith("#")), index)
