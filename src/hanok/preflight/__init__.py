"""Preflight: prove, before a cent is spent, that manifests can work on a cluster.

`load` gathers files into a `Cluster`; a `Case` is that cluster and what is known (`Facts`); checks ask it questions,
layer by layer, and answer with findings; `judge` gives the verdict. Only `load` opens files. Who adds a rule writes a
`Rule` beside the check that finds it, lists the check in its module's `CHECKS`, and explains it in `pages/ID.md`.
"""

from collections.abc import Callable

from hanok.preflight.case import Case
from hanok.preflight.declared import Declared, PlatformText, declare
from hanok.preflight.excerpt import marked
from hanok.preflight.facts import Facts
from hanok.preflight.findings import SEVERITIES, Finding, Rule, Severity, is_grave
from hanok.preflight.load import STDIN, Gathered, gather, read_quotas
from hanok.preflight.manifests import Cluster, Manifest
from hanok.preflight.rules import LAYERS, checks, page, rules
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
    "gather",
    "is_grave",
    "judge",
    "marked",
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
    """The report on a case, every layer asked. `tell` hears which layer is asked."""
    return judge(case, {layer: checks(layer) for layer in LAYERS}, terms=terms, tell=tell)
