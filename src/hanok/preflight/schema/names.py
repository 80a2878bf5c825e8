"""Names and labels as the API server takes them.

Text with `${…}` in it is passed over: something fills it in before the API server sees it. Source: validation in
k8s.io/apimachinery/pkg/util/validation and pkg/apis/core/validation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from hanok.preflight import helmfiles
from hanok.preflight.case import Case
from hanok.preflight.findings import Finding, Rule, dotted
from hanok.preflight.manifests import Body, Manifest, Step, at, mapping_at, mappings_at, text_at
from hanok.preflight.schema.alike import look_at
from hanok.preflight.workloads import Workload

WRONG_NAME = Rule("HK122", "error", "a name that the API server refuses", "write a name that it takes")
WRONG_LABEL = Rule("HK123", "error", "a label that the API server refuses", "write a key and a value that it takes")

Path = tuple[Step, ...]
_PART = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
_WORD = r"[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?"
_QUALIFIED = re.compile(rf"(?:(?P<prefix>[^/]*)/)?(?P<name>{_WORD})")
_VALUE = re.compile(rf"(?:{_WORD})?")
_PREFIX = re.compile(rf"{_PART}(?:\.{_PART})*")
LONGEST_PREFIX, LONGEST_WORD = 253, 63
RELAXED_SERVICES = 34
"""Since Kubernetes 1.34 names of Services may begin with a digit, where a feature gate is on (KEP-5311)."""


@dataclass(frozen=True, kw_only=True)
class _Look:
    """What a name must look like, and how that is said."""

    pattern: re.Pattern[str]
    longest: int
    told: str

    def fits(self, name: str) -> bool:
        return len(name) <= self.longest and self.pattern.fullmatch(name) is not None


_SUBDOMAIN = _Look(
    pattern=_PREFIX, longest=253, told="lower case letters, digits, `-` and `.`, with a letter or digit at both ends"
)
_LABEL = _Look(
    pattern=re.compile(_PART), longest=63,
    told="up to 63 lower case letters, digits and `-`, with a letter or digit at both ends",
)  # fmt: skip
_SERVICE = _Look(
    pattern=re.compile(r"[a-z](?:[-a-z0-9]*[a-z0-9])?"), longest=63,
    told="up to 63 lower case letters, digits and `-`, with a letter first",
)  # fmt: skip
_PORT = _Look(
    pattern=re.compile(r"(?=.*[a-z])(?!.*--)[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"), longest=15,
    told="up to 15 lower case letters, digits and single `-`, with a letter among them",
)  # fmt: skip
_CRON_JOB = _Look(pattern=_PREFIX, longest=52, told="up to 52 characters, as the jobs' names are longer by 11")
_SEGMENT = _Look(pattern=re.compile(r"(?!\.\.?$)[^/%]+"), longest=253, told="anything without `/` and `%`")
_KEY = _Look(pattern=re.compile(r"(?!\.\.?$)[-._a-zA-Z0-9]+"), longest=253, told="letters, digits, `-`, `_` and `.`")
_VARIABLE = _Look(pattern=re.compile(r"[ -<>-~]+"), longest=100_000, told="printable characters without `=`")
_OF_KIND: Mapping[str, _Look] = {"Service": _SERVICE, "Namespace": _LABEL, "CronJob": _CRON_JOB}
PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_FREE_GROUPS = ("rbac.authorization.k8s.io", "certificates.k8s.io")
"""Groups whose objects may be called nearly anything: `system:node`."""


def check_names(case: Case) -> Iterator[Finding]:
    """Names of objects, and of what is in them."""
    for manifest in case.cluster.manifests:
        yield from _object_name(manifest, minor=int(case.facts.kubernetes.partition(".")[2]))
        if manifest.group == "" and manifest.kind in ("ConfigMap", "Secret"):
            for field in ("data", "binaryData", "stringData"):
                for key in mapping_at(manifest.body, field):
                    yield from _named(manifest, (field, key), key, _KEY, "the key")
        elif manifest.group == "" and manifest.kind == "Service":
            for index, port in enumerate(mappings_at(manifest.body, "spec", "ports")):
                path = ("spec", "ports", index, "name")
                yield from _named(manifest, path, text_at(port, "name"), _LABEL, "the port's name")
                path = ("spec", "ports", index, "targetPort")
                yield from _named(manifest, path, text_at(port, "targetPort"), _PORT, "the port's name")
    yield from look_at(case.workloads, _pod_names)


def _object_name(manifest: Manifest, *, minor: int) -> Iterator[Finding]:
    name, prefix = text_at(manifest.body, "metadata", "name"), text_at(manifest.body, "metadata", "generateName")
    if manifest.group == helmfiles.GROUP and "{{" in name:
        return
    if at(manifest.body, "metadata", "name") is None and not prefix:
        yield WRONG_NAME.on(manifest, "metadata", message="the object has no name", hint="write `metadata.name`")
        return
    look = _SEGMENT if manifest.group in _FREE_GROUPS else _SUBDOMAIN
    look = _OF_KIND.get(manifest.kind, look) if manifest.group in ("", "batch") else look
    look = _LABEL if look is _SERVICE and minor >= RELAXED_SERVICES else look
    yield from _named(manifest, ("metadata", "name"), name, look, "the name")
    where = text_at(manifest.body, "metadata", "namespace")
    yield from _named(manifest, ("metadata", "namespace"), where, _LABEL, "the namespace")


def _pod_names(workload: Workload) -> Iterator[Finding]:
    manifest, spec = workload.manifest, (*workload.path, "spec")
    for index, volume in enumerate(mappings_at(workload.spec, "volumes")):
        path = (*spec, "volumes", index, "name")
        yield from _named(manifest, path, text_at(volume, "name"), _LABEL, "the volume's name")
    for container in workload.everyone:
        path = container.path
        yield from _named(manifest, (*path, "name"), container.name, _LABEL, "the container's name")
        for index, port in enumerate(mappings_at(container.body, "ports")):
            where = (*path, "ports", index, "name")
            yield from _named(manifest, where, text_at(port, "name"), _PORT, "the port's name")
        for probe in PROBES:
            for handler in ("httpGet", "tcpSocket"):
                where = (*path, probe, handler, "port")
                name = text_at(container.body, probe, handler, "port")
                yield from _named(manifest, where, name, _PORT, "the port's name")
        for index, variable in enumerate(mappings_at(container.body, "env")):
            where = (*path, "env", index, "name")
            yield from _named(manifest, where, text_at(variable, "name"), _VARIABLE, "the variable's name")


def _named(manifest: Manifest, path: Path, name: str, look: _Look, what: str) -> Iterator[Finding]:
    if name and "${" not in name and not look.fits(name):
        said = f"of {len(name)} characters is too long" if len(name) > look.longest else "is not one"
        message = f'{dotted(path)}: {what} "{name[:80]}" {said}'
        hint = f"{look.told}; at most {look.longest} characters"
        if look is _PORT and name.isdigit():
            hint = "write a number without quotes, or the name of a port"
        yield WRONG_NAME.on(manifest, *path, message=message, hint=hint)


def check_labels(case: Case) -> Iterator[Finding]:
    """Keys and values of labels, and keys of annotations."""
    for manifest in case.cluster.manifests:
        yield from _labels(manifest, ("metadata",))
        if manifest.group == "" and manifest.kind == "Service":
            yield from _pairs(manifest, ("spec", "selector"))
        elif manifest.group == "apps":
            yield from _pairs(manifest, ("spec", "selector", "matchLabels"))
    for workload in case.workloads:
        if workload.path:
            yield from _labels(workload.manifest, (*workload.path, "metadata"))
        yield from _pairs(workload.manifest, (*workload.path, "spec", "nodeSelector"))


def _labels(manifest: Manifest, path: Path) -> Iterator[Finding]:
    yield from _pairs(manifest, (*path, "labels"))
    for key in mapping_at(manifest.body, *path, "annotations"):
        if why := _wrong_key(key.lower()):
            yield WRONG_LABEL.on(manifest, *path, "annotations", key, message=f"the annotation {key!r} {why}")


def _pairs(manifest: Manifest, path: Path) -> Iterator[Finding]:
    pairs: Body = mapping_at(manifest.body, *path)
    for key, value in pairs.items():
        if why := _wrong_key(key):
            yield WRONG_LABEL.on(manifest, *path, key, message=f"the key {key!r} {why}")
        if isinstance(value, str) and (why := _wrong_value(value)):
            yield WRONG_LABEL.on(manifest, *path, key, message=f"the value of {key}, {value[:80]!r}, {why}")


def _wrong_key(key: str) -> str | None:
    """What is wrong with a label's key."""
    if "${" in key:
        return None
    found = _QUALIFIED.fullmatch(key)
    if found is None:
        return "is not letters, digits, `-`, `_` and `.`, with a letter or digit at both ends"
    if len(found["name"]) > LONGEST_WORD:
        return f"is longer than {LONGEST_WORD} characters"
    prefix = found["prefix"]
    if prefix is not None and (not _PREFIX.fullmatch(prefix) or len(prefix) > LONGEST_PREFIX):
        return "has a prefix that is no domain name"
    return None


def _wrong_value(value: str) -> str | None:
    if "${" in value:
        return None
    if len(value) > LONGEST_WORD:
        return f"is longer than {LONGEST_WORD} characters"
    if not _VALUE.fullmatch(value):
        return "is not letters, digits, `-`, `_` and `.`, with a letter or digit at both ends"
    return None


CHECKS = (check_names, check_labels)
