"""A component: one thing that a cluster is made of, whether it is wanted, and what is rendered of it.

Who adds one writes `components/NAME.py` with a `COMPONENT`, a page `docs/components/NAME.md`, and a line in
`versions.yaml` where it has a version. It yields `Placed` objects and `Chart`s; formats turn both into files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from hanok.errors import Problem
from hanok.kubernetes.notes import Told
from hanok.kubernetes.objects import Body

if TYPE_CHECKING:
    from hanok.kubernetes.plan import ClusterPlan

Stage = Literal["namespaces", "provisioners", "nodes", "controllers", "configs", "apps"]
"""In this order. `provisioners`: what makes machines; `nodes`: machines and disks, without which nothing further
finds a place; `controllers`: what must run before its custom resources are understood; `configs`: what the whole
cluster shares; `apps`: what stands in one namespace and does the work."""


@dataclass(frozen=True, kw_only=True)
class Placed:
    """One object, and where it belongs. `folder` is the component's name; in `apps` the namespace's.

    Or in `apps` another, where nobody should wait for it (`INGESTION`).
    """

    stage: Stage
    folder: str
    body: Body


@dataclass(frozen=True, kw_only=True)
class Chart:
    """One Helm release. `chart` is its name in the lock, which knows the version and where it is.

    `needs` are releases that must be there before, as far as they are rendered; `values` are Helm's.
    """

    chart: str
    release: str
    namespace: str
    values: Body = field(default_factory=dict[str, Any])
    needs: tuple[str, ...] = ()
    stage: Stage = "controllers"
    folder: str = ""
    """By default the chart's name; in `apps` the namespace's."""
    wait: bool = True
    """Whether those after it wait until its pods run. Not where they want a Secret that a later stage makes."""


@dataclass(frozen=True, kw_only=True)
class File:
    """A file that is no object, as a recipe for an image: its path in the tree."""

    path: str
    text: str


Piece = Placed | Chart | File
Adapter = Callable[["ClusterPlan"], Iterator[Piece]]


def _nothing(_: ClusterPlan) -> Iterator[Any]:
    return iter(())


@dataclass(frozen=True, kw_only=True, eq=False)
class Component:
    """`adapters` are by the API version that the lock names for it (`""` where it has none)."""

    name: str
    wanted: Callable[[ClusterPlan], bool]
    adapters: Mapping[str, Adapter]
    refuse: Callable[[ClusterPlan], Iterator[Problem]] = _nothing
    """What of the platform it cannot render for the target, each with its line and what would do."""
    notes: Callable[[ClusterPlan], Iterator[Told]] = _nothing
    """What who applies the tree must do, or know."""
