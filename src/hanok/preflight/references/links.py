"""References of one object to another by kind and name: node classes, Flux sources, roles, queues, agents' tools.

A table says where which kind names which other; one walk follows them all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from hanok.preflight.case import Case
from hanok.preflight.findings import Finding, Rule
from hanok.preflight.makers import spots
from hanok.preflight.manifests import CLUSTER_WIDE, Manifest, Step, mapping_at, mappings_at, text_at
from hanok.preflight.references.uses import Use, follow, is_name, outside, together
from hanok.preflight.workloads import Workload

NO_ACCOUNT = Rule("HK206", "error", "a ServiceAccount that does not exist", "add it, in the pod's namespace")
NO_POD_CLASS = Rule(
    "HK207", "error", "a PriorityClass or RuntimeClass that does not exist", "add it, or take the name out"
)
NO_LOGIN = Rule("HK229", "error", "a TriggerAuthentication that does not exist", "add it beside the ScaledObject")
NO_NODE_CLASS = Rule(
    "HK241", "error", "a node class that does not exist", "add it, or name the one there is, with its group and kind"
)
IDLE_NODE_CLASS = Rule("HK242", "info", "a node class that no NodePool uses", "delete it, or name it in a NodePool")
NO_SOURCE = Rule(
    "HK243",
    "error",
    "a Flux source that does not exist",
    "add the HelmRepository, OCIRepository or GitRepository; without a namespace its own is meant",
)
NO_DEPENDENCY = Rule(
    "HK244", "error", "a `dependsOn` that names nothing", "name a release or Kustomization that there is"
)
NO_ROLE = Rule("HK245", "error", "a role or account of a binding that does not exist", "add it, or bind another")
NO_QUEUE = Rule("HK246", "error", "a queue that does not exist", "add the LocalQueue, ClusterQueue or ResourceFlavor")
NO_TOOL = Rule(
    "HK247", "error", "an agent's model, tool or memory that does not exist", "add it, in the agent's namespace"
)
NO_DEVICE = Rule(
    "HK248", "error", "a device class, claim or training runtime that does not exist", "add it, or name another"
)


@dataclass(frozen=True, kw_only=True)
class Link:
    """Where a kind names another. `path` leads to a mapping with `name`, or to the name itself.

    `target` is the kind that is meant where the mapping has no `kind`; only kinds in `among` are followed.
    """

    user: str
    path: str
    target: str
    rule: Rule
    so: str
    among: Sequence[str] = ()
    group: str = ""
    """The group of the user, where another has the same kind."""
    known: Sequence[str] = ()
    """Names that are there without a manifest."""


_SOURCES = ("HelmRepository", "OCIRepository", "GitRepository", "Bucket", "HelmChart", "ExternalArtifact")
_NODE_CLASSES = ("EC2NodeClass", "NodeClass", "AKSNodeClass", "GCENodeClass")
_BOOTSTRAPPED = ("GitRepository/flux-system", "OCIRepository/flux-system", "Bucket/flux-system")
"""What `flux bootstrap` makes."""
_LOGINS = ("TriggerAuthentication", "ClusterTriggerAuthentication")
_AGENT_TOOLS = ("RemoteMCPServer", "MCPServer", "ToolServer", "Agent", "Service")
_NO_CHART = "Flux finds no chart, and installs nothing"
_WAITS = "it waits for ever"
_NO_QUOTA = "its workloads stay suspended"
_NO_AGENT = "the agent is not accepted"
_ROLES = (
    "cluster-admin", "admin", "edit", "view", "system:auth-delegator", "extension-apiserver-authentication-reader",
)  # fmt: skip
_RUNTIMES = (
    "torch-distributed", "deepspeed-distributed", "mlx-distributed", "jax-distributed", "xgboost-distributed",
    "torchtune-llama3.2-1b", "torchtune-llama3.2-3b", "torchtune-qwen2.5-1.5b",
)  # fmt: skip
"""Runtimes that Kubeflow Trainer 2 brings."""

LINKS: Sequence[Link] = (
    Link(
        user="NodePool", path="spec.template.spec.nodeClassRef", target="EC2NodeClass", rule=NO_NODE_CLASS,
        so="Karpenter starts no node for this pool", among=_NODE_CLASSES, known=("NodeClass/default",),
    ),
    Link(
        user="HelmRelease", path="spec.chart.spec.sourceRef", target="HelmRepository", rule=NO_SOURCE, so=_NO_CHART,
        among=_SOURCES,
    ),
    Link(user="HelmRelease", path="spec.chartRef", target="OCIRepository", rule=NO_SOURCE, so=_NO_CHART,
         among=_SOURCES),
    Link(user="HelmChart", path="spec.sourceRef", target="HelmRepository", rule=NO_SOURCE, so=_NO_CHART,
         among=_SOURCES, group="source.toolkit.fluxcd.io"),
    Link(user="Kustomization", path="spec.sourceRef", target="GitRepository", rule=NO_SOURCE,
         so="Flux applies nothing", among=_SOURCES, known=_BOOTSTRAPPED),
    Link(user="HelmRelease", path="spec.dependsOn[]", target="HelmRelease", rule=NO_DEPENDENCY, so=_WAITS),
    Link(user="Kustomization", path="spec.dependsOn[]", target="Kustomization", rule=NO_DEPENDENCY, so=_WAITS),
    Link(user="RoleBinding", path="roleRef", target="Role", rule=NO_ROLE, so="it grants nothing",
         among=("Role", "ClusterRole"), known=_ROLES),
    Link(user="ClusterRoleBinding", path="roleRef", target="ClusterRole", rule=NO_ROLE, so="it grants nothing",
         known=_ROLES),
    Link(user="RoleBinding", path="subjects[]", target="", rule=NO_ROLE, so="it is granted to nobody",
         among=("ServiceAccount",)),
    Link(user="ClusterRoleBinding", path="subjects[]", target="", rule=NO_ROLE, so="it is granted to nobody",
         among=("ServiceAccount",)),
    Link(user="LocalQueue", path="spec.clusterQueue", target="ClusterQueue", rule=NO_QUEUE, so=_NO_QUOTA),
    Link(user="ClusterQueue", path="spec.resourceGroups[].flavors[]", target="ResourceFlavor", rule=NO_QUEUE,
         so=_NO_QUOTA),
    Link(user="ClusterQueue", path="spec.admissionChecksStrategy.admissionChecks[]", target="AdmissionCheck",
         rule=NO_QUEUE, so=_NO_QUOTA),
    Link(user="ResourceFlavor", path="spec.topologyName", target="Topology", rule=NO_QUEUE, so=_NO_QUOTA),
    Link(user="Agent", path="spec.declarative.modelConfig", target="ModelConfig", rule=NO_TOOL, so=_NO_AGENT),
    Link(user="Agent", path="spec.declarative.memory.modelConfig", target="ModelConfig", rule=NO_TOOL, so=_NO_AGENT),
    Link(user="Agent", path="spec.modelConfig", target="ModelConfig", rule=NO_TOOL, so=_NO_AGENT, group="kagent.dev"),
    Link(user="Agent", path="spec.memory[]", target="Memory", rule=NO_TOOL, so=_NO_AGENT, group="kagent.dev"),
    Link(user="Agent", path="spec.declarative.tools[].mcpServer", target="MCPServer", rule=NO_TOOL, so=_NO_AGENT,
         among=_AGENT_TOOLS),
    Link(user="Agent", path="spec.declarative.tools[].agent", target="Agent", rule=NO_TOOL, so=_NO_AGENT,
         among=("Agent",)),
    Link(user="Agent", path="spec.tools[].mcpServer.toolServer", target="ToolServer", rule=NO_TOOL, so=_NO_AGENT,
         group="kagent.dev"),
    Link(user="ScaledObject", path="spec.triggers[].authenticationRef", target="TriggerAuthentication", rule=NO_LOGIN,
         so="the trigger is never asked", among=_LOGINS),
    Link(user="ScaledJob", path="spec.triggers[].authenticationRef", target="TriggerAuthentication", rule=NO_LOGIN,
         so="the trigger is never asked", among=_LOGINS),
    Link(user="TrainJob", path="spec.runtimeRef", target="ClusterTrainingRuntime", rule=NO_DEVICE,
         so="the job is refused", among=("ClusterTrainingRuntime", "TrainingRuntime"), known=_RUNTIMES),
    Link(user="InferenceObjective", path="spec.poolRef", target="InferencePool", rule=NO_DEVICE, so="it means nothing",
         among=("InferencePool",)),
    Link(user="InferenceModelRewrite", path="spec.poolRef", target="InferencePool", rule=NO_DEVICE,
         so="it means nothing", among=("InferencePool",)),
)  # fmt: skip
_DRIVERS_CLASSES = (
    "gpu.nvidia.com", "mig.nvidia.com", "vfio.gpu.nvidia.com", "compute-domain-daemon.nvidia.com",
    "compute-domain-default-channel.nvidia.com",
)  # fmt: skip
"""Device classes that NVIDIA's DRA driver brings."""
_ALWAYS = ("system-cluster-critical", "system-node-critical")
_BY_INSTALLERS = ("nvidia", "nvidia-cdi", "nvidia-legacy", "gvisor", "runsc")
"""Runtime classes that node installers bring along."""


