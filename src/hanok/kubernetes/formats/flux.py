"""Flux: charts as HelmReleases, folders as Kustomizations that wait for one another."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from hanok.kubernetes.component import Body, Chart, File, Piece
from hanok.kubernetes.formats.paths import FOLDERS, file_of, folder_of, kustomization
from hanok.kubernetes.lock import Pin
from hanok.kubernetes.objects import given, label, thing
from hanok.kubernetes.places import FLUX, INGESTION
from hanok.kubernetes.plan import ClusterPlan
from hanok.kubernetes.writing import HEADER

SOURCES = "infrastructure/sources"
EVERY, RETRY, TIMEOUT = "10m", "2m", "30m"
CHARTS_EVERY = "24h"
CHART_LAYER: Body = {"mediaType": "application/vnd.cncf.helm.chart.content.v1.tar+gzip", "operation": "copy"}
"""The chart as it was published: unpacked and packed anew, it may lack what Flux ignores, and has another digest."""
UNWAITED = (f"apps/{INGESTION}",)
"""Folders whose objects are not ready for hours, though nothing is wrong: https://fluxcd.io/flux/components/kustomize/"""
_STAGES = (SOURCES, *(folder for stage, folder in FOLDERS.items() if stage != "apps"))


def lay_out(plan: ClusterPlan, pieces: Sequence[Piece]) -> Iterator[tuple[str, Body | str]]:
    """Objects in `infrastructure` and `apps`, and what Flux is told of them in `clusters/ENVIRONMENT`."""
    placed = list(_placed(plan, pieces))
    yield from placed
    folders: dict[str, list[str]] = defaultdict(list)
    for path, _ in placed:
        folder, _, name = path.rpartition("/")
        if path.startswith(("infrastructure/", "apps/")):
            folders[folder].append(name)
    for folder, names in folders.items():
        yield f"{folder}/kustomization.yaml", kustomization(names)
    yield from _steps(plan, sorted(folders))


def _placed(plan: ClusterPlan, pieces: Sequence[Piece]) -> Iterator[tuple[str, Body | str]]:
    charts = [each for each in pieces if isinstance(each, Chart)]
    for body in _sources(plan, charts):
        yield f"{SOURCES}/{file_of(body)}", body
    for each in pieces:
        if isinstance(each, File):
            yield each.path, HEADER + each.text
        else:
            body = release(each, plan.lock.pin(each.chart), charts) if isinstance(each, Chart) else each.body
            yield f"{folder_of(each)}/{file_of(body)}", body


# --- Charts -----------------------------------------------------------------------------------------------------------


def _sources(plan: ClusterPlan, charts: Iterable[Chart]) -> Iterator[Body]:
    """Where charts come from, each once: a repository holds several."""
    seen: set[str] = set()
    for name in sorted({each.chart for each in charts}):
        body = source(name, plan.lock.pin(name))
        if body["metadata"]["name"] not in seen:
            seen.add(body["metadata"]["name"])
            yield body


def source(name: str, pin: Pin) -> Body:
    """An OCIRepository of one chart at its version, or a HelmRepository."""
    if pin.repository is None:
        ref = given(tag=None if pin.digest else pin.version, digest=pin.digest)
        spec = {"interval": CHARTS_EVERY, "url": pin.chart, "ref": ref, "layerSelector": CHART_LAYER}
        return thing("source.toolkit.fluxcd.io/v1", "OCIRepository", name, FLUX, spec=spec)
    spec = {"interval": CHARTS_EVERY, "url": pin.repository}
    return thing("source.toolkit.fluxcd.io/v1", "HelmRepository", _repository(pin.repository), FLUX, spec=spec)


def _repository(url: str) -> str:
    return label(url.removeprefix("https://"))


def release(chart: Chart, pin: Pin, charts: Sequence[Chart]) -> Body:
    """A HelmRelease: tried again where it fails, and its custom resources' definitions kept up.

    In a new cluster much fails at first, as one chart's hooks at another's webhook that is not up yet: an install is
    tried until it works, and nothing is taken away between. An upgrade that fails three times goes back.
    """
    unwaited: Body = {} if chart.wait else {"disableWait": True}
    spec: Body = {
        "interval": EVERY,
        "timeout": TIMEOUT,
        "releaseName": chart.release,
        **_chart(chart.chart, pin),
        "dependsOn": [_need(each) for each in charts if each.release in chart.needs] or None,
        "install": {
            "crds": "CreateReplace",
            "strategy": {"name": "RetryOnFailure", "retryInterval": RETRY},
            **unwaited,
        },
        "upgrade": {"crds": "CreateReplace", "remediation": {"retries": 3}, **unwaited},
        "values": chart.values or None,
    }
    return thing("helm.toolkit.fluxcd.io/v2", "HelmRelease", chart.release, chart.namespace, spec=given(**spec))


def _chart(name: str, pin: Pin) -> Body:
    if pin.repository is None:
        return {"chartRef": {"kind": "OCIRepository", "name": name, "namespace": FLUX}}
    place = {"kind": "HelmRepository", "name": _repository(pin.repository), "namespace": FLUX}
    return {"chart": {"spec": {"chart": pin.chart, "version": pin.version, "sourceRef": place}}}


def _need(chart: Chart) -> Body:
    return {"name": chart.release, "namespace": chart.namespace}


# --- Folders and steps ------------------------------------------------------------------------------------------------


def _steps(plan: ClusterPlan, folders: Sequence[str]) -> Iterator[tuple[str, Body]]:
    """One Flux Kustomization a step: sources, then stage by stage, then each namespace's apps."""
    before: list[str] = []
    for stage in _STAGES:
        found = [each for each in folders if each == stage or each.startswith(f"{stage}/")]
        steps = [(label(each.removeprefix("infrastructure/").replace("/", "-")), each) for each in found]
        yield from ((_path(plan, name), _step(plan, name, folder, before)) for name, folder in steps)
        before = [name for name, _ in steps] or before
    for folder in (each for each in folders if each.startswith("apps/")):
        name = label(folder.replace("/", "-"))
        yield _path(plan, name), _step(plan, name, folder, before)


def _path(plan: ClusterPlan, name: str) -> str:
    return f"clusters/{plan.cluster.environment}/{name}.yaml"


def _step(plan: ClusterPlan, name: str, folder: str, before: Sequence[str]) -> Body:
    root = plan.cluster.repository.root
    spec: Body = {
        "interval": EVERY,
        "retryInterval": RETRY,
        "timeout": TIMEOUT,
        "path": "./" + "/".join(each for each in (root, folder) if each),
        "prune": True,
        "wait": folder not in UNWAITED,
        "sourceRef": {"kind": "GitRepository", "name": FLUX},
        "dependsOn": [{"name": each} for each in before] or None,
    }
    return thing("kustomize.toolkit.fluxcd.io/v1", "Kustomization", name, FLUX, spec=given(**spec))
