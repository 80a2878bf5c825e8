"""The disks that pods get on AWS when they ask for none in particular: gp3, encrypted. EKS brings no default since 1.30.

Elsewhere the cluster has its own default.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from hanok.kubernetes.component import Component, Piece, Placed
from hanok.kubernetes.objects import labels, thing
from hanok.kubernetes.plan import ClusterPlan

NAME, CLASS = "disks", "gp3"
PROVISIONERS: Mapping[str, str] = {"eks": "ebs.csi.aws.com", "eks-auto": "ebs.csi.eks.amazonaws.com"}


def render(plan: ClusterPlan) -> Iterator[Piece]:
    """One StorageClass, the default; a disk is made in the zone of its pod."""
    body = thing(
        "storage.k8s.io/v1", "StorageClass", CLASS, labels=labels(CLASS, NAME),
        annotations={"storageclass.kubernetes.io/is-default-class": "true"},
        provisioner=PROVISIONERS[plan.target],
        parameters={"type": "gp3", "encrypted": "true"},
        volumeBindingMode="WaitForFirstConsumer",
        allowVolumeExpansion=True,
        reclaimPolicy="Delete",
    )  # fmt: skip
    yield Placed(stage="configs", folder=NAME, body=body)


def notes(plan: ClusterPlan) -> Iterator[str]:
    """Who makes the disks."""
    if plan.target == "eks":
        yield "the EKS add-on aws-ebs-csi-driver must run, with its IAM role: it makes the disks"
    elif not plan.on_aws:
        yield "the cluster must have a default StorageClass: databases and gateways keep disks"


COMPONENT = Component(
    name=NAME, wanted=lambda _: True, adapters={"": lambda plan: render(plan) if plan.on_aws else iter(())}, notes=notes
)
