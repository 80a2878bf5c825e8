"""Checks of what a cluster needs to stay fair and well: requests, limits, probes, quotas, policies, ends of jobs."""

from __future__ import annotations

from collections.abc import Iterator

from hanok.preflight.case import Case
from hanok.preflight.findings import Finding, Rule
from hanok.preflight.manifests import Manifest, at, mapping_at, text_at
from hanok.preflight.quantities import CPU, MEMORY
from hanok.preflight.workloads import Container, Workload

NOT_READY = Rule(
    "HK624",
    "info",
    "no readiness probe behind a Service",
    "add a `readinessProbe`: calls come to a pod that does not answer yet",
)
BARE_NAMESPACE = Rule(
    "HK625",
    "info",
    "a namespace without walls",
    "add a ResourceQuota, so that none takes all GPUs, and a NetworkPolicy, so that not every pod reaches every engine",
)
AS_ROOT = Rule(
    "HK626",
    "info",
    "pods that may run as root",
    "`securityContext: {runAsNonRoot: true, allowPrivilegeEscalation: false}`",
)
NO_REQUESTS = Rule(
    "HK627",
    "warning",
    "pods that ask for no CPU or memory",
    "set `resources.requests` of cpu and memory: the scheduler sees an empty pod, and it is the first to be evicted",
)
NO_LIMIT = Rule(
    "HK628",
    "info",
    "no limit of memory",
    "set `resources.limits.memory`: a leak takes the whole node along",
)
OVERLAP = Rule(
    "HK629",
    "info",
    "GPU jobs that may overlap",
    "`concurrencyPolicy: Forbid`: the next run would take further GPUs while the last one still runs",
)
ENDLESS = Rule(
    "HK630",
    "info",
    "a job without an end",
    "set `activeDeadlineSeconds` against hanging, and `ttlSecondsAfterFinished` so that it is cleared away",
)
_SYSTEM = ("kube-system", "kube-public", "kube-node-lease")
_WALLS = ("NetworkPolicy", "CiliumNetworkPolicy", "AdminNetworkPolicy", "CiliumClusterwideNetworkPolicy")
_QUOTAS = ("ResourceQuota", "ClusterQueue", "LocalQueue")


def check_readiness(case: Case) -> Iterator[Finding]:
    for workload in case.workloads:
        if not case.serving.is_served(workload) or case.serving.engine(workload):
            continue
        if not any(mapping_at(each.body, "readinessProbe") for each in workload.containers):
            message = "a Service sends it calls as soon as its process runs"
            yield NOT_READY.on(workload.manifest, *workload.path, "spec", "containers", message=message)


def check_namespaces(case: Case) -> Iterator[Finding]:
    """Each namespace once, at its Namespace, else at the first of its workloads."""
    first: dict[str, Manifest] = {}
    for workload in case.workloads:
        if workload.namespace not in _SYSTEM:
            first.setdefault(workload.namespace, workload.manifest)
    for name, manifest in first.items():
        missing = [
            what
            for what, kinds in (("NetworkPolicy", _WALLS), ("ResourceQuota", _QUOTAS))
            if not _has(case, name, kinds)
        ]
        if missing:
            where = case.cluster.find("Namespace", name) or manifest
            yield BARE_NAMESPACE.on(where, message=f"namespace {name} has no {' and no '.join(missing)}")


def _has(case: Case, namespace: str, kinds: tuple[str, ...]) -> bool:
    return any(each.namespace == namespace or not each.namespace for each in case.cluster.of(*kinds))


def check_root(case: Case) -> Iterator[Finding]:
    for workload in case.workloads:
        spec = workload.spec
        bare = [each.name for each in workload.containers if not _is_tied(each)]
        if bare and not _sets_user(mapping_at(spec, "securityContext")):
            message = f"nothing says that container {bare[0]} does not run as root"
            yield AS_ROOT.on(workload.manifest, *workload.path, "spec", message=message)


def _is_tied(container: Container) -> bool:
    """Whether it says whom it runs as, or that it needs all rights, as drivers do."""
    context = mapping_at(container.body, "securityContext")
    return context.get("privileged") is True or _sets_user(context)


def _sets_user(context: object) -> bool:
    return at(context, "runAsNonRoot") is True or bool(at(context, "runAsUser"))


def check_requests(case: Case) -> Iterator[Finding]:
    for workload in case.workloads:
        if not workload.containers or _has_defaults(case, workload) or mapping_at(workload.spec, "resources"):
            continue
        if not any(CPU in each.requests or MEMORY in each.requests for each in workload.containers):
            message = "no container asks for CPU or memory"
            yield NO_REQUESTS.on(workload.manifest, *workload.path, "spec", "containers", message=message)


def _has_defaults(case: Case, workload: Workload) -> bool:
    """Whether its namespace gives requests and limits to those who have none."""
    return any(each.namespace == workload.namespace for each in case.cluster.of("LimitRange"))


def check_limits(case: Case) -> Iterator[Finding]:
    for workload in case.workloads:
        without = [each.name for each in workload.containers if MEMORY not in each.limits]
        asked = any(MEMORY in each.requests for each in workload.containers)
        if (
            asked
            and without
            and not _has_defaults(case, workload)
            and not mapping_at(workload.spec, "resources", "limits")
        ):
            message = f"container {without[0]} may take all memory of its node"
            yield NO_LIMIT.on(workload.manifest, *workload.path, "spec", "containers", message=message)


def check_overlap(case: Case) -> Iterator[Finding]:
    for workload in case.workloads:
        manifest = workload.manifest
        allowed = text_at(manifest.body, "spec", "concurrencyPolicy") in ("", "Allow")
        if manifest.kind == "CronJob" and workload.gpus and allowed:
            message = f"a run that takes longer than the schedule doubles its {workload.gpus} GPUs"
            yield OVERLAP.on(manifest, "spec", "concurrencyPolicy", message=message)


def check_ends(case: Case) -> Iterator[Finding]:
    for workload in case.workloads:
        manifest, where = workload.manifest, workload.path[:-1]
        if manifest.kind not in ("Job", "CronJob") or manifest.group != "batch":
            continue
        spec = mapping_at(manifest.body, *where)
        missing = [key for key in _ends(manifest) if key not in spec]
        if missing:
            yield ENDLESS.on(manifest, *where, message=f"has no {' and no '.join(f'`{key}`' for key in missing)}")


def _ends(manifest: Manifest) -> tuple[str, ...]:
    """A CronJob clears its jobs away by itself."""
    deadline = "activeDeadlineSeconds"
    return (deadline, "ttlSecondsAfterFinished") if manifest.kind == "Job" else (deadline,)


CHECKS = (
    check_readiness,
    check_namespaces,
    check_root,
    check_requests,
    check_limits,
    check_overlap,
    check_ends,
)
