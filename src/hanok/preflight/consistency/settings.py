"""LiteLLM's configuration: settings that it does not have, shapes that it does not start with, variables it lacks."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from hanok.preflight.case import Case
from hanok.preflight.consistency.environment import environment
from hanok.preflight.consistency.gateways import Gateway, gateways
from hanok.preflight.consistency.load import load_figures
from hanok.preflight.findings import Finding, Rule
from hanok.preflight.image import component
from hanok.preflight.manifests import Step, at, list_at, mapping_at, text_at, texts_at

FATAL_FALLBACKS = Rule(
    "HK515",
    "error",
    "fallbacks that LiteLLM does not start with",
    "each item is one name and a list: `- llama: [gpt-4o]`",
)
UNKNOWN_FALLBACK = Rule(
    "HK516",
    "error",
    "a fallback that the gateway does not have",
    "write a model_name of the model list, or add one",
)
NO_SUCH_SETTING = Rule(
    "HK517", "warning", "a setting that LiteLLM does not have", "take it out: LiteLLM passes it over with a log line"
)
NO_SUCH_STRATEGY = Rule(
    "HK518", "error", "a routing strategy that LiteLLM does not have", "write one of the strategies in the message"
)
NO_CALLBACK_KEYS = Rule(
    "HK519",
    "warning",
    "a receiver of traces without its keys",
    "give the container the variables from a Secret, or send it nothing",
)
NO_VARIABLE = Rule(
    "HK520",
    "error",
    "a variable that the gateway is not given",
    "add it to the container's env, from a Secret",
)

FALLBACKS = ("fallbacks", "context_window_fallbacks", "content_policy_fallbacks")
CHECKED_AT_START = ("fallbacks", "content_policy_fallbacks")
CALLBACKS = ("callbacks", "success_callback", "failure_callback")
KEYS: Mapping[str, tuple[str, ...]] = {
    "langfuse": ("LANGFUSE_PUBLIC_KEY", "LANGFUSE_SECRET_KEY"),
    "langfuse_otel": ("LANGFUSE_PUBLIC_KEY", "LANGFUSE_SECRET_KEY"),
    "langsmith": ("LANGSMITH_API_KEY",),
    "helicone": ("HELICONE_API_KEY",),
}
"""The variables without which a callback sends nothing. Source: litellm/integrations of LiteLLM 1.109.1."""
_INJECTED = re.compile(r"^AWS_|^KUBERNETES_|^HOSTNAME$|_SERVICE_(?:HOST|PORT)$")
"""Variables that a pod is given without anybody writing so: by EKS for its role, by Kubernetes."""
_NAMES_VARIABLE = re.compile(r"os\.environ/(\w+)")


def check_fallbacks(case: Case) -> Iterator[Finding]:
    """The shape of fallbacks, and the names in them."""
    for gateway in gateways(case):
        for block in ("router_settings", "litellm_settings"):
            for key in FALLBACKS:
                for index, item in enumerate(list_at(gateway.config.body, block, key)):
                    yield from _fallback(gateway, (block, key, index), item)
            for index, name in enumerate(list_at(gateway.config.body, block, "default_fallbacks")):
                yield from _unknown(gateway, (block, "default_fallbacks", index), name)


def _fallback(gateway: Gateway, path: tuple[Step, ...], item: Any) -> Iterator[Finding]:
    wrong = _misshapen(item)
    if wrong and path[1] in CHECKED_AT_START:
        yield gateway.config.finding(
            FATAL_FALLBACKS, *path, message=f"{path[1]}: {wrong}; LiteLLM's Router stops there"
        )
    elif not wrong:
        ((name, targets),) = item.items()
        for each in (str(name), *targets):
            yield from _unknown(gateway, (*path, name), each)


def _misshapen(item: Any) -> str:
    """What is wrong with one item; empty where nothing is."""
    keys = mapping_at(item)
    if not keys:
        return "an item is no mapping"
    if len(keys) != 1:
        return f"an item must have exactly one key, and has {len(keys)}: {', '.join(keys)}"
    return "" if isinstance(next(iter(keys.values())), list) else "a name's fallbacks are no list"


def _unknown(gateway: Gateway, path: tuple[Step, ...], name: Any) -> Iterator[Finding]:
    if not isinstance(name, str) or name == "*" or gateway.keeps_models_elsewhere or gateway.answers(name):
        return
    if gateway.names and "/" not in name:  # `provider/model` may be asked for as it is
        near = difflib.get_close_matches(name, gateway.names, 1)
        hint = f"did you mean {near[0]}?" if near else None
        message = f"{name} is no model_name of this configuration"
        yield gateway.config.finding(UNKNOWN_FALLBACK, *path, message=message, hint=hint)


def check_settings(case: Case) -> Iterator[Finding]:
    """Router settings by name, and the strategy."""
    table = load_figures()["litellm"]
    known: list[str] = table["router_settings"].split()
    strategies: list[str] = table["strategies"].split()
    for gateway in gateways(case):
        for key in mapping_at(gateway.config.body, "router_settings"):
            if key not in known:
                near = difflib.get_close_matches(key, known, 1, 0.7)
                hint = f"did you mean {near[0]}? Otherwise take it out" if near else None
                message = f"router_settings has no `{key}`: LiteLLM passes it over"
                yield gateway.config.finding(NO_SUCH_SETTING, "router_settings", key, message=message, hint=hint)
        strategy = text_at(gateway.config.body, "router_settings", "routing_strategy")
        if strategy and strategy not in strategies and not strategy.startswith("os.environ/"):
            message = f"there is no strategy {strategy}; there are {', '.join(strategies)}"
            yield gateway.config.finding(NO_SUCH_STRATEGY, "router_settings", "routing_strategy", message=message)


def check_callbacks(case: Case) -> Iterator[Finding]:
    """Callbacks whose keys no container of the gateway is given."""
    for gateway in gateways(case):
        for name, path in _callbacks(gateway):
            missing = [key for key in KEYS.get(name, ()) if not _given(case, gateway, key)]
            if missing:
                message = f"{name} sends nothing without {' and '.join(missing)}, which the container is not given"
                yield gateway.config.finding(NO_CALLBACK_KEYS, *path, message=message)


def _callbacks(gateway: Gateway) -> Iterator[tuple[str, tuple[Step, ...]]]:
    """Each callback once, where it is first named."""
    told: set[str] = set()
    for key in CALLBACKS:
        held = at(gateway.config.body, "litellm_settings", key)
        for name in [held] if isinstance(held, str) else texts_at(held):
            if name not in told:
                told.add(name)
                yield name, ("litellm_settings", key)


def check_senders(case: Case) -> Iterator[Finding]:
    """Containers that are told where Langfuse is, and not who they are."""
    for workload in case.workloads:
        for container in workload.containers:
            given = environment(case.cluster, workload, container)
            address = given.variables.get("LANGFUSE_HOST") or given.variables.get("LANGFUSE_BASE_URL")
            missing = [key for key in KEYS["langfuse"] if not given.may_have(key)]
            off = given.value("LANGFUSE_TRACING_ENABLED").lower() == "false"
            if address and missing and not off and component(container) != "litellm":
                message = f"{address.name} is given, and {' and '.join(missing)} not: Langfuse takes nothing from it"
                yield NO_CALLBACK_KEYS.on(address.manifest, *address.path, message=message)


def check_variables(case: Case) -> Iterator[Finding]:
    """`os.environ/NAME` in the configuration of a container that is not given NAME."""
    for gateway in gateways(case):
        told: set[str] = set()
        for name, path in _named(gateway.config.body, ()):
            if name not in told and not _given(case, gateway, name):
                told.add(name)
                title = gateway.users[0][0].title
                message = f"{name} is read from the environment, and {title} is not given it"
                yield gateway.config.finding(NO_VARIABLE, *path, message=message)


def _named(value: Any, path: tuple[Step, ...]) -> Iterator[tuple[str, tuple[Step, ...]]]:
    if isinstance(value, str) and (found := _NAMES_VARIABLE.fullmatch(value)):
        yield found[1], path
    for key, each in mapping_at(value).items():
        yield from _named(each, (*path, key))
    for index, each in enumerate(list_at(value)):
        yield from _named(each, (*path, index))


def _given(case: Case, gateway: Gateway, name: str) -> bool:
    """Whether every container of the gateway has the variable, or may have; also where the tree has no container."""
    body = gateway.config.body
    if name in mapping_at(body, "environment_variables") or at(body, "general_settings", "key_management_system"):
        return True
    if _INJECTED.search(name):
        return True
    given = (environment(case.cluster, workload, container) for workload, container in gateway.users)
    return all(each.may_have(name) for each in given)


CHECKS = (check_fallbacks, check_settings, check_callbacks, check_senders, check_variables)
