"""Rights in the cloud: a pod has them by its ServiceAccount, which names an IAM role. No key is kept anywhere. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from hanok.errors import Problem
from hanok.kubernetes.component import Body
from hanok.kubernetes.objects import labels, thing
from hanok.kubernetes.plan import ClusterPlan
from hanok.spec.nodes import Place

ROLE = "eks.amazonaws.com/role-arn"


def role_of(plan: ClusterPlan, purpose: str, declared: str | None = None) -> str | None:
    """The ARN of the role for a purpose: as declared, else `CLUSTER-PURPOSE` of the account, where that is told."""
    return declared or plan.role_arn(purpose)


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


def bucket_rights(role: str, bucket: str, namespace: str, account: str) -> str:
    """What a person must do for it, in words."""
    actions = "s3:ListBucket on it, s3:GetObject, s3:PutObject and s3:DeleteObject on what is in it"
    subject = f"system:serviceaccount:{namespace}:{account}"
    return (
        f"make the bucket {bucket} and the role {role} with {actions}, for {subject} (by the cluster's OIDC provider)"
    )
