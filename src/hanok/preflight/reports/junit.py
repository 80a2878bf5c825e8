"""A report as JUnit's XML: a suite for each layer, in it a case for each object and file that was looked at.

What refutes is a failure, what is open makes its case skipped, and what is left goes to the case's output, as test
pages show it. There is no standard: this is what Jenkins, GitLab and GitHub's actions read (one failure a case).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape, quoteattr

from hanok.preflight.findings import Finding
from hanok.preflight.verdict import FILES, Claim, Report

_Key = tuple[str, str]
"""A file, and an object in it."""
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(report: Report) -> str:
    """The report as one XML document."""
    suites = [_cases(report, claim) for claim in report.claims]
    head = f'<testsuites name="hanok preflight" {_counts([case for cases in suites for case in cases])}>'
    body = "".join(_suite(claim, cases) for claim, cases in zip(report.claims, suites, strict=True))
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{head}\n{body}</testsuites>\n'


def _suite(claim: Claim, cases: Sequence[str]) -> str:
    return f'  <testsuite name={_quote(claim.layer)} {_counts(cases)} time="0">\n{"".join(cases)}  </testsuite>\n'


def _counts(cases: Sequence[str]) -> str:
    failures, skipped = (sum(kind in text for text in cases) for kind in ("<failure", "<skipped"))
    return f'tests="{len(cases)}" failures="{failures}" errors="0" skipped="{skipped}"'


def _cases(report: Report, claim: Claim) -> list[str]:
    found: dict[_Key, list[Finding]] = {key: [] for key in _looked_at(report, claim.layer)}
    for each in report.findings:
        if each.layer == claim.layer:
            found.setdefault((each.file, each.object), []).append(each)
    return [_case(report, claim.layer, key, findings) for key, findings in found.items()]


def _looked_at(report: Report, layer: str) -> Iterator[_Key]:
    cluster = report.case.cluster
    if layer == FILES:
        yield from ((source.name, "") for source in cluster.sources)
    else:
        yield from ((manifest.file, manifest.title) for manifest in cluster.manifests)


def _case(report: Report, layer: str, key: _Key, findings: Sequence[Finding]) -> str:
    file, thing = key
    attributes = f"name={_quote(thing or file or 'everything together')} classname={_quote(f'hanok.{layer}')}"
    attributes += f' file={_quote(file)} time="0"' if file else ' time="0"'
    return f"    <testcase {attributes}>{''.join(_outcome(report, findings))}</testcase>\n"


def _outcome(report: Report, findings: Sequence[Finding]) -> Iterator[str]:
    refuting = [each for each in findings if report.terms.refuting(each)]
    missing = [each for each in findings if each.rule.open]
    told = [each for each in findings if not (report.terms.refuting(each) if refuting else each.rule.open)]
    if refuting:
        worst = refuting[0]
        yield f'<failure type="{worst.rule.id}" message={_quote(worst.message)}>{_lines(refuting)}</failure>'
    elif missing:
        yield f"<skipped message={_quote('; '.join(each.message for each in missing))}/>"
    if told:
        yield f"<system-out>{_lines(told)}</system-out>"


def _lines(findings: Sequence[Finding]) -> str:
    return "".join(
        f"{_text(f'{each.file}:{each.line} {each.severity} {each.rule.id} {each.message}')}\n  {_text(each.hint)}\n"
        for each in findings
    )


def _text(text: str) -> str:
    return escape(_NOT_XML.sub("�", text))


def _quote(text: str) -> str:
    return quoteattr(_NOT_XML.sub("�", text))
