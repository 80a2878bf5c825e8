"""Shell functions that make IAM roles: who may take one. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from hanok.kubernetes.guide.page import Page

_PODS = (
    '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "pods.eks.amazonaws.com"}, '
    '"Action": ["sts:AssumeRole", "sts:TagSession"]}]}'
)


def bound(page: Page) -> Iterator[str]:
    """`bound ROLE NAMESPACE/SERVICEACCOUNT…`: a role that Pod Identity associations give to ServiceAccounts."""
    yield "bound() {   # ROLE NAMESPACE/SERVICEACCOUNT..."
    yield "  role=$1; shift"
    yield f"  aws iam create-role --role-name \"$role\" --assume-role-policy-document '{_PODS}'"
    yield '  for each in "$@"; do'
    yield f'    aws eks create-pod-identity-association --cluster-name {page.cluster} --namespace "${{each%%/*}}" \\'
    yield '      --service-account "${each##*/}" --role-arn "arn:aws:iam::$AWS_ACCOUNT:role/$role"'
    yield "  done"
    yield "}"


def trusted(page: Page) -> Iterator[str]:
    """`trusted ROLE SUBJECTS`: a role that the cluster's OIDC provider vouches for; `SUBJECTS` is a list in JSON."""
    account = page.plan.cluster.account
    yield (
        f"OIDC=$(aws eks describe-cluster --name {page.cluster} --query cluster.identity.oidc.issuer --output text "
        "| sed 's|^https://||')"
    )
    yield "trusted() {   # ROLE SUBJECTS"
    yield '  aws iam create-role --role-name "$1" --assume-role-policy-document "$(cat <<JSON'
    yield '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRoleWithWebIdentity",'
    yield f'  "Principal": {{"Federated": "arn:aws:iam::{account or "$AWS_ACCOUNT"}:oidc-provider/${{OIDC}}"}},'
    yield '  "Condition": {"StringEquals": {"${OIDC}:aud": "sts.amazonaws.com", "${OIDC}:sub": $2}}}]}'
    yield "JSON"
    yield '  )"'
    yield "}"
