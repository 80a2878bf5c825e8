"""Names of models: what a route, a pool or a caller asks for must be what answers there."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence

from hanok.preflight.case import Case
from hanok.preflight.consistency.environment import environment
from hanok.preflight.consistency.gateways import (
    Gateway,
    Route,
    Target,
    engines_of,
    gateway_of,
    gateways,
    served,
    target,
)
from hanok.preflight.engines import Engine
from hanok.preflight.findings import Finding, Rule
from hanok.preflight.labelled import pool_labels
from hanok.preflight.manifests import Manifest, Step, mappings_at, matches, text_at, whole_at
from hanok.preflight.wording import listed
from hanok.preflight.workloads import Workload

NOT_SERVED = Rule(
    "HK511", "error", "a model that the engine does not serve", "write the name after --served-model-name, or --model"
)
TOO_LONG = Rule(
    "HK512",
    "warning",
    "a route that promises more tokens than its engine takes",
    "write the engine's --max-model-len, or raise that",
)
NO_SUCH_ALIAS = Rule(
    "HK513", "error", "a model that the gateway does not have", "write one of the gateway's names, or add it there"
)
PAST_THE_POOL = Rule(
    "HK514",
    "warning",
    "a route past the inference pool",
    "write the address of the Gateway whose HTTPRoute leads to the pool",
)

SHOWN = 6
"""Names that a message lists."""
_MODEL_VARIABLE = re.compile(r"(?:OPENAI_|LLM_|CHAT_|LITELLM_|DEFAULT_)?MODEL(?:_NAME)?|(?:OPENAI|LLM)_CHAT_MODEL")
_ADDRESS_VARIABLE = re.compile(
    r"(?:OPENAI|LLM|LITELLM|VLLM|MODEL|GATEWAY|INFERENCE)_(?:API_)?(?:BASE|BASE_URL|URL|ENDPOINT|HOST)|OPENAI_BASE"
)


def check_routes(case: Case) -> Iterator[Finding]:
    """Routes of a gateway to engines in the cluster."""
    for gateway in gateways(case):
        for route in gateway.routes:
            found = _behind(case, route)
            engines = engines_of(case, found) if found else []
            yield from _name(route, engines)
            yield from _length(route, engines)
            if found and engines and found.service.kind == "Service":
                yield from _pool(case, route, found)


def _behind(case: Case, route: Route) -> Target | None:
    return target(case, route.base, route.config.outer.namespace) if route.plain and route.base else None


def _name(route: Route, engines: Sequence[Engine]) -> Iterator[Finding]:
    known = _served_by_any(engines)
    if known is not None and "*" not in route.name and route.name not in known:
        title = engines[0].title
        message = f"{route.alias} asks for {route.name}, and {title} answers to {listed(known, SHOWN)}"
        yield route.config.finding(NOT_SERVED, *route.path, "litellm_params", "model", message=message)


def _length(route: Route, engines: Sequence[Engine]) -> Iterator[Finding]:
    for key in ("max_tokens", "max_input_tokens"):
        promised = whole_at(route.body, "model_info", key)
        most = min((each.whole("max-model-len", 0) for each in engines), default=0)
        if promised and most and promised > most:
            message = f"{key} is {promised}, and {engines[0].title} takes {most} (--max-model-len)"
            yield route.config.finding(TOO_LONG, *route.path, "model_info", key, message=message)


def _pool(case: Case, route: Route, found: Target) -> Iterator[Finding]:
    for pool in case.cluster.of("InferencePool"):
        selector = pool_labels(pool)
        inside = [each for each in found.workloads if matches(selector, each.labels)]
        if inside and pool.namespace == inside[0].namespace:
            message = (
                f"{route.alias} goes to Service {found.service.name} straight, so the endpoint picker of {pool.title} "
                "is never asked: calls go to any replica, whatever its cache holds"
            )
            yield route.config.finding(PAST_THE_POOL, *route.path, "litellm_params", "api_base", message=message)
            return


def check_rewrites(case: Case) -> Iterator[Finding]:
    """InferenceModelRewrite: the names that it writes must be served by its pool's engines."""
    for rewrite in case.cluster.of("InferenceModelRewrite"):
        pool = case.cluster.find("InferencePool", text_at(rewrite.body, "spec", "poolRef", "name"), rewrite.namespace)
        pods = case.inventory.pods(pool.namespace, pool_labels(pool)) if pool else []
        known = _served_by_any([each for each in case.engines if each.workload in set(pods)])
        for path, name in _targets(rewrite) if known is not None else ():
            if name not in (known or ()):
                message = f"writes {name}, and the engines of the pool answer to {listed(known or (), SHOWN)}"
                yield NOT_SERVED.on(rewrite, *path, message=message)


