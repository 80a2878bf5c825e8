"""Two declared things that would become one object of the cluster are refused, by the line of the later one. Pure.

Kubernetes' names are lower-case letters, digits and hyphens, so `Team.X` and `team-x` are the same there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from hanok.errors import Problem, SpecError
from hanok.kubernetes.component import Body, Chart, File, Piece
from hanok.kubernetes.objects import label
from hanok.spec.nodes import Place

if TYPE_CHECKING:
    from hanok.kubernetes.plan import ClusterPlan

KINDS = ("models", "knowledge", "agents", "teams")
HINT = "names in a cluster are lower-case letters, digits and -; call one of them otherwise"


def refuse_clashes(plan: ClusterPlan) -> Iterator[Problem]:
    """Things of one kind with names that a cluster cannot tell apart."""
    yield from _engines(plan)
    for kind in KINDS[1:]:
        seen: dict[str, str] = {}
        for place, name in _declared(plan, kind):
            other = seen.setdefault(label(name), name)
            if other != name:
                yield plan.written.problem(place, f"{name!r} and {other!r} are the same name in a cluster", HINT)


def refuse_twice(plan: ClusterPlan, pieces: Iterable[Piece]) -> None:
    """Raises `SpecError` where two pieces are one object, whatever made them."""
    seen: set[tuple[str, ...]] = set()
    for piece in pieces:
        key = _key(piece)
        if key in seen:
            raise clash(plan, key)
        seen.add(key)


def clash(plan: ClusterPlan, key: Sequence[str]) -> SpecError:
    """What is said of an object that is there twice: by the line of what is declared that its name comes from."""
    what = " ".join(each for each in key if each)
    return SpecError([plan.written.problem(_blamed(plan, key[-1]), f"the tree would hold {what} twice", HINT)])


def _engines(plan: ClusterPlan) -> Iterator[Problem]:
    """An engine's name has its model's in it, and its role."""
    seen: dict[str, str] = {}
    for engine in plan.engines:
        if engine.name in seen:
            message = f"{engine.model.name!r} and {seen[engine.name]!r} would both be served by {engine.name!r}"
            yield plan.written.problem(("models", engine.index, "name"), message, HINT)
        seen[engine.name] = engine.model.name


def _declared(plan: ClusterPlan, kind: str) -> Iterator[tuple[Place, str]]:
    for index, each in enumerate(getattr(plan.platform, kind)):
        yield (kind, index, "name"), each.name


def _blamed(plan: ClusterPlan, name: str) -> Place:
    """The last declared thing whose name is in the object's; without any, the whole file."""
    named = [each for kind in KINDS for each in _declared(plan, kind)]
    return next((place for place, each in reversed(named) if label(each, 50) in name), ())


def _key(piece: Piece) -> tuple[str, ...]:
    if isinstance(piece, File):
        return ("file", piece.path)
    if isinstance(piece, Chart):
        return ("release", piece.namespace, piece.release)
    body: Body = piece.body
    metadata = body["metadata"]
    group = str(body["apiVersion"]).rpartition("/")[0]
    return (group, str(body["kind"]), str(metadata.get("namespace", "")), str(metadata["name"]))
