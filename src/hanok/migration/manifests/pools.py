"""Which GPUs a model's pods may be given: by their own labels, or by the pools of nodes that would take them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hanok.migration.manifests.told import Block, Path, Told
from hanok.preflight import Case, Manifest
from hanok.preflight.manifests import labels_at, mappings_at, text_at, texts_at
from hanok.preflight.scheduling.choices import conflict, exactly, merge, read_choices
from hanok.preflight.scheduling.taints import read_taints, read_tolerations, untolerated
from hanok.preflight.scheduling.types import KNOWN
from hanok.preflight.workloads import Workload

_TYPES = ("node.kubernetes.io/instance-type", "beta.kubernetes.io/instance-type")
_FAMILIES = ("karpenter.k8s.aws/instance-family", "eks.amazonaws.com/instance-family")
_CAPACITY = "karpenter.sh/capacity-type"
_POOL: Path = ("spec", "template")
_PART = "read for its instance types"


def choose_gpus(case: Case, workload: Workload, told: Told, *, to: str) -> Block:
    """`gpu` and `spot` of a model's `deploy`, as far as somebody limits them."""
    own = [each for key, each in labels_at(workload.spec, "nodeSelector").items() if key in _TYPES]
    if own:
        path = (*workload.path, "spec", "nodeSelector")
        told.carried(workload.manifest, path, f"{to}.gpu")
        return {"gpu": own}
    pools = [each for each in case.cluster.of("NodePool", group="karpenter.sh") if _takes(each, workload)]
    limited = [(pool, list(_patterns(pool))) for pool in pools]
    for pool, found in limited:
        told.take(pool)
        for path, patterns in found:
            told.carried(pool, path, f"{to}.gpu", f"{_PART}: {', '.join(patterns)}")
    if not pools or any(not found for _, found in limited):
        return {}  # a pool without limits may start any type
    plain = case.facts.catalog.families
    named = (each for _, found in limited for _, patterns in found for each in patterns)
    names = dict.fromkeys(each for each in named if each.partition(".")[0] not in plain)  # those have no GPU
    if not names:
        return {}
    return {"gpu": list(names)} | ({"spot": True} if all(_is_spot(pool) for pool in pools) else {})


def _takes(pool: Manifest, workload: Workload) -> bool:
    """Whether a pool's labels, requirements and taints let the pod in."""
    requirements = mappings_at(pool.body, *_POOL, "spec", "requirements")
    labels = labels_at(pool.body, *_POOL, "metadata", "labels")
    offered = merge([*exactly(labels), *read_choices(requirements).items()])
    wanted = merge(exactly(labels_at(workload.spec, "nodeSelector")))
    if conflict(offered, wanted, KNOWN) is not None:
        return False
    taints = read_taints(mappings_at(pool.body, *_POOL, "spec", "taints"))
    return untolerated(taints, read_tolerations(mappings_at(workload.spec, "tolerations"))) is None


def _patterns(pool: Manifest) -> Iterator[tuple[Path, Sequence[str]]]:
    """Instance types that a pool names, and families as patterns; each with its place."""
    for index, each in enumerate(mappings_at(pool.body, *_POOL, "spec", "requirements")):
        key, values = text_at(each, "key"), [value for value in texts_at(each, "values") if value]
        if text_at(each, "operator") == "In" and values and key in (*_TYPES, *_FAMILIES):
            patterns = values if key in _TYPES else [f"{value}.*" for value in values]
            yield (*_POOL, "spec", "requirements", index), patterns


def _is_spot(pool: Manifest) -> bool:
    for each in mappings_at(pool.body, *_POOL, "spec", "requirements"):
        if text_at(each, "key") == _CAPACITY and text_at(each, "operator") == "In":
            return texts_at(each, "values") == ["spot"]
    return False