def check_links(case: Case) -> Iterator[Finding]:
    for link in LINKS:
        found = follow(case, _uses(case, link), link.rule, link.so, sure=link.rule is NO_SOURCE)
        yield from (replace(each, severity="warning") if _is_shared(each) else each for each in found)


def _is_shared(finding: Finding) -> bool:
    """ClusterRoles are brought by many, so one that is not here may well be there."""
    return finding.rule is NO_ROLE and finding.message.startswith("ClusterRole ")


def _uses(case: Case, link: Link) -> Iterator[Use]:
    for manifest in case.cluster.of(link.user):
        if not link.group or manifest.group == link.group:
            for path, found in spots(manifest.body, link.path):
                use = _use(manifest, path, found, link)
                if use is not None and not _is_known(use, link):
                    yield use


def _use(manifest: Manifest, path: tuple[Step, ...], found: object, link: Link) -> Use | None:
    if isinstance(found, str):
        return Use(manifest=manifest, path=path, kind=link.target, name=found, namespace=manifest.namespace)
    body = mapping_at(found)
    kind = text_at(body, "kind") or link.target
    if not kind or not text_at(body, "name") or (link.among and kind not in link.among):
        return None
    space = "" if kind in CLUSTER_WIDE else text_at(body, "namespace") or manifest.namespace
    return Use(manifest=manifest, path=path, kind=kind, name=text_at(body, "name"), namespace=space)


