"""The step that makes the cluster on EKS, or brings one that is there up to what the tree needs. Pure.

eksctl makes the cluster, Karpenter's own template its node role and its queue: https://karpenter.sh, Getting Started.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hanok.kubernetes.components.external_secrets import NAME as READER
from hanok.kubernetes.components.karpenter.classes import DISCOVERY
from hanok.kubernetes.guide.page import Page, listed, policy, quoted, sh
from hanok.kubernetes.guide.trust import bound
from hanok.kubernetes.notes import AddOn
from hanok.kubernetes.writing import as_yaml

_SYSTEM = {"name": "system", "instanceType": "m7i.large", "desiredCapacity": 3, "privateNetworking": True}
"""Machines of the controllers that must run before Karpenter makes any."""
_TEMPLATE = (
    "https://raw.githubusercontent.com/aws/karpenter-provider-aws/v{version}/website/content/en/preview/"
    "getting-started/getting-started-with-karpenter/cloudformation.yaml"
)
_BALANCER = "aws-load-balancer-controller"
_CHARTS = "https://aws.github.io/eks-charts"
_RIGHTS = f"https://raw.githubusercontent.com/kubernetes-sigs/{_BALANCER}/$VERSION/docs/install/iam_policy.json"
_ENFORCED = """\
kubectl apply -f - <<'YAML'
apiVersion: v1
kind: ConfigMap
metadata: {name: amazon-vpc-cni, namespace: kube-system}
data: {enable-network-policy-controller: "true"}
YAML"""
_AUTO_TRUST = (
    '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, '
    '"Action": "sts:AssumeRole"}]}'
)


def steps(page: Page) -> Iterator[str]:
    """The cluster itself, the tags by which its nodes are placed, and what makes nodes and load balancers."""
    auto = page.plan.target == "eks-auto"
    yield "A new cluster, in a network of its own (a quarter of an hour):\n"
    yield sh("eksctl create cluster -f - <<'YAML'", as_yaml(_config(page)).rstrip(), "YAML")
    yield "Or one that is there, with what it lacks:\n"
    yield sh(*_there(page))
    yield "Nodes find their subnets and their security group by a tag:\n"
    yield sh(*_tags(page))
    if auto:
        yield from _auto(page)
    else:
        yield from _karpenter(page)
    if page.balanced and not auto:
        yield "The AWS Load Balancer Controller makes the load balancer of the entry:\n"
        yield sh(*_balancer(page))
    if plain := [each for each in page.of(str) if each.component != READER]:
        yield f"Besides:\n\n{listed(plain)}"


# --- The cluster ------------------------------------------------------------------------------------------------------


def _config(page: Page) -> dict[str, Any]:
    cluster = page.plan.cluster
    zones = {"availabilityZones": cluster.zones} if len(cluster.zones) > 1 else {}
    config: dict[str, Any] = {
        "apiVersion": "eksctl.io/v1alpha5",
        "kind": "ClusterConfig",
        "metadata": {"name": cluster.name, "region": cluster.region, "version": cluster.kubernetes},
        **zones,
        "iam": {"withOIDC": True},
    }
    if page.plan.target == "eks-auto":
        return config | {"autoModeConfig": {"enabled": True}, "addons": list(_addons(page))}
    usual = [{"name": each} for each in ("coredns", "kube-proxy", "eks-pod-identity-agent")]
    return config | {
        "addonsConfig": {"autoApplyPodIdentityAssociations": True},
        "addons": [*usual, *_addons(page)],
        "managedNodeGroups": [dict(_SYSTEM)],
    }


def _addons(page: Page) -> Iterator[dict[str, str]]:
    for each in page.told(AddOn):
        yield {"name": each.name} | ({"configurationValues": each.values} if each.values else {})


def _there(page: Page) -> Iterator[str]:
    name = page.cluster
    yield f"aws eks update-kubeconfig --name {name}"
    if page.annotated:
        yield f"eksctl utils associate-iam-oidc-provider --cluster {name} --approve   # for roles"
    if page.plan.target == "eks":
        yield f"eksctl create addon --cluster {name} --name eks-pod-identity-agent"
    for each in page.told(AddOn):
        if each.values:
            yield f"aws eks update-addon --cluster-name {name} --addon-name {each.name} --resolve-conflicts PRESERVE \\"
            yield f"  --configuration-values {quoted(each.values)}"
        else:
            yield f"eksctl create addon --cluster {name} --name {each.name} --auto-apply-pod-identity-associations"


def _tags(page: Page) -> Iterator[str]:
    """The cluster's own security group, and the private subnets: nobody reaches nodes from outside."""
    tag, of = (
        page.plan.cluster.nodes.discovery or page.cluster,
        f"aws eks describe-cluster --name {page.cluster} --query",
    )
    vpc = "cluster.resourcesVpcConfig"
    yield f"VPC=$({of} {vpc}.vpcId --output text)"
    yield f"aws ec2 create-tags --tags Key={DISCOVERY},Value={quoted(tag)} --resources \\"
    yield f"  $({of} {vpc}.clusterSecurityGroupId --output text) \\"
    yield '  $(aws ec2 describe-subnets --filters "Name=vpc-id,Values=$VPC" \\'
    yield "    Name=tag:kubernetes.io/role/internal-elb,Values=1 --query 'Subnets[].SubnetId' --output text)"


