"""The tree: pieces of all wanted components, laid out as files by a format. Plan in, files out; pure.

A path names one object, so two components that make the same object are found here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Literal

from hanok.errors import Problem, SpecError
from hanok.kubernetes import guide
from hanok.kubernetes.clashes import clash, refuse_clashes, refuse_twice
from hanok.kubernetes.component import Body, Chart, Component, Piece
from hanok.kubernetes.components import components
from hanok.kubernetes.lock import Pin
from hanok.kubernetes.notes import Note, told_once
from hanok.kubernetes.plan import ClusterPlan
from hanok.kubernetes.spaces import namespaces
from hanok.kubernetes.writing import as_file
from hanok.spec.written import NOT_SET

Format = Literal["flux", "argocd", "flat"]
FORMATS: Mapping[Format, str] = {
    "flux": "hanok.kubernetes.formats.flux:lay_out",
    "argocd": "hanok.kubernetes.formats.argocd:lay_out",
    "flat": "hanok.kubernetes.formats.flat:lay_out",
}
"""Names to `module:function`, each from a plan and pieces to files by their path."""
Layout = Callable[[ClusterPlan, Sequence[Piece]], Iterator[tuple[str, Body | str]]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Rendered:
    """`files` are texts by path, in their order; `components` are those that are in it, `pins` their versions."""

    files: Mapping[str, str]
    components: Sequence[str]
    notes: Sequence[Note]
    pins: Mapping[str, Pin]


def render(plan: ClusterPlan, form: Format = "flux") -> Rendered:
    """The tree. Raises `SpecError` with all that the target cannot be given, by its line."""
    wanted = [each for each in components() if each.wanted(plan)]
    problems = [*refuse_clashes(plan), *(problem for each in wanted for problem in each.refuse(plan))]
    if form == "argocd" and plan.cluster.repository.url is None:
        hint = "name it, as `cluster: {repository: {url: https://…}}`: Argo CD's Applications need it"
        problems.append(plan.written.problem(("cluster",), "the tree's repository is not known", hint))
    if problems:
        raise SpecError(list(dict.fromkeys(problems)))  # two components may refuse the same
    pieces = [piece for each in wanted for piece in _adapter(each, plan)(plan)]
    pieces += namespaces(pieces)
    refuse_twice(plan, pieces)
    notes = told_once(Note(component=each.name, told=told) for each in wanted for told in each.notes(plan))
    files = _files(plan, [*_layout(form)(plan, pieces), (guide.PATH, guide.guide(plan, form, notes, pieces))])
    _refuse_unfilled(plan, files)
    return Rendered(
        files=files,
        components=[each.name for each in wanted],
        notes=notes,
        pins=_pins(plan, wanted, pieces),
    )


def _refuse_unfilled(plan: ClusterPlan, files: Mapping[str, str]) -> None:
    """A stand-in for a variable's value is no value: what the tree itself says cannot come from the secret store."""
    if not any(NOT_SET in text for text in files.values()):
        return
    hint = "give it a default, or a value in `cluster.hanok.variables`"
    fetched = [each for each in plan.variables if each.name not in plan.secret_variables]
    raise SpecError(
        [plan.written.problem(each.place, f"{each.name} has no value in the cluster", hint) for each in fetched]
    )


def _pins(plan: ClusterPlan, wanted: Sequence[Component], pieces: Iterable[Piece]) -> dict[str, Pin]:
    """What the tree depends on: of components and charts those that have a version."""
    names = {each.name for each in wanted} | {each.chart for each in pieces if isinstance(each, Chart)}
    return {name: plan.lock.pin(name) for name in sorted(names & plan.lock.pins.keys())}


def _adapter(component: Component, plan: ClusterPlan) -> Callable[[ClusterPlan], Iterable[Piece]]:
    """The one for the version of its API that the lock names. Raises `SpecError` where there is none."""
    pin = plan.lock.pins.get(component.name)
    api = pin.api if pin else ""
    if api in component.adapters:
        return component.adapters[api]
    known = ", ".join(component.adapters)
    message = f"nothing is known of API {api!r} of {component.name}"
    raise SpecError([Problem(file=plan.lock.source, line=0, column=0, path=f"{component.name}.api", message=message,
                             hint=f"it is known as {known}")])  # fmt: skip


def _layout(form: Format) -> Layout:
    module, _, function = FORMATS[form].partition(":")
    return getattr(import_module(module), function)


def _files(plan: ClusterPlan, laid: Iterable[tuple[str, Body | str]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for path, content in laid:
        if path in found:
            raise clash(plan, ("file", path))
        found[path] = content if isinstance(content, str) else as_file(content)
    return dict(sorted(found.items()))
