"""A report as SARIF 2.1.0 (OASIS standard, 2020), which code scanning on GitHub, GitLab and Azure reads.

Fingerprints name the rule, the object and the path in it, not the line: a finding stays the same when lines move.
Paths are relative to the root of the sources, so the same tree gives the same bytes wherever it lies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from hanok.preflight.findings import Finding, Rule
from hanok.preflight.verdict import Report

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
ROOT = "%SRCROOT%"
_LEVELS = {"error": "error", "warning": "warning", "info": "note"}


def sarif(report: Report, *, rules: Mapping[str, Rule], page: Callable[[str], str], version: str) -> dict[str, Any]:
    """The report as a SARIF log. `page` gives a rule's page by its id; `version` is Hanok's."""
    driver = {
        "name": "Hanok preflight",
        "version": version,
        "rules": [_rule(each, page(each.id)) for each in rules.values()],
    }
    findings = [*report.findings, *report.ignored]
    places = {rule: place for place, rule in enumerate(rules)}
    run = {
        "tool": {"driver": driver},
        "invocations": [{"executionSuccessful": True}],
        "originalUriBaseIds": {ROOT: {"description": {"text": "The folder in which preflight was run."}}},
        "columnKind": "unicodeCodePoints",
        "properties": {"verdict": report.verdict},
        "results": list(_results(findings, places)),
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(rule: Rule, page: str) -> dict[str, Any]:
    return {
        "id": rule.id,
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": f"{rule.title}: {rule.hint}"},
        "help": {"text": page, "markdown": page},
        "defaultConfiguration": {"level": _LEVELS[rule.severity]},
        "properties": {"tags": ["kubernetes", *(["open"] if rule.open else [])]},
    }


def _results(findings: Sequence[Finding], places: Mapping[str, int]) -> Iterator[dict[str, Any]]:
    seen: dict[str, int] = {}
    for each in findings:
        what = "\0".join((each.rule.id, _uri(each.file)[0], each.object, each.path))
        seen[what] = seen.get(what, 0) + 1
        yield _result(each, places, sha256(f"{what}\0{seen[what]}".encode()).hexdigest())


def _result(finding: Finding, places: Mapping[str, int], fingerprint: str) -> dict[str, Any]:
    subject = f"{finding.object}: " if finding.object else ""
    result: dict[str, Any] = {
        "ruleId": finding.rule.id,
        "ruleIndex": places[finding.rule.id],
        "level": _LEVELS[finding.severity],
        "message": {"text": f"{subject}{finding.message}\n→ {finding.hint}"},
        "locations": [_location(finding)] if finding.file else [],
        "partialFingerprints": {"hanok/v1": fingerprint},
        "properties": {"layer": finding.layer},
    }
    if finding.ignored is not None:
        result["suppressions"] = [{"kind": "inSource", "justification": finding.ignored}]
    return result


def _location(finding: Finding) -> dict[str, Any]:
    uri, inside = _uri(finding.file)
    artifact = {"uri": uri, "uriBaseId": ROOT} if inside else {"uri": uri}
    location: dict[str, Any] = {
        "physicalLocation": {"artifactLocation": artifact, "region": {"startLine": max(1, finding.line)}}
    }
    if finding.object:
        name = f"{finding.object} {finding.path}".rstrip()
        location["logicalLocations"] = [{"name": finding.object, "fullyQualifiedName": name, "kind": "resource"}]
    return location


def _uri(file: str) -> tuple[str, bool]:
    """A file's URI, and whether it is relative to the root."""
    path = quote(PurePath(file).as_posix())
    return (f"file://{path}", False) if path.startswith("/") else (path, True)
