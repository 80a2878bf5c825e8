"""The last step: take all down in an order that leaves no machine behind, and see what goes on costing. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from hanok.kubernetes.components.own.image import recipe_is_needed
from hanok.kubernetes.guide.eks import made_here
from hanok.kubernetes.guide.page import TREE, Page, quoted, sh
from hanok.kubernetes.notes import Bucket, Role, Value
from hanok.kubernetes.places import STORED_SPACE
from hanok.kubernetes.spaces import GIVEN

_WHOLE = (
    "This takes the whole cluster down: who makes things anew, what works with its load balancer, machines, the rest.\n"
)
_PART = "This takes down what the tree brought, and leaves the cluster:\n"


def steps(page: Page) -> Iterator[str]:
    """What works first, then machines, then what stands outside of the cluster."""
    yield _WHOLE if page.plan.on_aws else _PART
    lines = ["kubectl get pv -o yaml > volumes.yaml   # which volumes there were", *_stopped(page)]
    if page.plan.on_aws:
        lines += _down(page)
        yield sh(*lines)
        yield from _outside(page)
    else:
        yield sh(*lines, *_uninstalled(page))
        yield (
            "Definitions of kinds stay, and so do labels and taints of nodes, and volumes that their class retains "
            "(`kubectl get pv`).\n"
        )


def _stopped(page: Page) -> Iterator[str]:
    """Those who would make everything anew."""
    root = f"{TREE}/clusters/{page.plan.cluster.environment}"
    if page.form == "argocd":
        yield f"kubectl delete -n argocd -f {root}.yaml"
        yield f"kubectl delete -n argocd -f {root}"
    elif page.form == "flux":
        yield "flux suspend kustomization --all" if page.plan.on_aws else "flux suspend kustomization flux-system"


def _down(page: Page) -> Iterator[str]:
    yield "kubectl delete poddisruptionbudgets --all --all-namespaces"
    yield f"kubectl delete namespace {_spaces(page)}"
    yield "# this waits until their machines are gone:"
    yield f"kubectl delete nodepools.karpenter.sh {' '.join(_own_pools(page))}"
    if page.plan.target == "eks":
        yield "kubectl delete ec2nodeclasses.karpenter.k8s.aws --all"
    yield f"eksctl delete cluster --name {page.cluster} --disable-nodegroup-eviction --wait"


def _own_pools(page: Page) -> list[str]:
    """By name: EKS makes the pools of its own anew."""
    return sorted(each.body["metadata"]["name"] for each in page.objects if each.body["kind"] == "NodePool")


def _spaces(page: Page) -> str:
    """Namespaces of what works; those of controllers are needed until all that they made is gone."""
    found = {each.body["metadata"].get("namespace", "") for each in page.objects if each.stage == "apps"}
    return " ".join(sorted(found - {""} - GIVEN))


def _uninstalled(page: Page) -> Iterator[str]:
    """From the last to the first; Flux takes away what each Kustomization of its made."""
    if page.form == "flux":
        root = f"{TREE}/clusters/{page.plan.cluster.environment}"
        yield "for stage in apps configs controllers namespaces sources; do"
        yield f'  ls {root}/"$stage"*.yaml 2> /dev/null | xargs -r -n 1 kubectl delete -f'
        yield "done"
        return
    yield f"kubectl delete namespace {_spaces(page)}"
    if page.form == "flat" and page.charts:
        yield f"helmfile --file {TREE}/helmfile.yaml destroy"
    spaces = {each.namespace for each in page.charts} - GIVEN
    spaces |= {STORED_SPACE} if page.plan.secret_store == "kubernetes" else set()
    if spaces:
        yield f"kubectl delete namespace --ignore-not-found {' '.join(sorted(spaces))}"


def _outside(page: Page) -> Iterator[str]:
    yield "These stay and go on costing: volumes, buckets, secrets, images. Each line deletes some for ever:\n"
    lines = [
        "for each in $(grep -o 'vol-[0-9a-f]*' volumes.yaml | sort -u); do",
        '  aws ec2 delete-volume --volume-id "$each"',
        "done",
    ]
    lines += [f"aws s3 rb s3://{each.name} --force" for each in page.told(Bucket)]
    lines += _forgotten(page)
    if recipe_is_needed(page.plan) or ".dkr.ecr." in page.plan.image:
        lines += [f"aws ecr delete-repository --force --repository-name {_repository(page)}"]
    yield sh(*lines)
    roles = [*made_here(page), *(each.name for each in page.told(Role))]
    if roles:
        yield "Roles cost nothing, and open what they opened:\n"
        stack = f"aws cloudformation delete-stack --stack-name Karpenter-{page.cluster}"
        yield sh(*_unmade(roles), *([stack] if page.plan.target == "eks" else []))


def _forgotten(page: Page) -> Iterator[str]:
    names = " ".join(quoted(each.name) for each in page.told(Value))
    command = {
        "aws-secrets-manager": "aws secretsmanager delete-secret --secret-id",
        "aws-parameter-store": "aws ssm delete-parameter --name",
    }.get(page.plan.secret_store)
    if command and names:
        yield f'for each in {names}; do {command} "$each"; done'


def _repository(page: Page) -> str:
    name = (
        "hanok"
        if recipe_is_needed(page.plan)
        else page.plan.image.partition("/")[2].partition("@")[0].partition(":")[0]
    )
    return quoted(name)


def _unmade(roles: list[str]) -> Iterator[str]:
    yield f"for role in {' '.join(roles)}; do"
    yield '  aws iam delete-role-policy --role-name "$role" --policy-name hanok'
    yield '  for each in $(aws iam list-attached-role-policies --role-name "$role" --output text \\'
    yield "    --query 'AttachedPolicies[].PolicyArn'); do"
    yield '    aws iam detach-role-policy --role-name "$role" --policy-arn "$each"'
    yield "  done"
    yield '  aws iam delete-role --role-name "$role"'
    yield "done"
