"""Which GPUs a model's pods may be given: by their own labels, or by the pools of nodes that would take them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydantic import ValidationError

from hanok.errors import PlanError
from hanok.gpu import plan
from hanok.migration.manifests.told import Block, Path, Told
from hanok.preflight import Case, Manifest
from hanok.preflight.manifests import labels_at, mappings_at, text_at, texts_at
from hanok.preflight.scheduling.choices import conflict, exactly, merge, read_choices
from hanok.preflight.scheduling.taints import read_taints, read_tolerations, untolerated
from hanok.preflight.scheduling.types import KNOWN
from hanok.preflight.workloads import Workload
from hanok.spec import Deploy

_TYPES = ("node.kubernetes.io/instance-type", "beta.kubernetes.io/instance-type")
_FAMILIES = ("karpenter.k8s.aws/instance-family", "eks.amazonaws.com/instance-family")
_CAPACITY = "karpenter.sh/capacity-type"
_POOL: Path = ("spec", "template")
_PART = "read for its instance types"


def choose_gpus(case: Case, workload: Workload, told: Told, *, to: str, needs: Block, judged: bool = True) -> Block:
    """`gpu` and `spot` of a model's `deploy`, as far as somebody limits them, and the model fits on any of those."""
    own = [each for key, each in labels_at(workload.spec, "nodeSelector").items() if key in _TYPES]
    if own:
        path = (*workload.path, "spec", "nodeSelector")
        if not judged or _is_held(case, needs, own, told, workload.manifest, path):
            told.carried(workload.manifest, path, f"{to}.gpu")
            return {"gpu": own}
        return {}
    pools = [each for each in case.cluster.of("NodePool", group="karpenter.sh") if _takes(each, workload)]
    limited = [(pool, list(_patterns(pool))) for pool in pools]
    for pool in pools:
        told.take(pool)
    if not pools or any(not found for _, found in limited):
        return {}  # a pool without limits may start any type
    plain = case.facts.catalog.families
    named = (each for _, found in limited for _, patterns in found for each in patterns)
    names = list(dict.fromkeys(each for each in named if each.partition(".")[0] not in plain))  # those have no GPU
    if not names:
        return {}
    if judged and not _is_held(case, needs, names, told, limited[0][0], limited[0][1][0][0]):
        return {}
    for pool, found in limited:
        for path, patterns in found:
            told.carried(pool, path, f"{to}.gpu", f"{_PART}: {', '.join(patterns)}")
    return {"gpu": names} | ({"spot": True} if all(_is_spot(pool) for pool in pools) else {})


def _is_held(case: Case, needs: Block, names: Sequence[str], told: Told, manifest: Manifest, path: Path) -> bool:
    """Whether one of these machines holds the model; told where none does, for a plan would find no machine then."""
    if holds(case, {**needs, "gpu": list(names)}):
        return True
    shown = ", ".join(names[:4]) + (", …" if len(names) > 4 else "")
    message = f"{needs['weights']} fits on none of these machines ({shown}): the plan may take any, by price"
    told.wrong(manifest, path, message)
    return False


def holds(case: Case, deploy: Block) -> bool:
    """Whether any machine that `deploy` allows can serve it; yes for a model that is not known."""
    try:
        anatomy = case.facts.anatomy(str(deploy["weights"]))
        made = plan(anatomy, Deploy.model_validate(deploy), case.facts.catalog)
    except (PlanError, ValidationError):
        return True
    return bool(made.options or made.slices)


def is_known(case: Case, weights: str) -> bool:
    """Whether a model is one whose anatomy is known: vLLM has its code then."""
    try:
        case.facts.anatomy(weights)
    except PlanError:
        return False
    return True


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
