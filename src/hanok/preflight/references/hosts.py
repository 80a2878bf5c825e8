"""Names of Services in texts: `http://name.namespace:port`, `name.namespace.svc`, `REDIS_HOST=name.namespace`.

Cluster DNS answers for Services that exist, so a host in a variable, an argument or a configuration file is a reference
like any other. How sure one can be differs: a namespace of the tree after the dot is certain; a bare name means a
Service beside the pod; a namespace that the tree says nothing of leaves it open.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from hanok.preflight.case import Case
from hanok.preflight.charts import space_at
from hanok.preflight.findings import Finding, Rule
from hanok.preflight.inventory import Leaf
from hanok.preflight.manifests import Manifest, Step, text_at
from hanok.preflight.references.replicas import Replicas, is_headless, is_numbered
from hanok.preflight.references.services import is_open_ended, wrong_port
from hanok.preflight.references.uses import OUTSIDE, Use, and_others, offer, together

NO_HOST = Rule("HK231", "error", "a host that no Service answers to", "add the Service, or write the name of one")

_LABEL = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
_HOST = rf"{_LABEL}(?:\.{_LABEL})*"
_SCHEMES = (
    "https?|wss?|grpcs?|rediss?|valkeys?|postgres(?:ql)?(?:\\+\\w+)?|mysql(?:\\+\\w+)?|mongodb|amqps?|nats|kafka|tcp|tls|"
    "clickhouse(?:\\+\\w+)?|memcached|qdrant|milvus|bolt|neo4j"
)
_URL = re.compile(rf"\b(?P<scheme>{_SCHEMES})://(?:[^\s/@\"'<>{{}}]*@)?(?P<host>{_HOST})(?::(?P<port>\d+))?(?![-.\w])")
_FULL = re.compile(rf"(?<![-.\w/@])(?P<host>{_HOST}\.svc(?:\.cluster\.local)?)(?::(?P<port>\d+))?(?![-.\w])")
_PLAIN = re.compile(rf"(?P<host>{_HOST})(?::(?P<port>\d{{2,5}}))?")
_PAIR = re.compile(
    rf"[ \t-]{{0,99}}[\"']?(?P<key>[\w.-]{{1,99}})[\"']?[ \t]*[:=][ \t]*[\"']?(?P<host>{_LABEL}\.{_LABEL})"
    r"(?::(?P<port>\d+))?[\"']?,?[ \t]*(?:#.*)?"
)
"""A line of a configuration file that gives a key a host of two parts."""
LONGEST = 300
"""Characters that a host with its port may have; DNS allows 253."""
_HOST_KEY = re.compile(r"host|addr|server|url|uri|endpoint|broker|bootstrap", re.IGNORECASE)
_BARE_KEY = re.compile(r"\w_HOST(?:NAME)?(?:_?\d+)?$", re.IGNORECASE)
"""Names of hosts end so. POSTGRES_HOST_AUTH_METHOD says how, not where."""
_DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_NOT_SERVICES = frozenset({
    "localhost", "host", "hostname", "none", "null", "auto", "true", "false", "kubernetes", "example", "myhost",
    "your-host", "server", "any", "all",
})  # fmt: skip
_PROGRAMS_KEYS = frozenset({"args", "command", "values"})
_SKIPPED_KINDS = frozenset({
    "CustomResourceDefinition", "Namespace", "NetworkPolicy", "Certificate", "PrometheusRule", "HelmRepository",
    "OCIRepository", "GitRepository", "Secret", "Issuer", "ClusterIssuer", "Node", "EC2NodeClass", "NodePool",
    "ServiceEntry", "DestinationRule", "VirtualService",
})  # fmt: skip
_SKIPPED_KEYS = frozenset({
    "metadata", "hostnames", "hostname", "host", "hosts", "dnsNames", "image", "description", "chart", "names",
    "storageUri", "modelUri", "message", "summary",
})  # fmt: skip
"""Keys of objects beneath which names of the outer world stand. In texts and variables they mean what they say."""
_DOMAINS = frozenset({
    "com", "net", "org", "dev", "app", "cloud", "info", "biz", "edu", "gov", "mil", "int", "local", "internal", "lan",
    "test", "example", "invalid", "localhost", "home", "corp", "svc", "xyz", "online", "site", "tech",
})  # fmt: skip
"""What may end a host of two parts that is no Service; two letters may, too."""


@dataclass(frozen=True, kw_only=True)
class Host:
    """A host as it is written. `named` tells that a key says that this is a host, or a scheme does."""

    host: str
    port: int | None = None
    scheme: str = ""
    named: bool = True
    below: int = 0
    """Lines of the text before it."""


class Named(NamedTuple):
    """A host where it is named; a tuple, as there are many. `use` is the Service that it means, if it means one."""

    manifest: Manifest
    leaf: Leaf
    host: Host
    use: Use | None


@lru_cache(maxsize=1)
def named_hosts(case: Case) -> Sequence[Named]:
    """Every host of the tree. Kept for the case in hand, since several checks ask in a row."""
    found: list[Named] = []
    for manifest in case.cluster.manifests:
        for leaf in () if _is_passed_over(manifest) else case.inventory.leaves(manifest):
            several = "\n" in leaf.text  # asked once, as a text may be as long as it has hosts
            found += [
                Named(manifest, leaf, host, _read(case, manifest, leaf, host, several=several))
                for host in _hosts_of(manifest, leaf)
            ]
    return found


def check_hosts(case: Case) -> Iterator[Finding]:
    uses: list[Use] = []
    replicas = Replicas(case=case)
    for _, _, host, use in named_hosts(case):
        if use is not None:
            uses.append(use)
            yield from _port(case, use, host, replicas)
    for users in together(uses):
        yield from _judge(case, users)


def _is_passed_over(manifest: Manifest) -> bool:
    return manifest.kind in _SKIPPED_KINDS or any("dashboard" in key for key in manifest.labels)


def _hosts_of(manifest: Manifest, leaf: Leaf) -> Iterator[Host]:
    """The hosts that one text of a manifest names."""
    if _is_outer(manifest, leaf.path):
        return
    if "\n" not in leaf.text and "://" not in leaf.text and ".svc" not in leaf.text:
        yield from _plain(leaf.text, _key(manifest, leaf))
        return
    bare = "upstream" not in leaf.text  # nginx' own name for several hosts
    several = "\n" in leaf.text
    for below, line in enumerate(leaf.text.split("\n")):
        if not several or not line.lstrip().startswith(("#", "//", ";")):
            yield from dict.fromkeys(_in_line(line, below, bare=bare, several=several))


def _in_line(line: str, below: int, *, bare: bool, several: bool) -> Iterator[Host]:
    """The hosts in one line; those of one part only where they may be `bare`."""
    if "://" in line:
        for found in _URL.finditer(line):
            if bare or "." in found["host"]:
                yield _host(found, scheme=found["scheme"], below=below)
    if ".svc" in line:
        for found in _FULL.finditer(line):
            yield _host(found, below=below)
    pair = _PAIR.fullmatch(line) if several else None
    if pair and _HOST_KEY.search(pair["key"]) and not pair["host"].endswith(".svc"):
        yield _host(pair, below=below)


def _plain(text: str, key: str) -> Iterator[Host]:
    """A value that is a host, or several with commas between."""
    value = text.rpartition("=")[2] if text.startswith("-") else text
    for each in value.split(","):
        found = _PLAIN.fullmatch(each.strip()) if len(each) <= LONGEST else None
        if found is None:
            continue
        named = bool(_HOST_KEY.search(key))
        if "." in found["host"] or _BARE_KEY.search(key) or (named and found["port"]):
            yield _host(found, named=named)


def _host(found: re.Match[str], *, scheme: str = "", named: bool = True, below: int = 0) -> Host:
    port = int(found["port"][:6]) if found["port"] else _DEFAULT_PORTS.get(scheme)
    return Host(host=found["host"], port=port, scheme=scheme, named=named, below=below)


def _is_outer(manifest: Manifest, path: tuple[Step, ...]) -> bool:
    if manifest.kind == "ConfigMap":
        return path[:1] == ("metadata",)
    if path[-1:] == ("value",) or manifest.kind == "Agent":
        return path[:1] == ("metadata",)
    return not _SKIPPED_KEYS.isdisjoint(path) and _PROGRAMS_KEYS.isdisjoint(path)


def _key(manifest: Manifest, leaf: Leaf) -> str:
    """What names a text: its key, the variable's name, the flag."""
    last = leaf.path[-1] if leaf.path else ""
    if last == "value":
        return text_at(manifest.body, *leaf.path[:-1], "name")
    if isinstance(last, int):
        flag = leaf.text.partition("=")[0] if leaf.text.startswith("-") else ""
        before = text_at(manifest.body, *leaf.path[:-1], last - 1) if last else ""
        return flag or (before if before.startswith("-") else "")
    return last


