"""The step for a cluster whose machines are there: what it must have before the tree can work in it. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from hanok.kubernetes.components.external_secrets import NAME as READER
from hanok.kubernetes.guide.page import Page, listed, sh
from hanok.kubernetes.notes import AddOn
from hanok.kubernetes.places import GPU_TAINT
from hanok.kubernetes.pools import Pool

_ENFORCERS = "antrea|calico|canal|cilium|kube-router|ovn"
_METALLB = """\
kubectl apply -f - <<YAML
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {name: entry, namespace: metallb-system}
spec: {addresses: ["$ADDRESSES"]}
---
apiVersion: metallb.io/v1beta1
kind: L2Advertisement
metadata: {name: entry, namespace: metallb-system}
spec: {ipAddressPools: [entry]}
YAML"""
_METRICS = "https://github.com/kubernetes-sigs/metrics-server/releases/latest/download/components.yaml"


def steps(page: Page) -> Iterator[str]:
    """Volumes, network, load balancer, GPUs, and the rest."""
    cluster = page.plan.cluster
    yield f"Kubernetes {cluster.kubernetes}, whose nodes are there. Is it the one that kubectl speaks with?\n"
    yield sh("kubectl config current-context", "kubectl get nodes -o wide")
    yield "**Volumes.** Databases, gateways and metrics keep theirs in the default class; one must be `(default)`:\n"
    yield sh(
        "kubectl get storageclass",
        "CLASS=   # where none is: the one to take",
        '[ -z "$CLASS" ] || kubectl annotate storageclass "$CLASS" storageclass.kubernetes.io/is-default-class=true',
    )
    if cluster.serving.weights != "node" and page.plan.needs_gpus:
        yield (
            f"Weights are shared in a volume of the class `{cluster.serving.storage_class}`. It must be there, and "
            "give volumes that many nodes write (ReadWriteMany), as NFS or CephFS does.\n"
        )
    yield (
        "**Network.** Policies are words where nothing enforces them: Calico, Cilium, Antrea and k3s do, flannel alone "
        "does not. One of these should run (in k3s it is part of its server):\n"
    )
    yield sh(f"kubectl get pods --all-namespaces | grep -E '{_ENFORCERS}'")
    if page.balanced:
        yield "**Load balancer.** Where no cloud gives addresses to Services of type LoadBalancer, MetalLB does:\n"
        yield sh(
            "ADDRESSES=192.0.2.10-192.0.2.20   # free ones of your network",
            "helm upgrade --install metallb metallb --repo https://metallb.github.io/metallb \\",
            "  --namespace metallb-system --create-namespace --wait",
            _METALLB,
        )
    if page.plan.pools:
        yield from _gpus(page)
    if any(each.name == "metrics-server" for each in page.told(AddOn)):
        yield "**metrics-server** tells how busy pods are, by which their number follows:\n"
        yield sh(f"kubectl top nodes || kubectl apply -f {_METRICS}")
    if plain := [each for each in page.of(str) if each.component != READER]:
        yield f"Besides:\n\n{listed(plain)}"


def _gpus(page: Page) -> Iterator[str]:
    yield (
        "**GPUs.** The GPU operator comes with the tree; where a node has no driver of NVIDIA's, it installs one, for "
        "which the node's system must be one that it supports (as Ubuntu 24.04). Pods find their nodes by a label, and "
        "a taint keeps others away. For each node, with its name:\n"
    )
    for pool in page.plan.pools:
        yield sh(*_labelled(pool))


def _labelled(pool: Pool) -> Iterator[str]:
    marks = {**pool.labels, **pool.operator_labels}
    labels = " ".join(f"{key}={value}" for key, value in marks.items())
    yield f"NODE=   # one of {pool.most_machines} or more with {pool.gpus} {pool.accelerator.upper()} each"
    yield f'kubectl label node "$NODE" {labels}'
    yield f'kubectl taint node "$NODE" {GPU_TAINT}=true:NoSchedule'
