"""Langfuse in the cluster as a receiver of spans, and Redis as what it is: a server that somebody must name."""

from __future__ import annotations

from typing import Any, cast

from hanok.migration.manifests.keys import Keys
from hanok.migration.manifests.releases import release_of
from hanok.migration.manifests.services import Services
from hanok.migration.manifests.told import Block, Draft, Told
from hanok.preflight import Case
from hanok.preflight.charts import charts
from hanok.preflight.image import component
from hanok.preflight.manifests import mappings_at, whole_at
from hanok.preflight.workloads import Container, Workload

_PORT = 3000
_REDIS = ("redis", "valkey")


def read_receivers(case: Case, draft: Draft, told: Told, keys: Keys) -> None:
    """Langfuse and Redis, as pods or as charts."""
    services = Services(case)
    for workload in case.workloads:
        for container in workload.containers:
            if component(container) == "langfuse" and "worker" not in container.image:
                told.take(workload.manifest)
                _export(_service(services, workload, told), workload, container, draft, told, keys)
            elif container.image.rsplit("/", 1)[-1].startswith(_REDIS):
                told.take(workload.manifest)
                message = "a server of Redis: ledger.redis or cache.redis name it, where several processes share"
                told.left(workload.manifest, container.path, message)
    for chart in charts(case.cluster):
        if chart.name == "langfuse":
            told.take(chart.manifest)
            release, space = release_of(chart)
            url = f"http://{release}-web.{space}:{_PORT}"
            told.carried(chart.manifest, chart.place, "telemetry.export", url)
            _add(url, draft, keys)


def _service(services: Services, workload: Workload, told: Told) -> str:
    """Where Langfuse is asked: the Service before its pods, else one of its own name."""
    for service in services.before(workload):
        told.take(service)
        told.carried(service, (), "telemetry.export[].url", f"leads to {workload.title}")
        ports = mappings_at(service.body, "spec", "ports")
        return f"http://{service.name}.{service.namespace}:{(whole_at(ports[0], 'port') if ports else 0) or _PORT}"
    return f"http://{workload.manifest.name}.{workload.namespace}:{_PORT}"


def _export(url: str, workload: Workload, container: Container, draft: Draft, told: Told, keys: Keys) -> None:
    told.carried(workload.manifest, container.path, "telemetry.export", "one span for each call")
    told.left(workload.manifest, (*container.path, "env"), "Langfuse's own; Hanok needs a project's two keys")
    told.left(workload.manifest, (*workload.path, "spec"), "Langfuse itself stays in the cluster")
    _add(url, draft, keys)


def _add(url: str, draft: Draft, keys: Keys) -> None:
    """A receiver, or the address of the one that LiteLLM's callbacks named."""
    telemetry = cast("Block", draft.rest.setdefault("telemetry", {}))
    written: Any = telemetry.get("export", [])
    several = cast("list[Any]", written if isinstance(written, list) else [written])
    exports = [cast("dict[str, Any]", each) for each in several if isinstance(each, dict)]
    telemetry["export"] = exports
    shown = keys.variables.offer("LANGFUSE_HOST", url, instead=True)
    for each in exports:
        if each.get("to") == "langfuse":
            each["url"] = shown
            return
    variables = keys.variables
    export = {"to": "langfuse", "url": shown, "public_key": variables.refer("LANGFUSE_PUBLIC_KEY")}
    exports.append(export | {"secret_key": variables.refer("LANGFUSE_SECRET_KEY")})
