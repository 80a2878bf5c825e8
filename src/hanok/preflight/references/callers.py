"""Who calls a host that a text names: the pod in whose variables or arguments it stands, or those that read the text.

Of what Hanok's own programs read in a platform file is known which of them calls what: a gateway engines, tools,
databases and the collector; an ingest the engine that embeds, and the databases.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple
from urllib.parse import urlsplit

from pydantic import SecretStr

from hanok.preflight.case import Case
from hanok.preflight.makers import branches
from hanok.preflight.manifests import Manifest, Step, list_at, mappings_at, text_at
from hanok.preflight.references.hosts import Named
from hanok.preflight.workloads import Container, Workload
from hanok.spec.tree import Model, Platform

PLATFORM: tuple[Step, ...] = ("data", "platform.yaml")
_SAID = re.compile(
    "public|external|callback|redirect|issuer|advertis|allowed|cors|origin|trusted|audience|no_proxy|referer|site|root_url"
    "|nextauth|description|message|title|link|docs?\\b|help|example|comment",
    re.IGNORECASE,
)
"""Keys of addresses that are told to others, not called."""
LONGEST_LINE = 1000
_STARTED = (("env",), ("args",), ("command",))


class Calls(NamedTuple):
    """The pods that call a host; where they are not `sure`, some of them do."""

    pods: Sequence[Workload]
    sure: bool


NOBODY = Calls((), sure=True)


@dataclass(frozen=True, kw_only=True, eq=False)
class Callers:
    """Who calls what in one case."""

    case: Case

    def of(self, named: Named) -> Calls:
        """The pods that call a host where it is named."""
        if named.manifest.kind == "ConfigMap" and named.manifest.group == "":
            return self._readers_call(named)
        if _SAID.search(_variable(named)):
            return NOBODY
        pods = self._pods.get(id(named.manifest), ())
        return Calls([each for each in pods if _is_inside(each, named.leaf.path)], sure=True)

    @cached_property
    def _pods(self) -> Mapping[int, Sequence[Workload]]:
        found: dict[int, list[Workload]] = {}
        for each in self.case.workloads:
            found.setdefault(id(each.manifest), []).append(each)
        return found

    def _readers_call(self, named: Named) -> Calls:
        path = named.leaf.path
        readers = self._readers.get((named.manifest.namespace, named.manifest.name), ())
        if path == PLATFORM:
            called = self._called(named.manifest)
            pods = [pod for pod, _ in readers if any(named.host.host in each for each in _wanted(pod, called))]
            return Calls(pods, sure=True)
        if len(path) != 2 or path[0] != "data" or _SAID.search(f"{path[1]} {_beside(named)}"):
            return NOBODY
        pods = list(dict.fromkeys(pod for pod, key in readers if key in ("", path[1])))
        return Calls(pods, sure=len(pods) == 1)

    @cached_property
    def _readers(self) -> Mapping[tuple[str, str], Sequence[tuple[Workload, str]]]:
        """Pods by the ConfigMaps that they read, with the key that they read of it; an empty one is all of it."""
        found: dict[tuple[str, str], list[tuple[Workload, str]]] = {}
        for pod in self.case.workloads:
            for name, key in _read_by(pod):
                found.setdefault((pod.namespace, name), []).append((pod, key))
        return found

    def _called(self, manifest: Manifest) -> Mapping[str, frozenset[str]]:
        """What Hanok's programs call by what a ConfigMap's platform file says."""
        return self._platforms.get((manifest.file, manifest.line(*PLATFORM)), {})

    @cached_property
    def _platforms(self) -> Mapping[tuple[str, int], Mapping[str, frozenset[str]]]:
        return {
            (each.manifest.file, each.manifest.offset): called_by(each.loaded.platform)
            for each in self.case.platforms
            if each.loaded is not None
        }


def called_by(platform: Platform) -> Mapping[str, frozenset[str]]:
    """Hosts that are called by the ingest of a knowledge base, by its name, and by gateways, by the empty name."""
    kept = [platform.milvus.uri, platform.ledger.database, platform.ledger.redis]
    engines = {each.name: list(_addresses(each)) for each in platform.models}
    tools = [getattr(each, "url", None) for each in platform.tools]
    spans = [each.url for each in platform.telemetry.export]
    door = [*kept, platform.runs.database, platform.cache.redis, *tools, *spans]
    first = platform.first("embedding")
    found = {"": frozenset(_hosts([*door, *(each for urls in engines.values() for each in urls)]))}
    for base in platform.knowledge:
        model = base.embed.model or (first.name if first else "")
        found[base.name] = frozenset(_hosts([*kept, *engines.get(model, [])]))
    return found


def _addresses(model: Model) -> Iterator[object]:
    return (getattr(each, "url", None) for each in model.serve)


def _hosts(urls: Sequence[object]) -> Iterator[str]:
    for each in urls:
        text = each.get_secret_value() if isinstance(each, SecretStr) else str(each or "")
        try:
            host = urlsplit(text).hostname
        except ValueError:
            continue
        if host:
            yield host


def _wanted(pod: Workload, called: Mapping[str, frozenset[str]]) -> Iterator[frozenset[str]]:
    """What containers of a pod call that run Hanok."""
    for container in pod.everyone:
        words = container.words
        if not words or words[0].rpartition("/")[2] != "hanok":
            continue
        if "up" in words[1:2]:
            yield called.get("", frozenset())
        elif words[1:3] == ["knowledge", "ingest"]:
            named = [each for each in words[3:] if each in called]
            yield from (called[each] for each in named or called if each)


def _is_inside(pod: Workload, path: tuple[Step, ...]) -> bool:
    """Whether a path leads to what one of its containers is started with."""
    start = (*pod.path, "spec")
    inner = path[len(start) :]
    return (
        path[: len(start)] == start and inner[:1] in (("containers",), ("initContainers",)) and inner[2:3] in _STARTED
    )


def _variable(named: Named) -> str:
    """The name of the variable whose value it is, or the flag before it."""
    path = named.leaf.path
    if path[-1:] == ("value",):
        return text_at(named.manifest.body, *path[:-1], "name")
    return named.leaf.text.partition("=")[0] if named.leaf.text.startswith("-") else ""


def _beside(named: Named) -> str:
    """The line before the host, where it is one that people write."""
    line = _lines(named.leaf.text)[named.host.below]
    if len(line) > LONGEST_LINE:
        return ""
    return line.partition(named.host.host)[0].partition("://")[0]


@lru_cache(maxsize=4)
def _lines(text: str) -> Sequence[str]:
    return text.split("\n")


def _read_by(pod: Workload) -> Iterator[tuple[str, str]]:
    """The ConfigMaps that a pod's containers are given, each with one key, or an empty one for all."""
    for path, value in branches(pod.spec):
        match path[-1:]:
            case ("configMapKeyRef",):
                yield text_at(value, "name"), text_at(value, "key")
            case ("configMapRef",):
                yield text_at(value, "name"), ""
            case ("configMap",):
                keys = [text_at(each, "key") for each in mappings_at(value, "items")]
                yield from ((text_at(value, "name"), key) for key in keys or [""])
            case _:
                continue


def has_proxy(container: Container) -> bool:
    """Whether it is told of a proxy for what lies outside."""
    names = [text_at(each, "name") for each in mappings_at(container.body, "env")]
    return bool(list_at(container.body, "envFrom")) or any(name.lower().endswith("_proxy") for name in names)
