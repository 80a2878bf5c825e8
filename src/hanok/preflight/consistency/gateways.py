"""Gateways: LiteLLM's configurations in the tree, their routes, and what an address in the cluster leads to.

An address counts only where a Service of the tree selects pods of the tree; what lies outside nobody can know.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property, lru_cache
from urllib.parse import urlsplit

from hanok.preflight.case import Case
from hanok.preflight.consistency.embedded import Embedded, embedded
from hanok.preflight.consistency.load import load_figures
from hanok.preflight.engines import Engine
from hanok.preflight.image import component
from hanok.preflight.manifests import Body, Manifest, Step, at, labels_at, mapping_at, mappings_at, text_at
from hanok.preflight.workloads import Container, Workload


@dataclass(frozen=True, kw_only=True, eq=False)
class Route:
    """One entry of a model list."""

    config: Embedded
    body: Body
    path: tuple[Step, ...]

    @cached_property
    def alias(self) -> str:
        return text_at(self.body, "model_name")

    @cached_property
    def params(self) -> Body:
        return mapping_at(self.body, "litellm_params")

    @cached_property
    def model(self) -> str:
        return text_at(self.params, "model")

    @cached_property
    def provider(self) -> str:
        """As it is written: before the first slash, or as a setting; empty where neither is."""
        first, slash, _ = self.model.partition("/")
        return text_at(self.params, "custom_llm_provider") or (first if slash else "")

    @cached_property
    def name(self) -> str:
        """What the provider is asked for."""
        first, slash, rest = self.model.partition("/")
        return rest if slash and first == self.provider else self.model

    @cached_property
    def base(self) -> str:
        return text_at(self.params, "api_base") or text_at(self.params, "base_url")

    @property
    def plain(self) -> bool:
        """Whether the name is passed on as it is, to whatever is at the address."""
        return self.provider in load_figures()["litellm"]["plain"].split()


@dataclass(frozen=True, kw_only=True, eq=False)
class Gateway:
    """One configuration, and the containers of the tree that are given it."""

    config: Embedded
    users: Sequence[tuple[Workload, Container]]

    @cached_property
    def routes(self) -> Sequence[Route]:
        listed = mappings_at(self.config.body, "model_list")
        return [Route(config=self.config, body=each, path=("model_list", index)) for index, each in enumerate(listed)]

    @cached_property
    def names(self) -> Sequence[str]:
        """What callers may ask for: names, patterns, other names of theirs."""
        own = [route.alias for route in self.routes if route.alias]
        others = [
            str(key) for place in ("router_settings", "litellm_settings")
            for key in mapping_at(self.config.body, place, "model_group_alias")
        ]  # fmt: skip
        return [*own, *others]

    @cached_property
    def keeps_models_elsewhere(self) -> bool:
        """Whether there may be models that the file does not name: in a database, or in included files."""
        stored = at(self.config.body, "general_settings", "store_model_in_db")
        named = any("STORE_MODEL_IN_DB" in container.env for _, container in self.users)
        return stored not in (None, False) or named or "include" in self.config.body

    def answers(self, name: str) -> bool:
        """Whether a name may be asked for."""
        return any(each == name or ("*" in each and fnmatchcase(name, each)) for each in self.names)


@lru_cache(maxsize=1)
def gateways(case: Case) -> list[Gateway]:
    """Every gateway of the tree. Kept for the case in hand, since several checks ask in a row."""
    return [
        Gateway(config=config, users=list(_users(case, config)))
        for config in embedded(case.cluster, holding="model_list")
    ]


def _users(case: Case, config: Embedded) -> Iterator[tuple[Workload, Container]]:
    for workload in case.workloads:
        if workload.namespace == config.outer.namespace and config.outer.name in _mounted(workload):
            for container in workload.containers:
                if component(container) == "litellm":
                    yield workload, container


def _mounted(workload: Workload) -> set[str]:
    """The ConfigMaps among its volumes."""
    volumes = mappings_at(workload.spec, "volumes")
    plain = {text_at(each, "configMap", "name") for each in volumes}
    projected = {
        text_at(each, "configMap", "name") for one in volumes for each in mappings_at(one, "projected", "sources")
    }
    return (plain | projected) - {""}


@dataclass(frozen=True, kw_only=True, eq=False)
class Target:
    """What an address of the cluster leads to."""

    service: Manifest
    workloads: Sequence[Workload]


def target(case: Case, address: str, namespace: str) -> Target | None:
    """The Service of the tree behind an address, and the pods that it selects; None where either is missing."""
    name, _, rest = _without_pod(_host(address)).partition(".")
    where = rest.split(".")[0] if rest else namespace
    if not name or (rest and not _in_cluster(rest)):
        return None
    service = case.cluster.find("Service", name, where)
    if service is None:
        return _behind_pool(case, name, where)
    selected = case.inventory.pods(where, labels_at(service.body, "spec", "selector"))
    return Target(service=service, workloads=selected) if selected else None


def _without_pod(host: str) -> str:
    """Pods of a headless Service have names of their own before its: `POD.SERVICE.NAMESPACE.svc`."""
    parts = host.split(".")
    return ".".join(parts[1:]) if parts[3:4] == ["svc"] else host


def _behind_pool(case: Case, name: str, namespace: str) -> Target | None:
    """The pods behind a Gateway, whose controller makes a Service of its name; None unless all its routes lead to one
    InferencePool, with no model's name rewritten on the way."""
    gateways = (each for each in case.cluster.of("Gateway") if each.namespace == namespace)
    found = next((each for each in gateways if name in _service_names(each)), None)
    pools = {pool for each in case.cluster.of("HTTPRoute") if found for pool in _pools(each, found)}
    if found is None or len(pools) != 1 or any(True for _ in case.cluster.of("InferenceModelRewrite")):
        return None
    where, chosen = next(iter(pools))
    pool = case.cluster.find("InferencePool", chosen, where)
    labels = labels_at(pool.body, "spec", "selector", "matchLabels") if pool else {}
    selected = case.inventory.pods(where, labels) if labels else []
    return Target(service=found, workloads=selected) if selected else None


