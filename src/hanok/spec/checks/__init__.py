"""What refers to what: checks that no single value can answer for, a file for each subject."""

from __future__ import annotations

from hanok.spec.checks.agents import check_agents
from hanok.spec.checks.batches import check_window
from hanok.spec.checks.caches import check_caches
from hanok.spec.checks.cluster import check_cluster
from hanok.spec.checks.deploys import check_deploys
from hanok.spec.checks.findings import Finding, quoted
from hanok.spec.checks.knowledge import check_knowledge
from hanok.spec.checks.models import check_models
from hanok.spec.checks.money import check_money
from hanok.spec.checks.people import check_people
from hanok.spec.checks.records import check_records
from hanok.spec.checks.scaling import check_scaling
from hanok.spec.checks.tiers import check_tiers
from hanok.spec.checks.tools import check_tools
from hanok.spec.tree import Platform

__all__ = ["Finding", "check_references", "quoted"]
_CHECKS = (
    check_models,
    check_tiers,
    check_people,
    check_money,
    check_records,
    check_window,
    check_caches,
    check_deploys,
    check_scaling,
    check_knowledge,
    check_tools,
    check_agents,
    check_cluster,
)


def check_references(platform: Platform) -> list[Finding]:
    """Duplicate names, references to nothing, cycles of fallbacks, engines that cannot do a model's type."""
    return [finding for check in _CHECKS for finding in check(platform)]
