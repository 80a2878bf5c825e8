"""Argo CD: charts and folders as Applications, which one Application makes in waves.

Argo waits for no Application to be well before it makes the next wave (who has it wait is stuck: some charts want
Secrets of later waves). So what comes too early fails, and is tried again until what it needs is there.
Argo renders charts anew at each sync, so that a chart which makes up passwords makes up others each time: components
give every secret by name. https://argo-cd.readthedocs.io/en/stable/user-guide/sync-waves/
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from hanok.kubernetes.component import Body, Chart, File, Piece, Placed
from hanok.kubernetes.formats.paths import FOLDERS, file_of, folder_of, folders_of
from hanok.kubernetes.lock import Pin
from hanok.kubernetes.objects import label, thing
from hanok.kubernetes.plan import ClusterPlan
from hanok.kubernetes.writing import HEADER

ARGO, PROJECT = "argocd", "default"
HERE = "https://kubernetes.default.svc"
WAVE = "argocd.argoproj.io/sync-wave"
COMPARED: Body = {"argocd.argoproj.io/compare-options": "ServerSideDiff=true"}
"""By the server, which knows its defaults: compared by Argo itself, a StatefulSet with disks that is applied on the
server differs for ever, and is applied anew without end. https://github.com/argoproj/argo-cd/issues/11143"""
RETRIES: Body = {"limit": -1, "backoff": {"duration": "30s", "factor": 2, "maxDuration": "10m"}}
"""Without end: after its last try Argo leaves a commit alone until the next one."""
ROOT = "applications"
"""The Application of all others."""


def lay_out(plan: ClusterPlan, pieces: Sequence[Piece]) -> Iterator[tuple[str, Body | str]]:
    """Objects in `infrastructure` and `apps`; in `clusters/ENVIRONMENT` an Application for each chart and folder, and
    beside it, as `clusters/ENVIRONMENT.yaml`, the one that makes these."""
    objects = [(f"{folder_of(each)}/{file_of(each.body)}", each.body) for each in pieces if isinstance(each, Placed)]
    yield from objects
    yield from ((each.path, HEADER + each.text) for each in pieces if isinstance(each, File))
    root = f"clusters/{plan.cluster.environment}"
    charts = [each for each in pieces if isinstance(each, Chart)]
    for body in (*_charts(plan, charts), *_folders(plan, folders_of(path for path, _ in objects))):
        yield f"{root}/{file_of(body)}", body
    yield f"{root}.yaml", _application(ROOT, ARGO, 0, _folder(plan, root))


def _charts(plan: ClusterPlan, charts: Sequence[Chart]) -> Iterator[Body]:
    for each in charts:
        wave = _wave(FOLDERS[each.stage]) + _depth(each, charts)
        yield _application(each.release, each.namespace, wave, _source(each, plan.lock.pin(each.chart)))


def _depth(chart: Chart, charts: Sequence[Chart]) -> int:
    """How many releases stand one upon another below this one."""
    below = [each for each in charts if each.release in chart.needs]
    return max((1 + _depth(each, charts) for each in below), default=0)


def _source(chart: Chart, pin: Pin) -> Body:
    repository = pin.repository or (pin.chart or "").removeprefix("oci://").rpartition("/")[0]
    name = pin.chart if pin.repository else (pin.chart or "").rpartition("/")[2]
    helm = {"releaseName": chart.release, **({"valuesObject": chart.values} if chart.values else {})}
    return {"repoURL": repository, "chart": name, "targetRevision": pin.version, "helm": helm}


def _folders(plan: ClusterPlan, folders: Sequence[str]) -> Iterator[Body]:
    for folder in folders:
        name = label(folder.removeprefix("infrastructure/").replace("/", "-"))
        yield _application(name, "default", _wave(folder), _folder(plan, folder))


def _folder(plan: ClusterPlan, folder: str) -> Body:
    repository = plan.cluster.repository
    path = "/".join(each for each in (repository.root, folder) if each)
    return {"repoURL": repository.url, "targetRevision": repository.branch, "path": path}


def _wave(folder: str) -> int:
    """Stages are ten waves apart, so that charts of one stage can wait for one another."""
    return 10 * next(place for place, each in enumerate(FOLDERS.values()) if folder.startswith(each))


def _application(name: str, namespace: str, wave: int, source: Body) -> Body:
    spec: dict[str, Any] = {
        "project": PROJECT,
        "source": source,
        "destination": {"server": HERE, "namespace": namespace},
        "syncPolicy": {
            "automated": {"prune": True, "selfHeal": True},
            "retry": RETRIES,
            "syncOptions": ["ServerSideApply=true", "SkipDryRunOnMissingResource=true"],
        },
    }
    return thing(
        "argoproj.io/v1alpha1", "Application", name, ARGO, annotations={WAVE: str(wave), **COMPARED}, spec=spec
    )
