"""The step that makes what pods reach in the cloud: buckets, and each IAM role once, with its policy. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator

from hanok.kubernetes.guide.page import Page, policy, quoted, sh
from hanok.kubernetes.guide.trust import bound, trusted
from hanok.kubernetes.notes import Bucket, Role


def steps(page: Page) -> Iterator[str]:
    """Buckets, then roles: those that ServiceAccounts name, and those that are bound to them."""
    if buckets := page.told(Bucket):
        yield "Private, as AWS makes them:\n"
        yield sh(*(f"aws s3 mb s3://{each.name}" for each in buckets))
    annotated, others = page.annotated, [each for each in page.told(Role) if not each.annotated]
    if annotated:
        yield "ServiceAccounts name these roles; the cluster's OIDC provider vouches for them:\n"
        yield sh(*trusted(page))
        yield from map(_annotated, annotated)
    if others:
        yield "Pod Identity associations give these roles to ServiceAccounts.\n"
        if page.plan.target == "eks-auto":
            yield sh(*bound(page))
        yield from map(_bound, others)


def _annotated(role: Role) -> str:
    subjects = json.dumps([f"system:serviceaccount:{each.replace('/', ':')}" for each in role.accounts])
    return _told(role, f"trusted {role.name} {quoted(subjects)}")


def _bound(role: Role) -> str:
    return _told(role, f"bound {role.name} {' '.join(role.accounts)}")


def _told(role: Role, made: str) -> str:
    lines = [made]
    if role.grants:
        rights = policy([each.form() for each in role.grants])
        lines += [
            f"aws iam put-role-policy --role-name {role.name} --policy-name hanok --policy-document \"$(cat <<'JSON'",
            *rights.splitlines(),
            "JSON",
            ')"',
        ]
    lines += [f"aws iam attach-role-policy --role-name {role.name} --policy-arn {each}" for each in role.policies]
    return f"### `{role.name}`\n\nTo {role.why}.\n\n{sh(*lines)}"
