"""Disks and file systems: the class of all volumes, and those that many machines share, with their drivers.

On other clusters there are classes already: nothing is rendered for them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hanok.errors import Problem
from hanok.kubernetes.component import Body, Chart, Component, Piece, Placed
from hanok.kubernetes.notes import AddOn, Known, Role, Told
from hanok.kubernetes.objects import labels, thing
from hanok.kubernetes.places import DISK_CLASS, EFS_CLASS, FSX_CLASS, JOBS
from hanok.kubernetes.plan import ClusterPlan

NAME = "storage"
SPACE = "kube-system"
EFS_DRIVER, FSX_DRIVER = "efs-csi-driver", "fsx-csi-driver"
DEFAULT = "storageclass.kubernetes.io/is-default-class"
SHARED = "shared"
"""The volume of all jobs."""


def render(plan: ClusterPlan) -> Iterator[Piece]:
    """The class of disks; and what of file systems is used."""
    yield Placed(stage="nodes", folder=NAME, body=_disks(plan))
    if uses_efs(plan):
        yield Chart(chart=EFS_DRIVER, release=EFS_DRIVER, namespace=SPACE)
        yield Placed(stage="configs", folder=NAME, body=_efs(plan))
    if uses_fsx(plan):
        yield Chart(chart=FSX_DRIVER, release=FSX_DRIVER, namespace=SPACE, values=_fsx_values(plan))
        yield Placed(stage="configs", folder=NAME, body=_fsx(plan))
    if plan.cluster.jobs.fsx_gib:
        yield Placed(stage="apps", folder=JOBS, body=_of_jobs(plan.cluster.jobs.fsx_gib))


def _fsx_values(plan: ClusterPlan) -> Body:
    """A new Lustre belongs to root: by `File` the kubelet gives it to a pod's `fsGroup`, as engines need, which are not
    root; by default it leaves volumes that many nodes write as they are. And the region, for pods on our machines
    cannot ask the metadata service."""
    return {"csidriver": {"fsGroupPolicy": "File"}, "controller": {"region": plan.cluster.region}}


def uses_efs(plan: ClusterPlan) -> bool:
    """Whether weights are on EFS, in a class of ours."""
    serving = plan.cluster.serving
    return serving.weights == "efs" and serving.storage_class is None and plan.needs_gpus


def uses_fsx(plan: ClusterPlan) -> bool:
    """Whether weights, or what jobs share, are on FSx for Lustre, in a class of ours."""
    serving = plan.cluster.serving
    weights = serving.weights == "fsx" and serving.storage_class is None and plan.needs_gpus
    return weights or plan.cluster.jobs.fsx_gib is not None


def _disks(plan: ClusterPlan) -> Body:
    """A disk stays when its claim goes: what is pruned by mistake is not lost. It is made where its pod stands."""
    return _class(
        DISK_CLASS,
        "ebs.csi.eks.amazonaws.com" if plan.target == "eks-auto" else "ebs.csi.aws.com",
        {"type": "gp3", "encrypted": "true"},
        "WaitForFirstConsumer",
        annotations={DEFAULT: "true"},
        allowVolumeExpansion=True,
    )


def _efs(plan: ClusterPlan) -> Body:
    """Each volume is an access point, with a user of its own who is not root."""
    given = {"provisioningMode": "efs-ap", "fileSystemId": plan.cluster.storage.efs or "", "directoryPerms": "700"}
    return _class(EFS_CLASS, "efs.csi.aws.com", given, "Immediate", mountOptions=["tls"])


def _fsx(plan: ClusterPlan) -> Body:
    lustre = plan.cluster.storage.fsx
    assert lustre is not None, "refused before"
    given = {
        "subnetId": lustre.subnet,
        "securityGroupIds": ",".join(lustre.security_groups),
        "deploymentType": "PERSISTENT_2",
        "perUnitStorageThroughput": lustre.mib_s_per_tib,
        "fileSystemTypeVersion": "2.15",
    }
    return _class(FSX_CLASS, "fsx.csi.aws.com", given, "Immediate", mountOptions=["flock"])


def _class(name: str, driver: str, given: dict[str, str], bound: str, **more: Any) -> Body:
    return thing(
        "storage.k8s.io/v1", "StorageClass", name, labels=labels(name, NAME), provisioner=driver, parameters=given,
        reclaimPolicy="Retain", volumeBindingMode=bound, **more,
    )  # fmt: skip


def _of_jobs(gib: int) -> Body:
    spec = {
        "accessModes": ["ReadWriteMany"],
        "storageClassName": FSX_CLASS,
        "resources": {"requests": {"storage": f"{gib}Gi"}},
    }
    return thing("v1", "PersistentVolumeClaim", SHARED, JOBS, labels=labels(SHARED, NAME), spec=spec)


def refuse(plan: ClusterPlan) -> Iterator[Problem]:
    """File systems that are used and of which nothing is said."""
    place = ("cluster", "serving", "weights")
    if uses_efs(plan) and plan.cluster.storage.efs is None:
        hint = "name it as `cluster.storage.efs`, or a class that is there as `cluster.serving.storage_class`"
        yield plan.written.problem(place, "weights are on EFS, and no file system is named", hint)
    if uses_fsx(plan) and plan.cluster.storage.fsx is None:
        used = ("cluster", "jobs", "fsx_gib") if plan.cluster.jobs.fsx_gib else place
        hint = "write `cluster.storage.fsx: {subnet: subnet-…, security_groups: [sg-…]}`"
        yield plan.written.problem(used, "FSx for Lustre is used, and its subnet is not known", hint)


def notes(plan: ClusterPlan) -> Iterator[Told]:
    """Roles of drivers, and what stays."""
    if plan.target == "eks":
        yield AddOn(name="aws-ebs-csi-driver")
    for wanted, driver, policy in (
        (uses_efs(plan), "efs", "service-role/AmazonEFSCSIDriverPolicy"),
        (uses_fsx(plan), "fsx", "AmazonFSxFullAccess"),
    ):
        if wanted:
            yield Role(
                name=f"{plan.cluster.name}-{driver}-driver",
                accounts=(f"{SPACE}/{driver}-csi-controller-sa",),
                why="make volumes on " + ("EFS" if driver == "efs" else "FSx for Lustre"),
                grants=(),
                annotated=False,
                policies=(f"arn:aws:iam::aws:policy/{policy}",),
            )
    yield Known(f"volumes of the class {DISK_CLASS} stay, and cost, when their claims are deleted")


COMPONENT = Component(
    name=NAME, wanted=lambda plan: plan.on_aws, adapters={"": render}, refuse=refuse, notes=notes
)  # fmt: skip
