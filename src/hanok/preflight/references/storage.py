"""Claims that pods mount, the classes that serve them, and how many nodes may mount one at once."""

from __future__ import annotations

from collections.abc import Iterator

from hanok.preflight.case import Case
from hanok.preflight.findings import Finding, Rule
from hanok.preflight.makers import spots
from hanok.preflight.manifests import Manifest, at, mapping_at, mappings_at, text_at, texts_at
from hanok.preflight.references.uses import Use, and_others, follow, is_name, together
from hanok.preflight.workloads import Workload

NO_CLAIM = Rule(
    "HK204",
    "error",
    "a PersistentVolumeClaim that does not exist",
    "add the claim, in the same namespace",
)
ONE_NODE = Rule(
    "HK205",
    "error",
    "a claim of one node, for pods on several",
    "use `ReadWriteMany` with a class that has it (EFS, FSx for Lustre), `ReadOnlyMany`, or a StatefulSet's "
    "volumeClaimTemplates",
)
NO_CLASS = Rule(
    "HK208",
    "warning",
    "a StorageClass that nothing here defines",
    "look whether the cluster has it: `kubectl get storageclass`",
    open=True,
)
WELL_KNOWN = frozenset({
    "gp2", "standard", "standard-rwo", "premium-rwo", "standard-rwx", "premium-rwx", "default", "managed-csi",
    "managed-csi-premium", "azurefile-csi", "azurefile-csi-premium", "local-path", "hostpath", "do-block-storage",
})  # fmt: skip
"""Classes that clusters are born with: EKS, GKE, AKS, DigitalOcean, kind, k3s, Docker Desktop."""
_TEMPLATES = ("spec", "volumeClaimTemplates")
_NODE_LOCAL = ("local-path", "hostpath", "openebs-hostpath", "local-storage")
"""Classes whose volumes keep every pod on their one node by themselves."""


def check_claims(case: Case) -> Iterator[Finding]:
    uses = (use for workload in case.workloads for use in claims(workload))
    yield from follow(case, uses, NO_CLAIM, "the pod stays Pending")


def claims(workload: Workload) -> Iterator[Use]:
    """The claims that a pod names. A StatefulSet's own take the place of volumes of the same name."""
    own = {text_at(each, "metadata", "name") for each in mappings_at(workload.manifest.body, *_TEMPLATES)}
    for index, volume in enumerate(mappings_at(workload.spec, "volumes")):
        name = text_at(volume, "persistentVolumeClaim", "claimName")
        if name and text_at(volume, "name") not in own:
            yield Use(
                manifest=workload.manifest,
                path=(*workload.path, "spec", "volumes", index, "persistentVolumeClaim", "claimName"),
                kind="PersistentVolumeClaim",
                name=name,
                namespace=workload.namespace,
            )


def check_access_modes(case: Case) -> Iterator[Finding]:
    for workload in case.workloads:
        if workload.most > 1 or workload.per_node:
            for use in claims(workload):
                claim = case.cluster.find(use.kind, use.name, use.namespace)
                if claim is not None and _holds_one(claim, workload):
                    yield _one_node(workload, use, claim)


def _holds_one(claim: Manifest, workload: Workload) -> bool:
    modes = set(texts_at(claim.body, "spec", "accessModes"))
    if modes == {"ReadWriteOncePod"}:
        return True
    local = text_at(claim.body, "spec", "storageClassName") in _NODE_LOCAL
    return modes == {"ReadWriteOnce"} and not local and not _kept_together(workload)


def _kept_together(workload: Workload) -> bool:
    """Whether its pods must stand on one node."""
    if any(key in mapping_at(workload.spec, "nodeSelector") for key in ("kubernetes.io/hostname",)):
        return True
    terms = mappings_at(workload.spec, "affinity", "podAffinity", "requiredDuringSchedulingIgnoredDuringExecution")
    return any(text_at(each, "topologyKey") == "kubernetes.io/hostname" for each in terms)


def _one_node(workload: Workload, use: Use, claim: Manifest) -> Finding:
    count = "one pod on each node" if workload.per_node else f"up to {workload.most} pods"
    sure = workload.per_node or workload.replicas > 1 or workload.least > 1
    mode = texts_at(claim.body, "spec", "accessModes")[0]
    message = f"{count} of {workload.title} mount {claim.title}, which is {mode}: those on other nodes do not start"
    return use.say(ONE_NODE, message, severity="error" if sure else "warning")


def check_classes(case: Case) -> Iterator[Finding]:
    for users in together(_class_uses(case)):
        first = users[0]
        if case.inventory.standing("StorageClass", first.name, "") in ("missing", "perhaps"):
            known = first.name in WELL_KNOWN
            what = "is one that some clusters are born with" if known else "is not in these files"
            message = f"StorageClass {first.name} {what}{and_others(users)}: without it claims stay Pending"
            severity = "info" if known else None
            yield first.say(NO_CLASS, message, severity=severity)


def _class_uses(case: Case) -> Iterator[Use]:
    for manifest in case.cluster.of("PersistentVolumeClaim"):
        if not text_at(manifest.body, "spec", "volumeName"):
            yield from _class_of(manifest, "spec.storageClassName")
    for manifest in case.cluster.of("StatefulSet"):
        yield from _class_of(manifest, "spec.volumeClaimTemplates[].spec.storageClassName")
    for workload in case.workloads:
        for path, _ in spots(workload.template, "spec.volumes[].ephemeral.volumeClaimTemplate.spec"):
            where = (*workload.path, *path, "storageClassName")
            name = at(workload.manifest.body, *where)
            if isinstance(name, str) and is_name(name):
                yield Use(manifest=workload.manifest, path=where, kind="StorageClass", name=name)


def _class_of(manifest: Manifest, pattern: str) -> Iterator[Use]:
    for path, name in spots(manifest.body, pattern):
        if isinstance(name, str):
            yield Use(manifest=manifest, path=path, kind="StorageClass", name=name)


CHECKS = (check_claims, check_access_modes, check_classes)
