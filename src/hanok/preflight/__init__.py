"""Preflight: prove, before a cent is spent, that manifests can work on a cluster.

`load` gathers files into a `Cluster`; a `Case` is that cluster and what is known (`Facts`); checks ask it questions,
layer by layer, and answer with findings; `judge` gives the verdict. Only files called `load…` open files. Who adds a
rule writes a `Rule` beside the check that finds it, lists the check in its module's `CHECKS`, and explains it in
`pages/ID.md`.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

from hanok.preflight.case import Case
from hanok.preflight.declared import Declared, PlatformText, declare, oldest
from hanok.preflight.excerpt import marked
from hanok.preflight.facts import Facts
from hanok.preflight.findings import SEVERITIES, Finding, Rule, Severity, is_grave
from hanok.preflight.load import STDIN, Gathered, digests, gather, read_quotas
from hanok.preflight.load_pages import page
from hanok.preflight.manifests import Cluster, Manifest
from hanok.preflight.rules import COST_LAYER, LAYERS, PLATFORM_LAYER, checks, layer_of, rules
from hanok.preflight.verdict import FILES, Claim, Report, Terms, Verdict, judge

__all__ = [
    "FILES",
    "LAYERS",
    "SEVERITIES",
    "STDIN",
    "Case",
    "Claim",
    "Cluster",
    "Declared",
    "Facts",
    "Finding",
    "Gathered",
    "Manifest",
    "PlatformText",
    "Report",
    "Rule",
    "Severity",
    "Terms",
    "Verdict",
    "checks",
    "declare",
    "digests",
    "gather",
    "is_grave",
    "judge",
    "layer_of",
    "marked",
    "oldest",
    "page",
    "preflight",
    "read_quotas",
    "rules",
]


def preflight(
    case: Case,
    *,
    terms: Terms = Terms(),  # noqa: B008 - a frozen value
    tell: Callable[[str], None] = lambda _: None,
) -> Report:
    """The report on a case, every layer asked. `tell` hears which layer is asked.

    A layer of which no rule counts, or that had nothing to look at, claims nothing.
    """
    report = judge(case, {layer: checks(layer) for layer in LAYERS}, terms=terms, tell=tell)
    counting = {layer_of(rule) for rule in rules().values() if terms.admit(rule)} & {FILES, *_layers_for(case)}
    return replace(report, claims=[each for each in report.claims if each.layer in counting])


def _layers_for(case: Case) -> Iterator[str]:
    """The layers that have something to look at."""
    if case.cluster.manifests or case.cluster.fragments:
        yield from (layer for layer in LAYERS if layer != PLATFORM_LAYER)
    if case.platforms:
        yield from (COST_LAYER, PLATFORM_LAYER)
