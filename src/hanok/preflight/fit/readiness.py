"""Do probes outlast the load: an engine answers nothing until its weights are in memory and its graphs are captured.

Two times are reckoned. The *least* is what the quickest disk and network could do: a probe that gives up before is
certain to kill every start. The *usual* is what one should plan for. Pulling the image is in neither: probes begin
when the container has started.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from hanok.gpu import GIB
from hanok.gpu.loading import IMAGE_S, least_start_s, usual_start_s
from hanok.preflight.case import Case
from hanok.preflight.engines import Engine
from hanok.preflight.findings import Finding, Rule
from hanok.preflight.fit.needs import EngineFit
from hanok.preflight.fit.storage import Store, store_of
from hanok.preflight.manifests import Body, mapping_at, whole_at

KILLED = Rule(
    "HK435", "error", "a probe that kills the engine while it loads", "give it a startupProbe that waits long enough"
)
WAITS = Rule(
    "HK436", "warning", "a fixed delay in place of a startup probe", "use a startupProbe: it ends when the engine is up"
)
NO_PROBE = Rule("HK437", "warning", "an engine without a readiness probe", "probe /health on the engine's port")
DEADLINE = Rule(
    "HK438", "warning", "a rollout that is given up while the engine loads", "raise progressDeadlineSeconds"
)

LONG_DELAY_S = 60
DEADLINE_S = 600
"""Kubernetes' default of progressDeadlineSeconds."""


@dataclass(frozen=True, kw_only=True)
class Times:
    """Seconds from the container's start to its first answer, and where weights come from."""

    least: float
    usual: float
    store: Store


def times(found: EngineFit, case: Case) -> Times:
    store = store_of(found, case)
    size = found.weights_bytes
    return Times(
        least=least_start_s(size, store.fastest), usual=usual_start_s(size, store.usual), store=store
    )  # fmt: skip


def check_probes(case: Case) -> Iterator[Finding]:
    for found in case.fits:
        if not found.engine.workload.finite:
            yield from _startup_or_liveness(found, times(found, case))


def _startup_or_liveness(found: EngineFit, takes: Times) -> Iterator[Finding]:
    body = found.engine.container.body
    name = next((each for each in ("startupProbe", "livenessProbe") if mapping_at(body, each)), None)
    if name is None or mapping_at(body, name, "exec"):
        return
    patience = _patience(mapping_at(body, name))
    if patience >= takes.usual or (patience >= takes.least and not found.anatomy):
        return
    sure = patience < takes.least
    path = (*found.engine.container.path, name)
    yield KILLED.on(
        found.engine.workload.manifest, *path, message=_killed(found, takes, name, patience),
        hint=_longer(name, takes), severity="error" if sure else "warning",
    )  # fmt: skip


def _killed(found: EngineFit, takes: Times, name: str, patience: float) -> str:
    size = found.weights_bytes / GIB
    load = f"{size:.0f} GiB of weights from {takes.store.title}" if size else "even a small model"
    needs = (
        f"takes {takes.least:.0f} s at the very least"
        if patience < takes.least
        else f"usually takes about {takes.usual:.0f} s (at the very least {takes.least:.0f} s)"
    )
    return f"{name} gives up after {patience:.0f} s, but loading {load} {needs}: it would be killed and start over"


def _longer(name: str, takes: Times) -> str:
    tries = round(takes.usual * 1.5 / 10)
    also = "; leave livenessProbe to what comes after" if name == "livenessProbe" else ""
    return f"startupProbe with periodSeconds 10 and failureThreshold {tries}{also}"


def _patience(probe: Body) -> float:
    """Seconds after the start at which the container is killed, if it does not answer."""
    given: Mapping[str, int] = {
        key: default if (value := whole_at(probe, key)) is None else value
        for key, default in (("initialDelaySeconds", 0), ("periodSeconds", 10), ("failureThreshold", 3))
    }
    return given["initialDelaySeconds"] + given["periodSeconds"] * given["failureThreshold"]


def check_delays(case: Case) -> Iterator[Finding]:
    for engine in case.engines:
        body = engine.container.body
        for name in ("readinessProbe", "livenessProbe"):
            delay = whole_at(body, name, "initialDelaySeconds") or 0
            if delay >= LONG_DELAY_S and not mapping_at(body, "startupProbe"):
                message = f"{name} waits {delay} s in any case: an engine that is up sooner idles, a slower one fails"
                path = (*engine.container.path, name, "initialDelaySeconds")
                yield WAITS.on(engine.workload.manifest, *path, message=message)
                break


def check_readiness(case: Case) -> Iterator[Finding]:
    for engine in case.engines:
        if not mapping_at(engine.container.body, "readinessProbe") and _is_called(engine):
            message = "without a readinessProbe it is sent calls while it still loads"
            yield NO_PROBE.on(engine.workload.manifest, *engine.container.path, message=message)


def _is_called(engine: Engine) -> bool:
    return not engine.workload.finite and "headless" not in engine.given and engine.workload.part != "worker"


def check_deadline(case: Case) -> Iterator[Finding]:
    for found in case.fits:
        manifest = found.engine.workload.manifest
        if manifest.kind != "Deployment" or not found.anatomy:
            continue
        given = whole_at(manifest.body, "spec", "progressDeadlineSeconds")
        takes = times(found, case).usual + IMAGE_S
        if (DEADLINE_S if given is None else given) < takes:
            said = f"progressDeadlineSeconds is {given}" if given is not None else f"the default is {DEADLINE_S} s"
            message = f"image and {found.weights_bytes / GIB:.0f} GiB of weights usually take {takes:.0f} s; {said}"
            path = ("spec", "progressDeadlineSeconds")
            hint = f"progressDeadlineSeconds: {round(takes * 1.5 / 300) * 300}"
            yield DEADLINE.on(manifest, *path, message=message, hint=hint)


CHECKS = (check_probes, check_delays, check_readiness, check_deadline)
