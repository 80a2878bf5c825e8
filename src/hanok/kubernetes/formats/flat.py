"""Flat: for people without GitOps. Folders in the order in which to apply them, and a helmfile for the charts.

https://helmfile.readthedocs.io: `helmfile apply` installs the charts, `kubectl apply -k FOLDER` all else.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from hanok.kubernetes.component import Body, Chart, File, Piece, Placed
from hanok.kubernetes.formats.paths import FOLDERS, file_of, kustomization
from hanok.kubernetes.lock import Pin
from hanok.kubernetes.objects import given, label
from hanok.kubernetes.plan import ClusterPlan
from hanok.kubernetes.writing import HEADER, as_yaml

_STAGES = list(FOLDERS)


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
        yield "helmfile.yaml", _helmfile(plan, charts)


def _folder(piece: Placed) -> str:
    return f"{_STAGES.index(piece.stage) + 1}-{piece.stage}"


def _file(piece: Placed) -> str:
    """Objects of all namespaces are in one folder."""
    space = piece.body["metadata"].get("namespace")
    return f"{space}.{file_of(piece.body)}" if space else file_of(piece.body)


def _helmfile(plan: ClusterPlan, charts: Iterable[Chart]) -> str:
    charts = list(charts)
    pins = {each.chart: plan.lock.pin(each.chart) for each in charts}
    repositories = {_named(pin.repository): pin.repository for pin in pins.values() if pin.repository}
    body = given(
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
        needs=needs or None,
        values=[chart.values] if chart.values else None,
    )


def _named(repository: str) -> str:
    return label(repository.removeprefix("https://"))
