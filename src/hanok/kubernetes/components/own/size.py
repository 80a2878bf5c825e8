"""How many gateways there are: as many as `cluster.hanok` says, and as the agents want whose runs they lead.

Runs of all agents share these pods, so the agent that wants most decides.
"""

from __future__ import annotations

from dataclasses import dataclass

from hanok.kubernetes.components.kagent.expressing import chosen, inexpressible
from hanok.kubernetes.plan import ClusterPlan
from hanok.spec.tree import Agent

BUSY_PERCENT = 70


@dataclass(frozen=True, kw_only=True)
class Size:
    """From `fewest` to `most` gateways, so many that each is busy to `percent` of what it requests of processors."""

    fewest: int
    most: int
    percent: int

    @property
    def follows(self) -> bool:
        """Whether the number follows the load."""
        return self.most > self.fewest


def size_of(plan: ClusterPlan) -> Size:
    """What `cluster.hanok` and the agents' `scale` come to."""
    own, scales = plan.cluster.hanok, [each.scale for each in led(plan)]
    fewest = max([own.replicas, *(each.min for each in scales)])
    return Size(
        fewest=fewest,
        most=max([own.max_replicas, fewest, *(each.max for each in scales)]),
        percent=min((each.target_cpu for each in scales), default=BUSY_PERCENT),
    )


def led(plan: ClusterPlan) -> list[Agent]:
    """The agents with a `scale` of their own whose runs gateways lead; what kagent is told whole, it leads."""
    others = [each for each in chosen(plan) if not inexpressible(plan, each)] if plan.cluster.kagent.enabled else []
    return [each for each in plan.platform.agents if "scale" in each.model_fields_set and each not in others]