def _read(case: Case, manifest: Manifest, leaf: Leaf, host: Host, *, several: bool) -> Use | None:
    """The Service that a host means; None where it means none."""
    parts = host.host.removesuffix(".cluster.local").split(".")
    full = parts[-1] == "svc" and len(parts) >= 3
    parts = parts[:-1] if full else parts
    here = space_at(manifest, leaf.path)
    if not full and _is_replica(case, here, parts):
        parts, full = [*parts, here][:3], True
    name, space = parts[-2:] if len(parts) >= 2 else (parts[0], here)
    if name in _NOT_SERVICES or name.isdigit() or not re.search("[a-z]", name):
        return None
    if len(parts) > 2 and not full:
        return None
    if not full and not _means_service(case, here, host, name, space, len(parts)):
        return None
    line = manifest.line_within(leaf.path, host.below) if several else 0
    written = f"{name}.{space}" in host.host
    return Use(
        manifest=manifest, path=leaf.path, kind="Service", name=name, namespace=space, line=line, written=written
    )


def _is_replica(case: Case, here: str, parts: list[str]) -> bool:
    """Whether this is a pod's own name before its headless Service: `llama-0.llama`, or `llama-0.llama.models`."""
    if len(parts) not in (2, 3) or not is_numbered(parts[0]):
        return False
    service = case.cluster.find("Service", parts[1], parts[2] if parts[2:] else here)
    return service is not None and is_headless(service)