def _is_known(use: Use, link: Link) -> bool:
    name = use.name
    return name in link.known or f"{use.kind}/{name}" in link.known or name.startswith("system:")


def check_idle_node_classes(case: Case) -> Iterator[Finding]:
    """Only where there are NodePools: elsewhere they stand in other files."""
    pools = list(case.cluster.of("NodePool"))
    refs = [mapping_at(each.body, "spec", "template", "spec", "nodeClassRef") for each in pools]
    used = {(text_at(each, "kind"), text_at(each, "name")) for each in refs}
    for manifest in case.cluster.of("EC2NodeClass", "NodeClass"):
        if pools and (manifest.kind, manifest.name) not in used and is_name(manifest.name):
            yield IDLE_NODE_CLASS.on(manifest, "metadata", "name", message=f"no NodePool uses {manifest.title}")


def check_accounts(case: Case) -> Iterator[Finding]:
    uses = (use for each in case.workloads for use in _named_in_pod(each, "serviceAccountName", "ServiceAccount"))
    yield from follow(case, uses, NO_ACCOUNT, "no pod is made")


def check_pod_classes(case: Case) -> Iterator[Finding]:
    for key, kind, known in (
        ("priorityClassName", "PriorityClass", _ALWAYS), ("runtimeClassName", "RuntimeClass", ()),
    ):  # fmt: skip
        uses = (use for each in case.workloads for use in _named_in_pod(each, key, kind) if use.name not in known)
        ours = [use for use in uses if not _is_brought(case, use)]
        yield from follow(case, (use for use in ours if use.name not in _BY_INSTALLERS), NO_POD_CLASS, "no pod is made")
        yield from _of_installers(case, (use for use in ours if use.name in _BY_INSTALLERS))


def _of_installers(case: Case, uses: Iterable[Use]) -> Iterator[Finding]:
    """Names that come with a node's drivers: whoever gives only his application's manifests does not have them."""
    for users in together(uses):
        first = users[0]
        if case.inventory.standing(first.kind, first.name, "") in ("missing", "perhaps"):
            yield outside(case, first)


