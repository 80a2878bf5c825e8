"""The verdict: every check asked, what is ignored marked, and what that proves.

`refuted` when a finding that counts is an error; `unknown` when none is, but something could not be looked at; else
`proved`. Each layer is a claim of its own, so that one can see what was proved. What counts is the user's to say, in
`Terms`, which the report keeps: a proof on easier terms must say so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from hanok.preflight.case import Case, Check
from hanok.preflight.findings import Finding, Rule, order
from hanok.preflight.ignores import apply

BROKEN = Rule("HK008", "warning", "a check broke off", "please report it with the manifest", open=True)
NOTHING = Rule(
    "HK009",
    "warning",
    "nothing to prove",
    "name manifests: objects with `apiVersion` and `kind`, or what `helm template` or `kubectl kustomize` prints",
    open=True,
)

FILES = "files"
"""The layer of what is wrong with the files themselves."""
Verdict = Literal["proved", "refuted", "unknown"]


@dataclass(frozen=True, kw_only=True)
class Terms:
    """Which findings count, and how much. `select` and `skip` are rules' ids, or how they begin: `HK2`."""

    select: Sequence[str] = ()
    """Only these; none means all."""
    skip: Sequence[str] = ()
    strict: bool = False
    """Warnings refute, too."""

    def admit(self, rule: Rule) -> bool:
        """Whether this rule's findings count."""
        chosen = not self.select or rule.id.startswith(tuple(self.select))
        return chosen and not rule.id.startswith(tuple(self.skip))

    def refuting(self, finding: Finding) -> bool:
        """Whether a finding that counts refutes the platform."""
        grave = finding.severity == "error" or (self.strict and finding.severity == "warning")
        return grave and not finding.rule.open


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What one layer claims of the platform, and whether it holds."""

    layer: str
    verdict: Verdict
    errors: int
    warnings: int
    open: int


@dataclass(frozen=True, kw_only=True)
class Report:
    """Everything that preflight has to say. `findings` count; `ignored` were accepted by the files' authors."""

    case: Case
    verdict: Verdict
    claims: Sequence[Claim]
    findings: Sequence[Finding]
    ignored: Sequence[Finding]
    terms: Terms = Terms()

    @property
    def refuting(self) -> list[Finding]:
        """The counter-examples: the findings that refute the platform, the most telling first."""
        found = [each for each in self.findings if self.terms.refuting(each)]
        return sorted(found, key=lambda each: (_rank(each.rule), each.rule.id))

    @property
    def missing(self) -> list[Finding]:
        """What the proof needs and does not have."""
        return [each for each in self.findings if each.rule.open]


_TELLING = ("HK301", "HK42", "HK3", "HK4", "HK2", "HK1")
"""How rules begin, the most telling first: a pod that no node takes says more than a field that is written wrongly."""


def _rank(rule: Rule) -> int:
    return next((place for place, start in enumerate(_TELLING) if rule.id.startswith(start)), len(_TELLING))


def judge(
    case: Case,
    layers: Mapping[str, Iterable[Check]],
    *,
    terms: Terms = Terms(),
    tell: Callable[[str], None] = lambda _: None,
) -> Report:
    """Ask every check of every layer, and give the verdict. `tell` hears which layer is asked."""
    found = [replace(each, layer=FILES) for each in (*case.cluster.findings, *_empty(case))]
    for layer, checks in layers.items():
        tell(layer)
        found += [replace(finding, layer=layer) for check in checks for finding in _ask(check, case)]
    marked = (each if each.layer else replace(each, layer=FILES) for each in apply(found, case.cluster))
    everything = sorted((each for each in marked if terms.admit(each.rule)), key=order)
    counting = [each for each in everything if each.ignored is None]
    return Report(
        case=case,
        verdict=weigh(counting, terms),
        claims=[_claim(layer, [each for each in counting if each.layer == layer], terms) for layer in (FILES, *layers)],
        findings=counting,
        ignored=[each for each in everything if each.ignored is not None],
        terms=terms,
    )


def _empty(case: Case) -> Iterator[Finding]:
    """Of nothing everything could be proved."""
    if not (case.cluster.manifests or case.cluster.fragments or case.platforms):
        yield NOTHING.at("", 0, "no Kubernetes object is among what was read")


def weigh(findings: Iterable[Finding], terms: Terms) -> Verdict:
    """What findings that count leave of a claim."""
    counting = list(findings)
    if any(terms.refuting(each) for each in counting):
        return "refuted"
    return "unknown" if any(each.rule.open for each in counting) else "proved"


def _claim(layer: str, findings: Sequence[Finding], terms: Terms) -> Claim:
    told = [each for each in findings if not each.rule.open]
    return Claim(
        layer=layer,
        verdict=weigh(findings, terms),
        errors=sum(each.severity == "error" for each in told),
        warnings=sum(each.severity == "warning" for each in told),
        open=len(findings) - len(told),
    )


def _ask(check: Check, case: Case) -> Iterator[Finding]:
    """A check's findings. One that breaks off says so, and leaves the verdict open: better than no report at all."""
    try:
        yield from check(case)
    except Exception as error:  # noqa: BLE001 - manifests may be of any shape, and one slip must not hide all findings
        yield BROKEN.at("", 0, f"{check.__module__}.{check.__name__} broke off: {type(error).__name__}: {error}")
