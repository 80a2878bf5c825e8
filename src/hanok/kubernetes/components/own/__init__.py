"""Hanok itself in the cluster: gateways, which also lead agents' runs, ingestion, and the recipe of their image.

Which version is that of the package that renders.
"""

from __future__ import annotations

from collections.abc import Iterator

from hanok.kubernetes.component import Component, Piece, Placed
from hanok.kubernetes.components.own.config import config_maps
from hanok.kubernetes.components.own.gateway import gateway
from hanok.kubernetes.components.own.image import image
from hanok.kubernetes.components.own.ingestion import ingestion
from hanok.kubernetes.components.own.refusals import notes, refuse
from hanok.kubernetes.components.own.walls import walls
from hanok.kubernetes.places import HANOK, INGESTION
from hanok.kubernetes.plan import ClusterPlan

NAME = "hanok"


def render(plan: ClusterPlan) -> Iterator[Piece]:
    """Always there: it is what all else serves."""
    for body in (*config_maps(plan), *gateway(plan), *walls()):
        yield Placed(stage="apps", folder=HANOK, body=body)
    yield from (Placed(stage="apps", folder=INGESTION, body=body) for body in ingestion(plan))
    yield from image(plan)


COMPONENT = Component(name=NAME, wanted=lambda _: True, adapters={"": render}, refuse=refuse, notes=notes)
