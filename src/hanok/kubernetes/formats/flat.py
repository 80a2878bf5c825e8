"""Flat: for people without GitOps. Folders in the order in which to apply them, and a helmfile for the charts.

https://helmfile.readthedocs.io: `helmfile --selector stage=STAGE apply` installs a stage's charts, `kubectl apply -k
FOLDER` all else of it. In most stages charts come first, for they bring definitions; charts of `apps` want Secrets.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from hanok.kubernetes.component import Body, Chart, File, Piece, Placed, Stage
from hanok.kubernetes.formats.paths import FOLDERS, file_of, kustomization
from hanok.kubernetes.lock import Pin
from hanok.kubernetes.objects import given, label
from hanok.kubernetes.plan import ClusterPlan
from hanok.kubernetes.writing import HEADER, as_yaml

HELMFILE = "helmfile.yaml"
_STAGES = list(FOLDERS)
TIMEOUT_S = 1800
"""As long as Flux gives a release: machines have to come first."""


def lay_out(plan: ClusterPlan, pieces: Sequence[Piece]) -> Iterator[tuple[str, Body | str]]:
    """`1-namespaces`, `2-provisioners`, … `6-apps`, each a kustomization; charts in `helmfile.yaml`."""
    folders: dict[str, list[str]] = defaultdict(list)
    for each in pieces:
        if isinstance(each, Placed):
            name = _file(each)
            folders[_folder(each)].append(name)
            yield f"{_folder(each)}/{name}", each.body
        elif isinstance(each, File):
            yield each.path, HEADER + each.text
    yield from ((f"{folder}/kustomization.yaml", kustomization(names)) for folder, names in folders.items())
    charts = [each for each in pieces if isinstance(each, Chart)]
    if charts:
        yield HELMFILE, _helmfile(plan, charts)


def _folder(piece: Placed) -> str:
    return folder_of_stage(piece.stage)


def folder_of_stage(stage: Stage) -> str:
    """The folder of a stage, as `3-nodes`."""
    return f"{_STAGES.index(stage) + 1}-{stage}"


def steps(pieces: Sequence[Piece], root: str) -> Iterator[str]:
    """The commands that apply the tree, in order."""
    for stage in _STAGES:
        found = list(_steps(stage, pieces, root))
        yield from reversed(found) if stage == "apps" else found


def _steps(stage: Stage, pieces: Sequence[Piece], root: str) -> Iterator[str]:
    if any(isinstance(each, Chart) and each.stage == stage for each in pieces):
        yield f"helmfile --file {root}{HELMFILE} --selector stage={stage} apply"
    if any(isinstance(each, Placed) and each.stage == stage for each in pieces):
        yield f"kubectl apply --server-side -k {root}{folder_of_stage(stage)}"


def _file(piece: Placed) -> str:
    """Objects of all namespaces are in one folder."""
    space = piece.body["metadata"].get("namespace")
    return f"{space}.{file_of(piece.body)}" if space else file_of(piece.body)


def _helmfile(plan: ClusterPlan, charts: Iterable[Chart]) -> str:
    charts = list(charts)
    pins = {each.chart: plan.lock.pin(each.chart) for each in charts}
    repositories = {_named(pin.repository): pin.repository for pin in pins.values() if pin.repository}
    body = given(
        helmDefaults={"wait": True, "timeout": TIMEOUT_S},
        repositories=[{"name": name, "url": url} for name, url in sorted(repositories.items())] or None,
        releases=[_release(each, pins[each.chart], charts) for each in charts],
    )
    return HEADER + as_yaml(body)


def _release(chart: Chart, pin: Pin, charts: Sequence[Chart]) -> Body:
    needs = [f"{each.namespace}/{each.release}" for each in charts if each.release in chart.needs]
    return given(
        name=chart.release,
        namespace=chart.namespace,
        createNamespace=False,
        chart=f"{_named(pin.repository)}/{pin.chart}" if pin.repository else pin.chart,
        version=pin.version,
        labels={"stage": chart.stage},
        wait=None if chart.wait else False,
        needs=needs or None,
        values=[chart.values] if chart.values else None,
    )


def _named(repository: str) -> str:
    return label(repository.removeprefix("https://"))