# --- Who makes nodes, and load balancers ------------------------------------------------------------------------------


def _karpenter(page: Page) -> Iterator[str]:
    name, nodes = page.cluster, page.plan.cluster.nodes
    made, stack = f"KarpenterNodeRole-{name}", f"Karpenter-{name}"
    role = nodes.role or made
    yield (
        f"Karpenter's template makes the nodes' role `{made}`, the queue `{name}` that tells of interruptions, and the "
        "rights of Karpenter itself. An access entry lets nodes join; an association gives Karpenter its role:\n"
    )
    template = _TEMPLATE.format(version=page.plan.lock.pin("karpenter").version.removeprefix("v"))
    yield sh(
        f"curl -fsSL {template} > karpenter.yaml",
        f"aws cloudformation deploy --stack-name {stack} --template-file karpenter.yaml \\",
        f"  --capabilities CAPABILITY_NAMED_IAM --parameter-overrides ClusterName={name}",
        f"aws eks create-access-entry --cluster-name {name} --type EC2_LINUX \\",
        f"  --principal-arn {_arn(role)}",
        *bound(page),
        f"bound {name}-karpenter kube-system/karpenter",
        f"for each in $(aws cloudformation describe-stack-resources --stack-name {stack} --output text \\",
        "  --query \"StackResources[?ResourceType=='AWS::IAM::ManagedPolicy'].PhysicalResourceId\"); do",
        f'  aws iam attach-role-policy --role-name {name}-karpenter --policy-arn "$each"',
        "done",
        *(_spot() if _uses_spot(page) else []),
    )
    if role != made:
        yield f"Karpenter's rights let it pass `{made}` alone; this tree's nodes have the role `{role}`:\n"
        yield sh(*_passed(name, role))


def _arn(role: str) -> str:
    return role if role.startswith("arn:") else f'"arn:aws:iam::$AWS_ACCOUNT:role/{role}"'


def _passed(name: str, role: str) -> Iterator[str]:
    service = {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}}
    arn = role if role.startswith("arn:") else f"arn:aws:iam::$AWS_ACCOUNT:role/{role}"
    grant = {"Effect": "Allow", "Action": "iam:PassRole", "Resource": arn, "Condition": service}
    yield f'aws iam put-role-policy --role-name {name}-karpenter --policy-name hanok --policy-document "$(cat <<JSON'
    yield from policy([grant]).splitlines()
    yield "JSON"
    yield ')"'


def _uses_spot(page: Page) -> bool:
    return page.plan.cluster.nodes.spot or any(each.deploy.spot for each in page.plan.engines)


def _spot() -> list[str]:
    return ["aws iam create-service-linked-role --aws-service-name spot.amazonaws.com   # fails where it is there"]


def _auto(page: Page) -> Iterator[str]:
    name = page.cluster
    role = page.plan.cluster.nodes.role or f"AmazonEKSAutoNodeRole-{name}"
    arn = _arn(role)
    yield (
        f"Nodes of this tree have the role `{role}`. EKS makes an access entry for the role of its own node pools "
        "alone, so this one gets one, too:\n"
    )
    made = [
        f"aws iam create-role --role-name {role} --assume-role-policy-document '{_AUTO_TRUST}'",
        *(
            f"aws iam attach-role-policy --role-name {role} --policy-arn arn:aws:iam::aws:policy/{each}"
            for each in ("AmazonEKSWorkerNodeMinimalPolicy", "AmazonEC2ContainerRegistryPullOnly")
        ),
    ]
    yield sh(
        *([] if page.plan.cluster.nodes.role else made),
        f"aws eks create-access-entry --cluster-name {name} --type EC2 --principal-arn {arn}",
        f"aws eks associate-access-policy --cluster-name {name} --access-scope type=cluster --principal-arn {arn} \\",
        "  --policy-arn arn:aws:eks::aws:cluster-access-policy/AmazonEKSAutoNodePolicy",
    )
    yield "Network policies are words until this is said:\n"
    yield sh(_ENFORCED)


def _balancer(page: Page) -> Iterator[str]:
    """Rights and chart of one version, whichever is the newest."""
    yield f"VERSION=$(helm show chart {_BALANCER} --repo {_CHARTS} | awk '/^appVersion:/ {{print $2}}')"
    yield f"curl -fsSL {_RIGHTS} > rights.json"
    yield f"bound {page.cluster}-load-balancer kube-system/{_BALANCER}"
    yield f"aws iam put-role-policy --role-name {page.cluster}-load-balancer --policy-name hanok \\"
    yield "  --policy-document file://rights.json"
    yield f"helm upgrade --install {_BALANCER} {_BALANCER} --repo {_CHARTS} \\"
    yield "  --namespace kube-system --wait \\"
    yield f'  --set clusterName={page.cluster} --set region="$AWS_REGION" --set vpcId="$VPC"'


def made_here(page: Page) -> list[str]:
    """Roles that this step makes, for when they go."""
    if page.plan.target == "eks-auto":
        return [] if page.plan.cluster.nodes.role else [f"AmazonEKSAutoNodeRole-{page.cluster}"]
    return [f"{page.cluster}-karpenter", *([f"{page.cluster}-load-balancer"] if page.balanced else [])]