def _is_brought(case: Case, use: Use) -> bool:
    """NVIDIA's operator brings the runtime classes of its names."""
    operators = ("ClusterPolicy", "HelmRelease")
    return use.name in _BY_INSTALLERS and any(True for _ in case.cluster.of(*operators))


def _named_in_pod(workload: Workload, key: str, kind: str) -> Iterator[Use]:
    if name := text_at(workload.spec, key):
        space = "" if kind in CLUSTER_WIDE else workload.namespace
        path = (*workload.path, "spec", key)
        yield Use(manifest=workload.manifest, path=path, kind=kind, name=name, namespace=space)


def check_queues(case: Case) -> Iterator[Finding]:
    """`kueue.x-k8s.io/queue-name` on whatever Kueue holds back, where the tree has Kueue's objects at all."""
    if any(True for _ in case.cluster.of("LocalQueue", "ClusterQueue")):
        uses = (use for each in case.cluster.manifests for use in _queue(each))
        yield from follow(case, uses, NO_QUEUE, _NO_QUOTA)


def _queue(manifest: Manifest) -> Iterator[Use]:
    label, priority = "kueue.x-k8s.io/queue-name", "kueue.x-k8s.io/priority-class"
    where = ("metadata", "labels")
    for key, kind in ((label, "LocalQueue"), (priority, "WorkloadPriorityClass")):
        if name := manifest.labels.get(key):
            space = "" if kind in CLUSTER_WIDE else manifest.namespace
            yield Use(manifest=manifest, path=(*where, key), kind=kind, name=name, namespace=space)


def check_devices(case: Case) -> Iterator[Finding]:
    claims = (use for each in case.workloads for use in _claims(each))
    yield from follow(case, claims, NO_DEVICE, "the pod stays Pending")
    drivers = any(True for _ in case.cluster.of("HelmRelease", "GPUCluster", "ClusterPolicy"))
    known = _DRIVERS_CLASSES if drivers else ()
    classes = (use for each in _device_classes(case) for use in each if use.name not in known)
    used = list(classes)
    yield from follow(case, (use for use in used if use.name not in _DRIVERS_CLASSES), NO_DEVICE, "no device is given")
    yield from _of_installers(case, (use for use in used if use.name in _DRIVERS_CLASSES))


def _claims(workload: Workload) -> Iterator[Use]:
    for index, each in enumerate(mappings_at(workload.spec, "resourceClaims")):
        for key, kind in (
            ("resourceClaimTemplateName", "ResourceClaimTemplate"),
            ("resourceClaimName", "ResourceClaim"),
        ):
            if name := text_at(each, key):
                path = (*workload.path, "spec", "resourceClaims", index, key)
                yield Use(manifest=workload.manifest, path=path, kind=kind, name=name, namespace=workload.namespace)


def _device_classes(case: Case) -> Iterator[list[Use]]:
    for kind, where in (("ResourceClaimTemplate", "spec.spec"), ("ResourceClaim", "spec")):
        for manifest in case.cluster.of(kind):
            for middle in ("exactly.deviceClassName", "deviceClassName", "firstAvailable[].deviceClassName"):
                found = spots(manifest.body, f"{where}.devices.requests[].{middle}")
                yield [
                    Use(manifest=manifest, path=path, kind="DeviceClass", name=name)
                    for path, name in found
                    if isinstance(name, str)
                ]


def check_node_class_groups(case: Case) -> Iterator[Finding]:
    """A node class of the name and kind there is, of another group than is meant."""
    for pool in case.cluster.of("NodePool"):
        where = ("spec", "template", "spec", "nodeClassRef")
        ref = mapping_at(pool.body, *where)
        group = text_at(ref, "group")
        found = case.inventory.named(text_at(ref, "kind"), text_at(ref, "name"), "")
        if found and group and group not in {each.group for each in found}:
            message = f"{found[0].title} is of the group `{found[0].group}`, not `{group}`"
            yield NO_NODE_CLASS.on(pool, *where, "group", message=message)


CHECKS = (
    check_links, check_idle_node_classes, check_node_class_groups, check_accounts, check_pod_classes, check_queues,
    check_devices,
)  # fmt: skip
