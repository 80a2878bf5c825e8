"""Rights in the cloud: a pod has them by its ServiceAccount, which names an IAM role. No key is kept anywhere. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hanok.errors import Problem
from hanok.kubernetes.component import Body
from hanok.kubernetes.notes import Bucket, Grant, Role, Told
from hanok.kubernetes.objects import labels, thing
from hanok.kubernetes.plan import ClusterPlan
from hanok.spec.nodes import Place

ROLE = "eks.amazonaws.com/role-arn"


def role_of(plan: ClusterPlan, purpose: str, declared: str | None = None) -> str | None:
    """The ARN of the role for a purpose: as declared, else `CLUSTER-PURPOSE` of the account, where that is told."""
    account, name = plan.cluster.account, f"{plan.cluster.name}-{purpose}"
    return declared or (f"arn:aws:iam::{account}:role/{name}" if account else None)


def asked(
    plan: ClusterPlan, purpose: str, account: str, why: str, grants: Sequence[Grant], declared: str | None = None
) -> Role:
    """What a person must do for a role: `account` is the ServiceAccount, as `hanok/hanok`."""
    arn = role_of(plan, purpose, declared)
    name = arn.rpartition("/")[2] if arn else f"{plan.cluster.name}-{purpose}"
    return Role(name=name, accounts=(account,), why=why, grants=tuple(grants), annotated=arn is not None)


def account_with(role: str | None, name: str, namespace: str, component: str) -> Body:
    """A ServiceAccount, with a role's rights where one is named. Its pods get no token for the API server by it."""
    return thing(
        "v1", "ServiceAccount", name, namespace, labels=labels(name, component),
        annotations={ROLE: role} if role else None, automountServiceAccountToken=False,
    )  # fmt: skip


def refuse_bucket(plan: ClusterPlan, bucket: str | None, role: str | None, place: Place) -> Iterator[Problem]:
    """A bucket that nobody could reach: no role is known, or the cluster's nodes are not AWS's."""
    if bucket is None:
        return
    if not plan.on_aws:
        message = f"the bucket {bucket} is reached by an IAM role, which pods have on EKS only"
        yield plan.written.problem(place, message, "take `bucket` out, or render for `eks` or `eks-auto`")
    elif role is None:
        message = f"nobody knows whose role reaches the bucket {bucket}"
        yield plan.written.problem(place, message, "set `cluster.account` to the number of the AWS account, or `role`")


def bucket_asked(
    plan: ClusterPlan, purpose: str, account: str, bucket: str, declared: str | None = None
) -> Iterator[Told]:
    """A bucket to make, and the role that writes to it."""
    yield Bucket(name=bucket)
    yield asked(plan, purpose, account, f"read and write s3://{bucket}", bucket_grants(bucket), declared)


def bucket_grants(bucket: str, prefix: str = "", *, writes: bool = True) -> tuple[Grant, ...]:
    """Rights to what is in a bucket, below a prefix; to read alone, or to write and delete, too."""
    written = ("s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload") if writes else ()
    arn = f"arn:aws:s3:::{bucket}"
    return (
        Grant(actions=("s3:ListBucket", "s3:GetBucketLocation"), resources=(arn,)),
        Grant(actions=("s3:GetObject", *written), resources=(f"{arn}/{prefix}*",)),
    )
