"""Probes and ports: where a component really answers, against where it is looked for.

Spoken only of components that are certain, and of paths and ports that are certain for them: an engine's `--port`, and
well-known guesses of a health path that the component does not have.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hanok.preflight.case import Case
from hanok.preflight.consistency.environment import environment
from hanok.preflight.consistency.load import load_figures
from hanok.preflight.engines import flags_of
from hanok.preflight.findings import Finding, Rule
from hanok.preflight.image import component
from hanok.preflight.manifests import labels_at, mapping_at, mappings_at, text_at
from hanok.preflight.ports import as_port, number_in, target_of
from hanok.preflight.workloads import Container, Workload

NO_SUCH_PATH = Rule("HK525", "error", "a probe of a path that is not there", "probe the path in the message")
OTHER_PORT = Rule(
    "HK526", "error", "a port that nobody listens on", "write the port that the process is told to listen on"
)
CALLS_MODELS = Rule(
    "HK527",
    "warning",
    "a probe that calls every model",
    "probe /health/liveliness for liveness, and /health/readiness for readiness",
)

PROBES = ("startupProbe", "readinessProbe", "livenessProbe")


@dataclass(frozen=True, kw_only=True, eq=False)
class Server:
    """A container that is certain, and the port that it listens on."""

    workload: Workload
    container: Container
    component: str
    port: int | None
    """None where it cannot be known."""

    @property
    def alone(self) -> bool:
        """Whether nothing else in the pod could listen on another port."""
        return len(self.workload.containers) == 1

    @property
    def figures(self) -> Mapping[str, Any]:
        return load_figures()["health"][self.component]


def servers(case: Case) -> Iterator[Server]:
    """Every container of a known component."""
    engines = {id(each.container.body): each for each in case.engines}
    for workload in case.workloads:
        for container in workload.containers:
            engine = engines.get(id(container.body))
            if engine is not None:
                port = _port(engine.given.get("port"), 8000, written="port" in engine.given)
                port = None if _starts_more(container) else port
                yield Server(workload=workload, container=container, component="vllm", port=port)
            elif (name := component(container)) in load_figures()["health"]:
                port = _other(case, workload, container, name)
                yield Server(workload=workload, container=container, component=name, port=port)


def _starts_more(container: Container) -> bool:
    """Whether a shell starts something else beside the server, as Ray or a proxy."""
    words = " ".join(container.words).replace("&&", ";")
    return (
        "&" in words
        or "--config" in words
        or "--headless" in words
        or "ray start" in words
        or "ray symmetric-run" in words
    )


def _port(value: str | None, default: int, *, written: bool) -> int | None:
    if not written:
        return default
    return as_port(value)


def _other(case: Case, workload: Workload, container: Container, name: str) -> int | None:
    """The port of a component that is no engine, by its flags and variables; None where something else may set it."""
    default: int = load_figures()["health"][name]["port"]
    given = environment(case.cluster, workload, container)
    if name == "litellm":
        flags = {each.name: each.value for each in flags_of(container)}
        ported = container.words and not container.words[0].startswith("-") and "litellm" not in container.words[0]
        return (
            None if ported or "PORT" in given.variables else _port(flags.get("port"), default, written="port" in flags)
        )
    if name == "langfuse":
        value = given.value("PORT")
        return _port(value, default, written="PORT" in given.variables) if not container.words else None
    listen = given.value("DCGM_EXPORTER_LISTEN").rpartition(":")[2]
    return None if container.words else _port(listen, default, written="DCGM_EXPORTER_LISTEN" in given.variables)


def check_probes(case: Case) -> Iterator[Finding]:
    """Paths and ports of HTTP probes."""
    for server in servers(case):
        for name in PROBES:
            asked = mapping_at(server.container.body, name, "httpGet")
            if asked:
                yield from _path(server, name, text_at(asked, "path"))
                yield from _probed_port(server, name, asked.get("port"))


def _path(server: Server, probe: str, path: str) -> Iterator[Finding]:
    paths, where = server.figures["paths"].split(), (*server.container.path, probe, "httpGet", "path")
    if _is_moved(server):
        return
    if server.component == "litellm" and path == "/health":
        message = f"{probe} asks /health, which needs a key and calls every model each time"
        yield CALLS_MODELS.on(server.workload.manifest, *where, message=message)
    elif path not in paths and path in load_figures()["guesses"].split():
        message = f"{probe} asks {path}, which {server.component} does not have; it has {server.figures['probe']}"
        hint = f"write {server.figures['probe']}"
        yield NO_SUCH_PATH.on(server.workload.manifest, *where, message=message, hint=hint)


def _is_moved(server: Server) -> bool:
    """Whether everything lies below a path of its own, or a proxy of ours stands before it."""
    flags = {each.name for each in flags_of(server.container)}
    return bool(flags & {"root-path", "server-root-path"}) or bool(
        {"SERVER_ROOT_PATH", "NEXT_PUBLIC_BASE_PATH"} & set(server.container.env)
    )


def _probed_port(server: Server, probe: str, port: object) -> Iterator[Finding]:
    number = number_in(server.container, port)
    if server.port and number and number != server.port and server.alone:
        where = (*server.container.path, probe, "httpGet", "port")
        message = f"{probe} asks port {number}, and {server.component} listens on {server.port}"
        yield OTHER_PORT.on(server.workload.manifest, *where, message=message)


def check_services(case: Case) -> Iterator[Finding]:
    """Services that lead HTTP to one component, none of whose ports it listens on."""
    known: dict[Workload, list[Server]] = {}
    for server in servers(case):
        known.setdefault(server.workload, []).append(server)
    for service in case.cluster.of("Service", group=""):
        selector = labels_at(service.body, "spec", "selector")
        pods = case.inventory.pods(service.namespace, selector)
        behind = [server for pod in pods for server in known.get(pod, ())]
        ports = [each for each in mappings_at(service.body, "spec", "ports") if _speaks_http(each)]
        if (
            ports
            and all(pod in known for pod in pods)
            and all(_misses(each, port) for each in behind for port in ports)
        ):
            for server in behind[:1]:
                message = (
                    f"leads to port {number_in(server.container, target_of(ports[0]))} of {server.workload.title}, and "
                    f"{server.component} listens on {server.port}"
                )
                yield OTHER_PORT.on(service, "spec", "ports", 0, "targetPort", message=message)


def _speaks_http(port: Mapping[str, Any]) -> bool:
    name = text_at(port, "name")
    return text_at(port, "protocol") in ("", "TCP") and (not name or name.startswith(("http", "api", "openai", "web")))


def _misses(server: Server, port: Mapping[str, Any]) -> bool:
    number = number_in(server.container, target_of(port))
    return bool(server.alone and server.port and number and number != server.port)


CHECKS = (check_probes, check_services)
