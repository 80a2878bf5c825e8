"""What the API server asks of single kinds besides their schemas: selectors, Services, claims, autoscalers.

Source: pkg/apis/{apps,core,autoscaling,policy,rbac,networking}/validation of Kubernetes 1.37.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from hanok.preflight.case import Case
from hanok.preflight.findings import Finding, Rule, dotted
from hanok.preflight.manifests import (
    Manifest,
    Step,
    at,
    labels_at,
    list_at,
    mapping_at,
    mappings_at,
    selects,
    text_at,
    whole_at,
)
from hanok.preflight.schema.pods import NAMED_TWICE, WRONG_TOGETHER, wrong_expression
from hanok.preflight.wording import labelled

OTHER_PODS = Rule(
    "HK121",
    "error",
    "a selector that does not select its own pods",
    "write the selector's labels into `spec.template.metadata.labels`",
)
WRONG_SERVICE = Rule("HK131", "error", "a Service whose ports are incomplete", "write what is missing")
NOT_ENOUGH = Rule("HK135", "error", "an object without what its kind needs", "write what is missing")

Path = tuple[Step, ...]
_SELECTING = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet")
_TLS = ("tls.crt", "tls.key")


def check_selectors(case: Case) -> Iterator[Finding]:
    """What makes pods must find them again."""
    for manifest in case.cluster.of(*_SELECTING, group="apps"):
        if not isinstance(at(manifest.body, "spec", "selector"), dict):
            continue  # the schema says it
        selector = mapping_at(manifest.body, "spec", "selector")
        labels = labels_at(manifest.body, "spec", "template", "metadata", "labels")
        if not mapping_at(selector, "matchLabels") and not list_at(selector, "matchExpressions"):
            yield OTHER_PODS.on(
                manifest, "spec", "selector", message="spec.selector is empty", hint="write `matchLabels`"
            )
        elif not selects(selector, labels):
            wanted = labelled(labels_at(selector, "matchLabels")) or "what its expressions say"
            message = f"spec.selector wants {wanted}, and the pods have {labelled(labels) or 'no labels'}"
            yield OTHER_PODS.on(manifest, "spec", "selector", message=message)


def check_expressions(case: Case) -> Iterator[Finding]:
    """Requirements of label selectors."""
    for manifest in case.cluster.of(*_SELECTING, "PodDisruptionBudget", "NetworkPolicy", "Job"):
        for path in (("spec", "selector"), ("spec", "podSelector")):
            where: Path = (*path, "matchExpressions")
            for index, expression in enumerate(mappings_at(manifest.body, *where)):
                if why := wrong_expression(expression):
                    place = (*where, index)
                    yield WRONG_TOGETHER.on(manifest, *place, message=f"{dotted(place)}: {why}")


def check_objects(case: Case) -> Iterator[Finding]:
    """The kinds that have questions of their own."""
    for kind, ask in _QUESTIONS.items():
        group, _, name = kind.rpartition("/")
        for manifest in case.cluster.of(name, group=group):
            yield from ask(manifest)


def _service(manifest: Manifest) -> Iterator[Finding]:
    spec = mapping_at(manifest.body, "spec")
    kind, ports = text_at(spec, "type") or "ClusterIP", mappings_at(spec, "ports")
    if kind == "ExternalName":
        if not text_at(spec, "externalName"):
            yield WRONG_SERVICE.on(manifest, "spec", message="`type: ExternalName` needs `externalName`")
        return
    headless = spec.get("clusterIP") == "None"
    if not ports and not headless:
        yield WRONG_SERVICE.on(manifest, "spec", "ports", message="spec.ports: required and missing")
    if headless and kind in ("NodePort", "LoadBalancer"):
        message = f"`clusterIP: None` and `type: {kind}` exclude each other"
        yield WRONG_TOGETHER.on(manifest, "spec", "clusterIP", message=message)
    for index, port in enumerate(ports):
        if len(ports) > 1 and not text_at(port, "name"):
            message = f"spec.ports[{index}] has no name; of {len(ports)} ports each needs one"
            yield WRONG_SERVICE.on(manifest, "spec", "ports", index, message=message, hint="write `name`")
    yield from _ports_twice(manifest)


def _ports_twice(manifest: Manifest) -> Iterator[Finding]:
    seen: set[str] = set()
    for index, port in enumerate(mappings_at(manifest.body, "spec", "ports")):
        number, protocol = whole_at(port, "port"), text_at(port, "protocol") or "TCP"
        for mark in (f"the name {text_at(port, 'name')!r}", f"the port {number} {protocol}"):
            if mark in seen and "''" not in mark and "None" not in mark:
                message = f"spec.ports[{index}] has {mark}, as one before"
                yield NAMED_TWICE.on(manifest, "spec", "ports", index, message=message)
            seen.add(mark)


def _deployment(manifest: Manifest) -> Iterator[Finding]:
    strategy = mapping_at(manifest.body, "spec", "strategy")
    rolling = mapping_at(strategy, "rollingUpdate")
    if text_at(strategy, "type") == "Recreate" and rolling:
        message = "spec.strategy: `rollingUpdate` beside `type: Recreate`"
        yield WRONG_TOGETHER.on(manifest, "spec", "strategy", "rollingUpdate", message=message)
    if all(at(rolling, key) in (0, "0", "0%") for key in ("maxSurge", "maxUnavailable")):
        message = "spec.strategy: `maxSurge` and `maxUnavailable` are both 0, so nothing could ever be replaced"
        yield WRONG_TOGETHER.on(manifest, "spec", "strategy", "rollingUpdate", message=message)


def _job(manifest: Manifest) -> Iterator[Finding]:
    spec = mapping_at(manifest.body, "spec")
    if text_at(spec, "completionMode") == "Indexed" and whole_at(spec, "completions") is None:
        message = "spec: `completionMode: Indexed` needs `completions`"
        yield WRONG_TOGETHER.on(manifest, "spec", "completionMode", message=message)


def _autoscaler(manifest: Manifest) -> Iterator[Finding]:
    least, most = whole_at(manifest.body, "spec", "minReplicas"), whole_at(manifest.body, "spec", "maxReplicas")
    if most is not None and (1 if least is None else least) > most:
        message = f"spec: `minReplicas` {1 if least is None else least} is more than `maxReplicas` {most}"
        yield WRONG_TOGETHER.on(manifest, "spec", "maxReplicas", message=message)


def _budget(manifest: Manifest) -> Iterator[Finding]:
    spec = mapping_at(manifest.body, "spec")
    if at(spec, "minAvailable") is not None and at(spec, "maxUnavailable") is not None:
        message = "spec: `minAvailable` and `maxUnavailable` exclude each other"
        yield WRONG_TOGETHER.on(manifest, "spec", "maxUnavailable", message=message)


def _claim(manifest: Manifest) -> Iterator[Finding]:
    yield from _claimed(manifest, ("spec",))


def _stateful(manifest: Manifest) -> Iterator[Finding]:
    for index in range(len(mappings_at(manifest.body, "spec", "volumeClaimTemplates"))):
        yield from _claimed(manifest, ("spec", "volumeClaimTemplates", index, "spec"))


def _claimed(manifest: Manifest, path: Path) -> Iterator[Finding]:
    spec = mapping_at(manifest.body, *path)
    modes = list_at(spec, "accessModes")
    if not modes:
        where = (*path, "accessModes")
        yield NOT_ENOUGH.on(manifest, *where, message=f"{dotted(where)}: required and missing")
    if at(spec, "resources", "requests", "storage") is None:
        where = (*path, "resources", "requests", "storage")
        yield NOT_ENOUGH.on(manifest, *where, message=f"{dotted(where)}: required and missing")
    if "ReadWriteOncePod" in modes and len(modes) > 1:
        where = (*path, "accessModes")
        yield WRONG_TOGETHER.on(manifest, *where, message=f"{dotted(where)}: `ReadWriteOncePod` stands alone")


def _binding(manifest: Manifest) -> Iterator[Finding]:
    for index, subject in enumerate(mappings_at(manifest.body, "subjects")):
        if text_at(subject, "kind") == "ServiceAccount" and not text_at(subject, "namespace"):
            message = f"subjects[{index}]: a ServiceAccount needs its `namespace`"
            yield NOT_ENOUGH.on(manifest, "subjects", index, message=message)


def _ingress(manifest: Manifest) -> Iterator[Finding]:
    for number, rule in enumerate(mappings_at(manifest.body, "spec", "rules")):
        for index, path in enumerate(mappings_at(rule, "http", "paths")):
            if text_at(path, "pathType") in ("Exact", "Prefix") and not text_at(path, "path").startswith("/"):
                where = ("spec", "rules", number, "http", "paths", index)
                message = f"{dotted(where)}: a path of type {text_at(path, 'pathType')} begins with `/`"
                yield WRONG_TOGETHER.on(manifest, *where, message=message)


def _secret(manifest: Manifest) -> Iterator[Finding]:
    if text_at(manifest.body, "type") == "kubernetes.io/tls":
        keys = {*mapping_at(manifest.body, "data"), *mapping_at(manifest.body, "stringData")}
        for key in _TLS:
            if key not in keys:
                yield NOT_ENOUGH.on(manifest, "type", message=f"a Secret of this type needs the key {key!r}")


def _definition(manifest: Manifest) -> Iterator[Finding]:
    spec = mapping_at(manifest.body, "spec")
    plural, group = text_at(spec, "names", "plural"), text_at(spec, "group")
    if plural and group and manifest.name != f"{plural}.{group}":
        message = f"metadata.name: must be {plural}.{group}, and is {manifest.name}"
        yield WRONG_TOGETHER.on(manifest, "metadata", "name", message=message)


_QUESTIONS: Mapping[str, Callable[[Manifest], Iterator[Finding]]] = {
    "/Service": _service,
    "/PersistentVolumeClaim": _claim,
    "/Secret": _secret,
    "apiextensions.k8s.io/CustomResourceDefinition": _definition,
    "apps/Deployment": _deployment,
    "apps/StatefulSet": _stateful,
    "batch/Job": _job,
    "autoscaling/HorizontalPodAutoscaler": _autoscaler,
    "policy/PodDisruptionBudget": _budget,
    "networking.k8s.io/Ingress": _ingress,
    "rbac.authorization.k8s.io/RoleBinding": _binding,
    "rbac.authorization.k8s.io/ClusterRoleBinding": _binding,
}
"""By group and kind."""

CHECKS = (check_selectors, check_expressions, check_objects)
