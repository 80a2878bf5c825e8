"""Where the cluster is and its machines: `cluster.name`, `target`, `region`, `zones`, `nodes`, `storage`.

NodePools of models' engines are read with the models; here it is what holds for all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from hanok.migration.manifests.rendered.tree import RenderedTree, gib, given, metadata, number, said
from hanok.migration.manifests.told import Block, Told
from hanok.preflight import Manifest
from hanok.preflight.manifests import NO_BODY, at, labels_at, mapping_at, mappings_at, text_at, texts_at

_DISCOVERY, _ROLE = "karpenter.sh/discovery", re.compile(r"arn:aws[a-z-]*:iam::(\d{12}):role/")
_CONFIG = "nvidia.com/device-plugin.config"
_SHARED = re.compile(r"(time-slicing|mps)-(\d+)")
_FOLDERS = re.compile(r"^\.?/?(.*?)/?(?:apps|infrastructure|clusters)/")


def read_nodes(tree: RenderedTree, told: Told) -> Block:
    """What is said of the cluster as a whole and of its machines."""
    general = next((each for each in _classes(tree) if each.name == "general"), None)
    target = "kubernetes" if general is None else "eks" if general.kind == "EC2NodeClass" else "eks-auto"
    name = said(general, told, "cluster.name", "spec", "tags", _DISCOVERY)
    return given(
        name=name,
        environment=_environment(tree),
        target=target,
        region=_region(tree, told),
        zones=_zones(tree, told),
        account=_account(tree, told),
        repository=_repository(tree, told),
        nodes=_nodes(tree, general, name, told),
        storage=_storage(tree, told),
    )


def _classes(tree: RenderedTree) -> Iterator[Manifest]:
    yield from tree.of("EC2NodeClass", group="karpenter.k8s.aws")
    yield from tree.of("NodeClass", group="eks.amazonaws.com")


def _environment(tree: RenderedTree) -> str | None:
    """The folder that Flux or Argo CD is told of."""
    files = (each.file for each in tree.case.cluster.manifests)
    found = (re.search(r"(?:^|/)clusters/([a-z0-9-]+)(?:/|\.yaml$)", each) for each in files)
    return next((each[1] for each in found if each), None)


def _region(tree: RenderedTree, told: Told) -> Any:
    store = next(tree.of("ClusterSecretStore"), None)
    milvus = tree.find("Milvus", "milvus", "knowledge")
    found = said(store, told, "cluster.region", "spec", "provider", "aws", "region")
    found = found or said(milvus, told, "cluster.region", "spec", "config", "minio", "region")
    zones = _zones(tree, told) or []
    return found or (re.sub(r"[a-z]$", "", zones[0]) if zones else None)


def _zones(tree: RenderedTree, told: Told) -> list[str] | None:
    for pool in tree.of("NodePool", group="karpenter.sh"):
        if found := _requirement(pool, "topology.kubernetes.io/zone"):
            told.take(pool)
            told.carried(pool, ("spec", "template", "spec", "requirements"), "cluster.zones", ", ".join(found))
            return found
    return None


def _account(tree: RenderedTree, told: Told) -> str | None:
    """The account of the first role that pods are given."""
    for each in tree.case.cluster.manifests:
        if found := _ROLE.search(str(metadata(each, "annotations")) + str(at(each.body, "spec", "values"))):
            told.take(each)
            told.carried(each, (), "cluster.account", f"the account of the role {found[0]}…")
            return found[1]
    return None


def _repository(tree: RenderedTree, told: Told) -> Block | None:
    """Of Flux only the folder is told; Argo CD names the repository, too."""
    for each in tree.of("Kustomization", "Application"):
        inner = ("spec",) if each.kind == "Kustomization" else ("spec", "source")
        path = text_at(each.body, *inner, "path")
        if found := _FOLDERS.match(f"{path}/") if path else None:
            told.take(each)
            told.carried(each, (*inner, "path"), "cluster.repository.path")
            url, branch = text_at(each.body, *inner, "repoURL"), text_at(each.body, *inner, "targetRevision")
            return given(url=url or None, branch=branch or None, path=found[1] or None)
    return None


# --- Machines ---------------------------------------------------------------------------------------------------------


def _nodes(tree: RenderedTree, general: Manifest | None, name: str | None, told: Told) -> Block:
    pools = {each.name: each for each in tree.of("NodePool", group="karpenter.sh")}
    with_gpus = [each for key, each in pools.items() if key.startswith("gpu-")]
    usual = f"{'KarpenterNodeRole' if general and general.kind == 'EC2NodeClass' else 'AmazonEKSAutoNodeRole'}-{name}"
    role, discovery = said(general, told, "cluster.nodes.role", "spec", "role"), _discovery(general)
    return given(
        spot=True if with_gpus and all("spot" in _requirement(each, _CAPACITY) for each in with_gpus) else None,
        general=_general(pools.get("general"), told),
        general_cpu=number(said(pools.get("general"), told, "cluster.nodes.general_cpu", "spec", "limits", "cpu")),
        reservations=_reservations(tree, told),
        sharing=_sharing(with_gpus, told),
        dra=True if any(True for _ in tree.of("ResourceClaimTemplate")) else None,
        role=role if role != usual else None,
        ami=said(general, told, "cluster.nodes.ami", "spec", "amiSelectorTerms", 0, "alias"),
        discovery=discovery if discovery != name else None,
    )


_CAPACITY = "karpenter.sh/capacity-type"


def _requirement(pool: Manifest, key: str) -> list[str]:
    for each in mappings_at(pool.body, "spec", "template", "spec", "requirements"):
        if text_at(each, "key") == key and text_at(each, "operator") == "In":
            return texts_at(each, "values")
    return []


def _general(pool: Manifest | None, told: Told) -> list[str] | None:
    if pool is None:
        return None
    found = [f"{family}.*" for key in _FAMILIES for family in _requirement(pool, key)]
    found = found or _requirement(pool, "node.kubernetes.io/instance-type")
    told.take(pool)
    told.carried(pool, ("spec", "template", "spec", "requirements"), "cluster.nodes.general", ", ".join(found[:6]))
    return found


_FAMILIES = ("karpenter.k8s.aws/instance-family", "eks.amazonaws.com/instance-family")


def _discovery(general: Manifest | None) -> str | None:
    terms = mappings_at(general.body, "spec", "subnetSelectorTerms") if general else []
    return labels_at(terms[0], "tags").get(_DISCOVERY) if terms else None


def _reservations(tree: RenderedTree, told: Told) -> list[str] | None:
    for each in _classes(tree):
        path = ("spec", "capacityReservationSelectorTerms")
        if found := [text_at(term, "id") for term in mappings_at(each.body, *path)]:
            told.take(each)
            told.carried(each, path, "cluster.nodes.reservations")
            return found
    return None


def _sharing(pools: list[Manifest], told: Told) -> Block | None:
    """By the labels that tell the GPU operator."""
    for pool in pools:
        labels = labels_at(pool.body, "spec", "template", "metadata", "labels")
        shared = _SHARED.fullmatch(labels.get(_CONFIG, ""))
        if shared or "nvidia.com/mig.config" in labels:
            told.take(pool)
            told.carried(pool, ("spec", "template", "metadata", "labels"), "cluster.nodes.sharing")
            return {"mode": shared[1], "replicas": int(shared[2])} if shared else {"mode": "mig"}
    return None


# --- File systems -----------------------------------------------------------------------------------------------------


def _storage(tree: RenderedTree, told: Told) -> Block:
    efs, fsx = tree.find("StorageClass", "efs"), tree.find("StorageClass", "fsx")
    lustre = mapping_at(fsx.body, "parameters") if fsx else NO_BODY
    groups = [each for each in text_at(lustre, "securityGroupIds").split(",") if each]
    said(fsx, told, "cluster.storage.fsx", "parameters")
    return given(
        efs=said(efs, told, "cluster.storage.efs", "parameters", "fileSystemId"),
        fsx=given(
            subnet=lustre.get("subnetId"), security_groups=groups, mib_s_per_tib=lustre.get("perUnitStorageThroughput")
        ),
    )


def volume_gib(claim: object) -> int | None:
    """The size that a claim of storage asks for."""
    found = gib(at(claim, "spec", "resources", "requests", "storage"))
    return int(found) if found is not None else None