def _service_names(gateway: Manifest) -> tuple[str, str]:
    """Agentgateway calls it as the Gateway is called; Istio adds the class."""
    return gateway.name, f"{gateway.name}-{text_at(gateway.body, 'spec', 'gatewayClassName')}"


def _pools(route: Manifest, gateway: Manifest) -> Iterator[tuple[str, str]]:
    """The backends of a route of this Gateway, as namespace and name; without a name what is no pool."""
    parents = mappings_at(route.body, "spec", "parentRefs")
    spaces = [
        text_at(each, "namespace") or route.namespace for each in parents if text_at(each, "name") == gateway.name
    ]
    for rule in mappings_at(route.body, "spec", "rules") if gateway.namespace in spaces else ():
        for each in mappings_at(rule, "backendRefs"):
            pool = text_at(each, "kind") == "InferencePool"
            yield text_at(each, "namespace") or route.namespace, text_at(each, "name") if pool else ""


def engines_of(case: Case, found: Target) -> list[Engine]:
    """The engines behind it; none where something else stands there, too."""
    behind = [case.engines_in.get(each, ()) for each in found.workloads]
    return [engine for each in behind for engine in each] if all(behind) else []


def gateway_of(found: Target, among: Sequence[Gateway]) -> Gateway | None:
    """The gateway that runs there."""
    return next((each for each in among if any(workload in found.workloads for workload, _ in each.users)), None)


def served(engine: Engine) -> set[str] | None:
    """The names that an engine answers to; None where they cannot be known."""
    names = {name for name in engine.served_names if name}
    loras = engine.given.get("lora-modules") or ""
    if any("$" in name for name in names) or not names or loras.startswith(("{", "[")) or "config" in engine.given:
        return None
    if engine.container.env.get("VLLM_ALLOW_RUNTIME_LORA_UPDATING", "").lower() in ("1", "true"):
        return None
    return names | {each.partition("=")[0] for each in loras.split()}


def _host(address: str) -> str:
    try:
        return urlsplit(address if "//" in address else f"//{address}").hostname or ""
    except ValueError:
        return ""


def _in_cluster(rest: str) -> bool:
    """Whether what follows a Service's name is a namespace, or one with `.svc…` behind it."""
    parts = rest.split(".")
    return len(parts) == 1 or parts[1] == "svc"