def _means_service(case: Case, here: str, host: Host, name: str, space: str, parts: int) -> bool:
    if parts == 1:
        return bool(here) and (host.scheme in ("http", "https", "") or "-" in name)
    if case.cluster.find("Service", space, here) is not None:
        return False  # a pod's own name before its headless Service
    if _is_ours(case, space):
        public = host.scheme == "https" and host.port == 443 and _is_domain(space)
        return (host.named or host.port is not None) and not public
    return bool(host.scheme) and host.scheme != "https" and not _is_domain(space)


def _is_ours(case: Case, namespace: str) -> bool:
    return case.inventory.is_peopled(namespace) or namespace in case.inventory.namespaces


def _is_domain(label: str) -> bool:
    return label in _DOMAINS or len(label) == 2


def _judge(case: Case, users: list[Use]) -> Iterator[Finding]:
    first = users[0]
    match case.inventory.standing("Service", first.name, first.namespace, user=first.manifest):
        case "missing" if case.inventory.is_pod_name(first.name, first.namespace):
            return
        case "missing":
            bare = not any(each.written for each in users)
            ours = case.inventory.is_peopled(first.namespace) or first.namespace == first.manifest.namespace
            if ours:
                message = f"no Service {first.name} in {first.namespace}{and_others(users)}: nothing answers there"
                severity = "warning" if bare else None
                hint = offer(case, first, NO_HOST.hint)
                yield first.say(NO_HOST, message, hint=hint, severity=severity)
            else:
                yield _outside(first, "nothing that works there is in these files")
        case "perhaps":
            maker = case.inventory.maker(first.namespace)
            yield _outside(first, f"{maker.title} may make it" if maker else "it may stand elsewhere")
        case _:
            return


def _outside(use: Use, why: str) -> Finding:
    return use.say(OUTSIDE, f"{use.title}, a host here, is not in these files; {why}")


def _port(case: Case, use: Use, host: Host, replicas: Replicas) -> Iterator[Finding]:
    service = case.cluster.find("Service", use.name, use.namespace)
    if service is None:
        return
    if is_headless(service):
        yield from replicas.check(use, service, pod=_replica(host.host, use.name), port=host.port)
    elif host.port is not None and not is_open_ended(service):
        yield from wrong_port(use, service, host.port)


def _replica(host: str, service: str) -> str:
    """The pod's name before its Service's; empty where there is none, or none with a number."""
    labels = host.split(".")
    before = labels[labels.index(service, 1) - 1] if service in labels[1:] else ""
    return before if is_numbered(before) else ""


CHECKS = (check_hosts,)
