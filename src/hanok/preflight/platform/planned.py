"""The models of platform files that GPUs must serve, each with its plan, or with why there is none.

The planner's figures are the same as `hanok plan`'s; nothing is reckoned here but the price of a million tokens as it
is declared.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hanok.errors import PlanError
from hanok.gpu import Anatomy, Catalog, Option, Plan, Shape, plan
from hanok.gpu.wishes import wishes_of
from hanok.preflight.declared import Declared
from hanok.spec.tree import Deploy, Model, Price

_PATH = re.compile(r"^[./~]|^[^/]*$|/.*/")


@dataclass(frozen=True, kw_only=True, eq=False)
class Planned:
    """One model, and its plan; or why it cannot be planned. `index` is its place among the file's models."""

    declared: Declared
    index: int
    model: Model
    deploy: Deploy
    plan: Plan | None = None
    refusal: PlanError | None = None
    known: bool = True
    """Whether the model is known; where it is, what is wrong is what is wanted of it."""

    @property
    def best(self) -> Option | None:
        """The cheapest option; a slice of a GPU only where no whole machine will do, as the rest of it stands idle."""
        return next(iter([*self.plan.options, *self.plan.slices]), None) if self.plan else None

    @property
    def replicas(self) -> tuple[int, int]:
        """At the fewest and at the most: as `scale` says, else as many as the declared load needs."""
        if scale := self.model.scale:
            return scale.min, scale.max
        count = self.best.replicas if self.best else 0
        return count, count

    @property
    def machines(self) -> tuple[int, int]:
        """Machines (or slices) at the fewest and at the most replicas."""
        best = self.best
        least, most = self.replicas
        return (best.machines_for(least), best.machines_for(most)) if best else (0, 0)

    @property
    def weights(self) -> str:
        """The model as engines name it."""
        return self.deploy.weights or self.model.name


def planned(platforms: Sequence[Declared], catalog: Catalog, anatomy: Callable[[str], Anatomy]) -> list[Planned]:
    """Every model of these files that has `deploy`, or runs on vLLM."""
    return [each for declared in platforms for each in _in_file(declared, catalog, anatomy)]


def _in_file(declared: Declared, catalog: Catalog, anatomy: Callable[[str], Anatomy]) -> Iterator[Planned]:
    if declared.loaded is None:
        return
    for index, model in enumerate(declared.loaded.platform.models):
        try:
            wishes = list(wishes_of(model))
        except PlanError as error:
            deploy = model.deploy or Deploy()
            yield Planned(declared=declared, index=index, model=model, deploy=deploy, refusal=error)
            continue
        for deploy in wishes:
            yield _plan(declared, index, model, deploy, catalog, anatomy)


def _plan(
    declared: Declared, index: int, model: Model, deploy: Deploy, catalog: Catalog, anatomy: Callable[[str], Anatomy]
) -> Planned:
    assert declared.loaded is not None
    known, made = None, None
    try:
        known = _known(deploy.weights or model.name, declared.loaded.folder, anatomy)
        made = plan(known, deploy, catalog)
    except PlanError as error:
        found = Planned(declared=declared, index=index, model=model, deploy=deploy, refusal=error)
        return replace(found, known=known is not None)
    return Planned(declared=declared, index=index, model=model, deploy=deploy, plan=made)


def _known(name: str, folder: Path, anatomy: Callable[[str], Anatomy]) -> Anatomy:
    """The model of that name, or the one in a folder beside the platform file. Raises `PlanError`."""
    try:
        return anatomy(name)
    except PlanError:
        if not _PATH.search(name):
            raise
        try:
            return anatomy(str(folder / name))
        except PlanError:
            pass
        raise


def declared_million(price: Price, shape: Shape) -> float:
    """USD that a million tokens of usual calls are charged at."""
    return (price.input * shape.prompt + price.output * shape.output) / shape.total
