"""The verdict: every check asked, what is ignored marked, and what that proves.

`refuted` when a finding that counts is an error; `unknown` when none is, but something could not be looked at; else
`proved`. Each layer is a claim of its own, so that one can see what was proved.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from hanok.preflight.case import Case, Check
from hanok.preflight.findings import Finding, Rule, order
from hanok.preflight.ignores import apply

BROKEN = Rule("HK008", "warning", "a check broke off", "please report it with the manifest", open=True)

FILES = "files"
"""The layer of what is wrong with the files themselves."""
Verdict = Literal["proved", "refuted", "unknown"]


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What one layer claims of the platform, and whether it holds."""

    layer: str
    verdict: Verdict
    errors: int
    open: int


@dataclass(frozen=True, kw_only=True)
class Report:
    """Everything that preflight has to say. `findings` count; `ignored` were accepted by the files' authors."""

    case: Case
    verdict: Verdict
    claims: Sequence[Claim]
    findings: Sequence[Finding]
    ignored: Sequence[Finding]


def judge(case: Case, layers: Mapping[str, Iterable[Check]]) -> Report:
    """Ask every check of every layer, and give the verdict."""
    found = [replace(each, layer=FILES) for each in case.cluster.findings]
    for layer, checks in layers.items():
        found += [replace(finding, layer=layer) for check in checks for finding in _ask(check, case)]
    everything = sorted(apply(found, case.cluster), key=order)
    counting = [each for each in everything if each.ignored is None]
    return Report(
        case=case,
        verdict=weigh(counting),
        claims=[_claim(layer, [each for each in counting if each.layer == layer]) for layer in (FILES, *layers)],
        findings=counting,
        ignored=[each for each in everything if each.ignored is not None],
    )


def weigh(findings: Iterable[Finding]) -> Verdict:
    """What findings that count leave of a claim."""
    counting = list(findings)
    if any(_is_error(each) for each in counting):
        return "refuted"
    return "unknown" if any(each.rule.open for each in counting) else "proved"


def _is_error(finding: Finding) -> bool:
    return finding.severity == "error" and not finding.rule.open


def _claim(layer: str, findings: Sequence[Finding]) -> Claim:
    errors = sum(_is_error(each) for each in findings)
    return Claim(layer=layer, verdict=weigh(findings), errors=errors, open=sum(each.rule.open for each in findings))


def _ask(check: Check, case: Case) -> Iterator[Finding]:
    """A check's findings. One that breaks off says so, and leaves the verdict open: better than no report at all."""
    try:
        yield from check(case)
    except Exception as error:  # noqa: BLE001 - manifests may be of any shape, and one slip must not hide all findings
        yield BROKEN.at("", 0, f"{check.__module__}.{check.__name__} broke off: {type(error).__name__}: {error}")