def _targets(rewrite: Manifest) -> Iterator[tuple[tuple[Step, ...], str]]:
    for rule, each in enumerate(mappings_at(rewrite.body, "spec", "rules")):
        for index, one in enumerate(mappings_at(each, "targets")):
            if name := text_at(one, "modelRewrite"):
                yield ("spec", "rules", rule, "targets", index, "modelRewrite"), name


def check_callers(case: Case) -> Iterator[Finding]:
    """Containers that name a model and an address of the cluster."""
    among = gateways(case)
    for workload in case.workloads:
        for container in workload.containers:
            given = environment(case.cluster, workload, container).variables.values()
            names = [each for each in given if each.value and _MODEL_VARIABLE.fullmatch(each.name)]
            addresses = [each.value or "" for each in given if _ADDRESS_VARIABLE.fullmatch(each.name)]
            for each in names if _leads_one_way(case, addresses, workload) else ():
                for rule, message in _asks(case, each.value or "", addresses, workload.namespace, among):
                    yield rule.on(each.manifest, *each.path, message=f"{each.name} is {message}")


def _leads_one_way(case: Case, addresses: Sequence[str], workload: Workload) -> bool:
    """Whether all addresses of a container mean one Service: else nobody knows which of them is asked for the model."""
    found = [target(case, each, workload.namespace) for each in addresses]
    return bool(found) and len({each.service if each else None for each in found}) == 1


def check_agents(case: Case) -> Iterator[Finding]:
    """kagent's model configurations, and agents of its first form."""
    among = gateways(case)
    for config in case.cluster.of("ModelConfig"):
        base = text_at(config.body, "spec", "openAI", "baseUrl")
        yield from _of_agent(case, config, ("spec", "model"), base, among)
    for agent in case.cluster.of("Agent"):
        base = text_at(agent.body, "spec", "llm", "endpoint")
        yield from _of_agent(case, agent, ("spec", "llm", "model"), base, among)


def _of_agent(
    case: Case, manifest: Manifest, path: tuple[Step, ...], base: str, among: Sequence[Gateway]
) -> Iterator[Finding]:
    name = text_at(manifest.body, *path)
    for rule, message in _asks(case, name, [base], manifest.namespace, among) if name and base else ():
        yield rule.on(manifest, *path, message=f"model is {message}")


def _asks(
    case: Case, name: str, addresses: Iterable[str], namespace: str, among: Sequence[Gateway]
) -> Iterator[tuple[Rule, str]]:
    """What is wrong with asking for a name at the first of these addresses that the tree knows."""
    found = next((each for address in addresses if (each := target(case, address, namespace))), None)
    gateway = gateway_of(found, among) if found else None
    if gateway is not None and gateway.names and not gateway.keeps_models_elsewhere and not gateway.answers(name):
        near = difflib.get_close_matches(name, gateway.names, 1)
        said = f"; the nearest is {near[0]}" if near else ""
        yield NO_SUCH_ALIAS, f"{name}, and the gateway has {listed(gateway.names, SHOWN)}{said}"
    elif found is not None and gateway is None:
        engines = engines_of(case, found)
        known = _served_by_any(engines)
        if known is not None and name not in known:
            yield NOT_SERVED, f"{name}, and {engines[0].title} answers to {listed(known, SHOWN)}"


def _served_by_any(engines: Sequence[Engine]) -> set[str] | None:
    """The names that some of these engines answer to; None where there is no engine, or one cannot be known."""
    found = [served(each) for each in engines]
    names = {name for each in found for name in each or ()}
    return names if found and all(each is not None for each in found) else None


CHECKS = (check_routes, check_rewrites, check_callers, check_agents)
