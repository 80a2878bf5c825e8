"""Pods as the API server takes them: what stands in them fits together.

Templates in custom kinds are looked at as well, as pods are made of them; there, what a controller may still fill in
(volumes, images) is left alone. Source: pkg/apis/core/validation and pkg/apis/batch/validation of Kubernetes 1.37.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from hanok.preflight.case import Case
from hanok.preflight.findings import Finding, Rule, dotted
from hanok.preflight.manifests import Body, Step, at, list_at, mapping_at, mappings_at, text_at, whole_at
from hanok.preflight.schema.alike import look_at
from hanok.preflight.schema.names import PROBES
from hanok.preflight.workloads import Container, Workload

NAMED_TWICE = Rule("HK127", "error", "a name or port that is used twice", "give each its own")
NO_VOLUME = Rule("HK128", "error", "a mount of a volume that the pod does not have", "add the volume, or fix the name")
WRONG_RESTART = Rule("HK129", "error", "a restart policy that the kind does not allow", "write one that it does")
ONE_OF = Rule("HK132", "error", "not exactly one of several that exclude each other", "keep one of them")
INCOMPLETE_POD = Rule("HK133", "error", "a pod without containers or images", "write them")
WRONG_TOGETHER = Rule("HK134", "error", "fields that do not go together", "change one of them")

Path = tuple[Step, ...]
_BUILTIN_GROUPS = ("", "apps", "batch")
_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc")
_HOOKS = ("exec", "httpGet", "tcpSocket", "sleep")
_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")
_FROM = ("configMapRef", "secretRef")


def check_pods(case: Case) -> Iterator[Finding]:
    """Every pod template."""
    yield from look_at(case.workloads, _faults)


def _faults(workload: Workload) -> Iterator[Finding]:
    yield from _complete(workload)
    yield from _twice(workload)
    yield from _mounts(workload)
    yield from _volumes(workload)
    yield from _restarts(workload)
    for container in workload.everyone:
        yield from _exclusive(workload, container)
        yield from _together(workload, container)
    yield from _scheduling(workload)


def _is_builtin(workload: Workload) -> bool:
    return workload.manifest.group in _BUILTIN_GROUPS


def _complete(workload: Workload) -> Iterator[Finding]:
    """Only where nothing else could still fill it in."""
    if not _is_builtin(workload):
        return
    manifest, where = workload.manifest, (*workload.path, "spec", "containers")
    if at(workload.spec, "containers") == []:
        yield INCOMPLETE_POD.on(manifest, *where, message=f"{dotted(where)} is empty")
    for container in workload.everyone:
        if not text_at(container.body, "image") and at(container.body, "image") in (None, ""):
            place = (*container.path, "image")
            yield INCOMPLETE_POD.on(manifest, *place, message=f"the container {container.name!r} has no image")
        elif container.image != container.image.strip():
            message = f"the image {container.image!r} begins or ends with a space"
            yield INCOMPLETE_POD.on(manifest, *container.path, "image", message=message)


def _twice(workload: Workload) -> Iterator[Finding]:
    spec, containers = (*workload.path, "spec"), workload.everyone
    yield from _same(workload, ((each.path, each.name) for each in containers), "the container's name")
    volumes = mappings_at(workload.spec, "volumes")
    named = (((*spec, "volumes", index), text_at(each, "name")) for index, each in enumerate(volumes))
    yield from _same(workload, named, "the volume's name")
    for container in containers:
        yield from _same(workload, _fields(container, "ports", "name"), "the port's name")
        yield from _same(workload, _fields(container, "volumeMounts", "mountPath"), "the mount's path")
        for finding in _same(workload, _fields(container, "env", "name"), "the variable"):
            yield replace(finding, severity="warning", hint="keep one: the last of them counts")
    yield from _same(workload, _host_ports(containers), "the node's port")


def _fields(container: Container, lists: str, field: str) -> Iterator[tuple[Path, str]]:
    for index, each in enumerate(mappings_at(container.body, lists)):
        yield (*container.path, lists, index), text_at(each, field)


def _host_ports(containers: Iterable[Container]) -> Iterator[tuple[Path, str]]:
    for container in containers:
        for index, port in enumerate(mappings_at(container.body, "ports")):
            if number := whole_at(port, "hostPort"):
                address, protocol = text_at(port, "hostIP"), text_at(port, "protocol") or "TCP"
                yield (
                    (*container.path, "ports", index),
                    " ".join(each for each in (address, str(number), protocol) if each),
                )


def _same(workload: Workload, named: Iterable[tuple[Path, str]], what: str) -> Iterator[Finding]:
    seen: dict[str, Path] = {}
    for path, name in named:
        if name and name in seen:
            message = f'{dotted(path)}: {what} "{name}" is that of {dotted(seen[name])}, too'
            yield NAMED_TWICE.on(workload.manifest, *path, message=message)
        seen.setdefault(name, path)


def _mounts(workload: Workload) -> Iterator[Finding]:
    if not _is_builtin(workload):
        return
    volumes = [text_at(each, "name") for each in mappings_at(workload.spec, "volumes")]
    if workload.manifest.kind == "StatefulSet":
        claims = mappings_at(workload.manifest.body, "spec", "volumeClaimTemplates")
        volumes += [text_at(each, "metadata", "name") for each in claims]
    resources = [text_at(each, "name") for each in mappings_at(workload.spec, "resourceClaims")]
    for container in workload.everyone:
        yield from _named(workload, container, ("volumeMounts",), volumes, "the pod has no volume")
        yield from _named(workload, container, ("volumeDevices",), volumes, "the pod has no volume")
        yield from _named(workload, container, ("resources", "claims"), resources, "the pod has no resource claim")


def _named(workload: Workload, container: Container, lists: Path, known: Sequence[str], what: str) -> Iterator[Finding]:
    for index, each in enumerate(mappings_at(container.body, *lists)):
        name = text_at(each, "name")
        if name and name not in known:
            has = f"; it has {', '.join(known)}" if known else ""
            path = (*container.path, *lists, index, "name")
            yield NO_VOLUME.on(workload.manifest, *path, message=f"{dotted(path)}: {what} {name!r}{has}")


def _volumes(workload: Workload) -> Iterator[Finding]:
    """A volume without a source is an `emptyDir`; with two it is refused."""
    for index, volume in enumerate(mappings_at(workload.spec, "volumes")):
        sources = [key for key, value in volume.items() if key != "name" and value is not None]
        if len(sources) > 1 and _is_builtin(workload):
            where = (*workload.path, "spec", "volumes", index)
            message = f"{dotted(where)} has {' and '.join(sources)}"
            yield ONE_OF.on(workload.manifest, *where, message=message)


def _restarts(workload: Workload) -> Iterator[Finding]:
    manifest, policy = workload.manifest, text_at(workload.spec, "restartPolicy")
    if manifest.kind in ("Job", "CronJob") and workload.spec and policy not in ("OnFailure", "Never"):
        where = (*workload.path, "spec", "restartPolicy")
        said = f"{policy!r} is not allowed" if policy else "missing, and `Always` by default"
        message = f"{dotted(where)}: {said} in a {manifest.kind}"
        yield WRONG_RESTART.on(manifest, *where, message=message, hint="write `OnFailure` or `Never`")
    elif manifest.group == "apps" and policy not in ("", "Always"):
        where = (*workload.path, "spec", "restartPolicy")
        message = f"{dotted(where)}: {policy!r} is not allowed in a {manifest.kind}"
        yield WRONG_RESTART.on(manifest, *where, message=message, hint="take it out: `Always` is all there is")


def _exclusive(workload: Workload, container: Container) -> Iterator[Finding]:
    """Of several handlers or sources there must be exactly one."""
    body, path = container.body, container.path
    for probe in PROBES:
        if isinstance(at(body, probe), dict):
            yield from _one_of(workload, (*path, probe), _HANDLERS)
    for hook in ("postStart", "preStop"):
        if isinstance(at(body, "lifecycle", hook), dict):
            yield from _one_of(workload, (*path, "lifecycle", hook), _HOOKS)
    for index, variable in enumerate(mappings_at(body, "env")):
        if text_at(variable, "value") and mapping_at(variable, "valueFrom"):
            message = f"{text_at(variable, 'name')} has both `value` and `valueFrom`"
            yield ONE_OF.on(workload.manifest, *path, "env", index, message=message)
        elif isinstance(at(variable, "valueFrom"), dict):
            yield from _one_of(workload, (*path, "env", index, "valueFrom"), _SOURCES)
    for index in range(len(mappings_at(body, "envFrom"))):
        yield from _one_of(workload, (*path, "envFrom", index), _FROM)


def _one_of(workload: Workload, path: Path, names: Sequence[str]) -> Iterator[Finding]:
    body = mapping_at(workload.manifest.body, *path)
    found = [name for name in names if at(body, name) is not None]
    if len(found) != 1:
        said = f"has {' and '.join(found)}" if found else f"has none of {', '.join(names)}"
        hint = None if found else f"write one of {', '.join(names)}"
        yield ONE_OF.on(workload.manifest, *path, message=f"{dotted(path)} {said}", hint=hint)


def _together(workload: Workload, container: Container) -> Iterator[Finding]:
    """Fields of a container that exclude or need each other."""
    body, path, manifest = container.body, container.path, workload.manifest
    for probe in ("livenessProbe", "startupProbe"):
        if (whole_at(body, probe, "successThreshold") or 1) != 1:
            where = (*path, probe, "successThreshold")
            message = f"{dotted(where)}: must be 1 for this probe"
            yield WRONG_TOGETHER.on(manifest, *where, message=message, hint="take it out")
    if container.init and not container.sidecar:
        for field in (*PROBES, "lifecycle"):
            if at(body, field) is not None:
                message = f"{dotted((*path, field))}: an init container that ends has none"
                hint = "take it out, or write `restartPolicy: Always` to let the container stay"
                yield WRONG_TOGETHER.on(manifest, *path, field, message=message, hint=hint)
    security = mapping_at(body, "securityContext")
    if security.get("privileged") is True and security.get("allowPrivilegeEscalation") is False:
        where = (*path, "securityContext", "allowPrivilegeEscalation")
        yield WRONG_TOGETHER.on(manifest, *where, message=f"{dotted(where)}: false beside `privileged: true`")
    if workload.spec.get("hostNetwork") is True:
        yield from _host_network(workload, container)


def _host_network(workload: Workload, container: Container) -> Iterator[Finding]:
    for index, port in enumerate(mappings_at(container.body, "ports")):
        inner, outer = whole_at(port, "containerPort"), whole_at(port, "hostPort")
        if inner and outer and inner != outer:
            where = (*container.path, "ports", index, "hostPort")
            message = f"{dotted(where)}: with `hostNetwork` it must be {inner}, as the container's, and is {outer}"
            yield WRONG_TOGETHER.on(workload.manifest, *where, message=message)


def _scheduling(workload: Workload) -> Iterator[Finding]:
    """Tolerations, affinities and name servers."""
    manifest, spec = workload.manifest, (*workload.path, "spec")
    for index, toleration in enumerate(mappings_at(workload.spec, "tolerations")):
        if why := _wrong_toleration(toleration):
            where = (*spec, "tolerations", index)
            yield WRONG_TOGETHER.on(manifest, *where, message=f"{dotted(where)}: {why}")
    required = ("affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms")
    for index, term in enumerate(mappings_at(workload.spec, *required)):
        for place, expression in enumerate(mappings_at(term, "matchExpressions")):
            if why := wrong_expression(expression):
                where = (*spec, *required, index, "matchExpressions", place)
                yield WRONG_TOGETHER.on(manifest, *where, message=f"{dotted(where)}: {why}")
    if text_at(workload.spec, "dnsPolicy") == "None" and not list_at(workload.spec, "dnsConfig", "nameservers"):
        where = (*spec, "dnsPolicy")
        message = f"{dotted(where)}: `None` needs `dnsConfig.nameservers`"
        yield WRONG_TOGETHER.on(manifest, *where, message=message)


def _wrong_toleration(toleration: Body) -> str | None:
    operator = text_at(toleration, "operator")
    if operator == "Exists" and text_at(toleration, "value"):
        return "with `operator: Exists` there is no `value`"
    if not text_at(toleration, "key") and operator != "Exists":
        return "without a `key` the operator must be `Exists`"
    if at(toleration, "tolerationSeconds") is not None and text_at(toleration, "effect") != "NoExecute":
        return "`tolerationSeconds` needs `effect: NoExecute`"
    return None


def wrong_expression(expression: Body) -> str | None:
    """What is wrong with a requirement of a selector of labels or nodes."""
    operator, values = text_at(expression, "operator"), list_at(expression, "values")
    if operator in ("In", "NotIn") and not values:
        return f"`{operator}` needs `values`"
    if operator in ("Exists", "DoesNotExist") and values:
        return f"`{operator}` has no `values`"
    if operator in ("Gt", "Lt") and (len(values) != 1 or not str(values[0]).lstrip("-").isdigit()):
        return f"`{operator}` needs one value that is a whole number"
    return None


CHECKS = (check_pods,)
