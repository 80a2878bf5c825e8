"""GPUs that are shared out: layouts that the GPU has, names that exist, and pods that can work with a share.

Source of what may go wrong: NVIDIA's MIG guide and device plugin, Karpenter's issue 729 (it does not see shares).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from hanok.preflight.findings import Finding, Rule
from hanok.preflight.manifests import Manifest, mapping_at, text_at
from hanok.preflight.scheduling.asks import Ask
from hanok.preflight.scheduling.pools import Pool, has_hand_written
from hanok.preflight.scheduling.seating import Ground
from hanok.preflight.sharing import (
    BALANCED,
    MIG_LABEL,
    PLUGIN_LABEL,
    Operator,
    Slicing,
    layout_maps,
    layout_profiles,
    layouts_of,
    operators,
    plugin_maps,
    profiles_in,
    slicing_maps,
)
from hanok.preflight.workloads import GPU

if TYPE_CHECKING:
    from hanok.preflight.case import Case

NO_MIG = Rule("HK311", "error", "a MIG layout that the GPUs do not have", "use a layout of this GPU, or another GPU")
UNKNOWN_NAME = Rule(
    "HK312",
    "error",
    "a GPU configuration that does not exist",
    "name a layout, or a key of the ConfigMap, that is there",
)
MANY_SHARES = Rule(
    "HK313",
    "error",
    "a pod that takes several shares of GPUs for several GPUs",
    "give the pod whole GPUs: a pool without MIG or time-slicing; or let it work with one share",
)
UNSEEN = Rule(
    "HK314",
    "warning",
    "shares of GPUs that Karpenter does not see",
    "`renameByDefault: true`, and a NodeOverlay with `capacity: {nvidia.com/gpu.shared: …}` for the pool's types",
)
UNUSED = Rule(
    "HK315", "warning", "a GPU configuration that no node takes", "label the nodes that should take it, or take it out"
)
HAND_WRITTEN = Rule(
    "HK316",
    "warning",
    "a node written by hand",
    "nodes register themselves: put labels into the NodePool's or node group's template",
)
_LABELS = ("spec", "template", "metadata", "labels")


def check_layouts(case: Case) -> Iterator[Finding]:
    """Each pool's MIG layout exists, and its GPUs have the profiles."""
    ground = case.ground
    custom = {name: entry for each in layout_maps(case.cluster) for name, entry in layouts_of(each).items()}
    for pool in ground.pools:
        layout = pool.labels.get(MIG_LABEL, "")
        if not layout or layout in (BALANCED, "all-disabled", "all-enabled") or pool.cloud == "node":
            continue
        profiles = (
            profiles_in(custom[layout]) if layout in custom else list(layout_profiles(layout, case.cluster) or ())
        )
        where = (*_LABELS, MIG_LABEL)
        if profiles:
            yield from _check_profiles(ground, pool, profiles, where)
        elif _has_own_layouts(pool, case) and layout not in custom:
            yield UNKNOWN_NAME.on(pool.manifest, *where, message=_unknown(layout, sorted(custom)))


def _has_own_layouts(pool: Pool, case: Case) -> bool:
    operator = pool.shared.operator
    return bool(
        operator and operator.layouts and case.cluster.find("ConfigMap", operator.layouts, operator.manifest.namespace)
    )


def _unknown(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    said = f"did you mean `{near[0]}`?" if near else f"there is {', '.join(known)}" if known else "there is none"
    return f"`{name}` is no layout or configuration that is known: {said}"


def _check_profiles(ground: Ground, pool: Pool, profiles: Sequence[str], where: tuple[str, ...]) -> Iterator[Finding]:
    hosts = {name: ground.host(pool, name).accelerator for name in pool.names}
    gpus = {each for each in hosts.values() if each}
    able = {each for each in gpus if all(_plain(its) in ground.types.slices.get(each, {}) for its in profiles)}
    if able or pool.is_open or not pool.names:
        return
    wanted, kinds = " and ".join(profiles), ", ".join(sorted(_titles(ground, gpus))) or "no GPUs"
    capable = sorted(each for each in gpus if ground.types.slices.get(each))
    if capable:
        offered = ", ".join(ground.types.slices[capable[0]])
        message, hint = (
            f"its GPUs ({kinds}) have no profile {wanted}",
            f"profiles of {_title(ground, capable[0])}: {offered}",
        )
    else:
        message = f"no instance type of the pool has GPUs that can be sliced ({kinds}), and {wanted} is asked for"
        hint = f"start {_who_has(ground, profiles)}, or take the label out"
    yield NO_MIG.on(pool.manifest, *where, message=message, hint=hint)


def _plain(profile: str) -> str:
    return profile.partition("+")[0]


def _titles(ground: Ground, accelerators: set[str]) -> Iterator[str]:
    return (_title(ground, each) for each in accelerators)


def _title(ground: Ground, accelerator: str) -> str:
    found = ground.facts.catalog.accelerators.get(accelerator)
    return found.title if found else accelerator


def _who_has(ground: Ground, profiles: Sequence[str]) -> str:
    """The cheapest instance type with these profiles."""
    able = [
        name
        for name, each in ground.types.instances.items()
        if each.share == 1 and all(_plain(its) in ground.types.slices.get(each.accelerator, {}) for its in profiles)
    ]
    return min(able, key=ground.price_order) if able else "GPUs that can be sliced"


def check_layout_names(case: Case) -> Iterator[Finding]:
    """Layouts that nodes and operators name are in the MIG manager's own ConfigMap, where that is here."""
    for operator in operators(case.cluster):
        name, space = operator.layouts, operator.manifest.namespace
        held = case.cluster.find("ConfigMap", name, space) if name else None
        known = sorted(layouts_of(held)) if held else []
        if not known:
            continue
        default = text_at(operator.values, "migManager", "config", "default")
        if default and default != "all-disabled" and default not in known:
            where = (*operator.place, "migManager", "config", "default") if operator.place else ()
            yield UNKNOWN_NAME.on(operator.manifest, *where, message=_unknown(default, known))
        for node in case.cluster.of("Node", group=""):
            layout = node.labels.get(MIG_LABEL)
            if layout and layout not in (*known, "all-disabled"):
                yield UNKNOWN_NAME.on(node, "metadata", "labels", MIG_LABEL, message=_unknown(layout, known))


def check_configs(case: Case) -> Iterator[Finding]:
    """Keys of the device plugin's ConfigMap that nodes and operators name are there."""
    told = operators(case.cluster)
    for operator in told:
        held = plugin_maps(operator, case.cluster)
        keys = sorted(mapping_at(held.body, "data")) if held else []
        if held and operator.default and operator.default not in keys:
            where = (*operator.place, "devicePlugin", "config", "default")
            yield UNKNOWN_NAME.on(operator.manifest, *where, message=_no_key(operator.default, held, keys))
        if held:
            yield from _labelled(case, held, keys)


def _labelled(case: Case, held: Manifest, keys: Sequence[str]) -> Iterator[Finding]:
    """Pools and nodes whose label names no key."""
    places: list[tuple[Manifest, tuple[str, ...]]] = [(each, _LABELS) for each in case.cluster.of("NodePool")]
    places += [(each, ("metadata", "labels")) for each in case.cluster.of("Node")]
    for manifest, where in places:
        key = mapping_at(manifest.body, *where).get(PLUGIN_LABEL)
        if isinstance(key, str) and key not in keys:
            yield UNKNOWN_NAME.on(manifest, *where, PLUGIN_LABEL, message=_no_key(key, held, keys))


def _no_key(key: str, held: Manifest, keys: Sequence[str]) -> str:
    """Often the ConfigMap's name is given in place of a key."""
    own = ": that is the ConfigMap's own name" if key == held.name else ""
    return f"`{key}` is no key of {held.title}{own}; it has {', '.join(keys) or 'none'}"


def check_many(case: Case) -> Iterator[Finding]:
    """Pods that need several GPUs are given whole ones."""
    ground = case.ground
    for ask in ground.pods:
        wanted = max((count for name, count in ask.extended.items() if name.startswith("nvidia.com/")), default=0)
        engine = next(iter(ground.engines.get(ask.workload, ())), None)
        if wanted < 2 or not ask.workload.most:
            continue
        what = f"tensor parallelism over {engine.tensor}" if engine and engine.tensor > 1 else f"{wanted} of a kind"
        resource = next(name for name, count in ask.extended.items() if count == wanted)
        found = _share_of(ground, ask, resource)
        if found:
            message = f"asks for {wanted} {resource} ({what}), and is given {found}"
            sure = "refusal" in found or (engine and engine.tensor > 1)
            where = (*ask.workload.path, "spec")
            yield MANY_SHARES.on(
                ask.workload.manifest, *where, message=message, severity="error" if sure else "warning"
            )  # fmt: skip


def _share_of(ground: Ground, ask: Ask, resource: str) -> str:
    """What a pod is given where it asks for GPUs; empty where it may be given whole ones."""
    if resource.startswith("nvidia.com/mig-"):
        return "MIG slices: an engine cannot join them, and NVIDIA's software lets a process use one"
    said = ""
    for pool in ground.pools:
        if not ground.suits(ask, pool):
            continue
        shares = _shares(pool, resource)
        if not shares:
            return ""
        said = said or f"{shares} (pool {pool.name})"
    return said


def _shares(pool: Pool, resource: str) -> str:
    slicing = pool.shared.slicing
    if pool.shared.profiles and pool.shared.strategy != "mixed" and resource == GPU:
        return f"MIG slices {' and '.join(pool.shared.profiles)} under that name: an engine cannot join them"
    if slicing and slicing.offered == resource:
        if slicing.refuses_many:
            return f"a refusal: GPUs are shared out ({slicing.kind}), and requests for more than one fail"
        return f"turns at what may be one and the same GPU ({slicing.kind}, `replicas: {slicing.replicas}`)"
    return ""


def check_unseen(case: Case) -> Iterator[Finding]:
    """Karpenter knows what its nodes will offer."""
    for pool in case.ground.pools:
        if pool.cloud not in ("ec2", "auto") or not any(_is_nvidia(case.ground, pool, name) for name in pool.names):
            continue
        message = _unseen_words(pool)
        if message and any(case.ground.suits(each, pool) and _asks_gpu(each) for each in case.ground.pods):
            yield UNSEEN.on(pool.manifest, message=message, hint=_unseen_hint(pool))


def _is_nvidia(ground: Ground, pool: Pool, name: str) -> bool:
    return ground.types.makers.get(ground.host(pool, name).accelerator) == "nvidia"


def _asks_gpu(ask: Ask) -> bool:
    return any(name.startswith("nvidia.com/") for name in ask.extended)


def _unseen_words(pool: Pool) -> str:
    shared = pool.shared
    if shared.slicing and not shared.slicing.renamed and not any(GPU in each.capacity for each in pool.overlays):
        count = shared.slicing.replicas
        return (
            f"each GPU is offered as {count} {GPU} ({shared.slicing.kind}), and Karpenter counts 1: it starts up to "
            f"{count} times the nodes that are needed"
        )
    sliced = shared.profiles and shared.strategy != "mixed"
    if sliced and not any(GPU in each.capacity for each in pool.overlays):
        return f"each GPU is offered as several {GPU} (MIG {pool.labels.get(MIG_LABEL)}), and Karpenter counts 1"
    return ""


def _unseen_hint(pool: Pool) -> str | None:
    if pool.shared.slicing:
        return None
    return "`mig.strategy: mixed`, and a NodeOverlay with the slices' names as capacity"


def check_unused(case: Case) -> Iterator[Finding]:
    """Every layout and configuration in a ConfigMap is one that some node takes."""
    told = operators(case.cluster)
    if not told and not case.ground.pools:
        return
    yield from _unused_layouts(case)
    for manifest, key, slicing in slicing_maps(case.cluster):
        if not _is_read(manifest, key, case, told):
            yield UNUSED.on(manifest, "data", key, message=_unused_slicing(manifest, key, slicing))


def _unused_layouts(case: Case) -> Iterator[Finding]:
    asked = {pool.labels.get(MIG_LABEL) for pool in case.ground.pools} - {None}
    asked |= {each.labels.get(MIG_LABEL) for each in case.cluster.of("Node")}
    asked |= {str(mapping_at(each.values, "migManager", "config").get("default")) for each in operators(case.cluster)}
    for manifest in layout_maps(case.cluster):
        layouts = layouts_of(manifest)
        if not asked & set(layouts):
            able = _sliceable(case.ground)
            message = f"no pool or node has the label `{MIG_LABEL}` with one of its layouts ({', '.join(layouts)})"
            message += "" if able else "; and no instance type of any pool here has GPUs that can be sliced"
            yield UNUSED.on(manifest, "data", message=message)


def _sliceable(ground: Ground) -> bool:
    hosts = (ground.host(pool, name) for pool in ground.pools for name in pool.names)
    return any(ground.types.slices.get(each.accelerator) for each in hosts) or not ground.pools


def _is_read(manifest: Manifest, key: str, case: Case, told: Sequence[Operator]) -> bool:
    readers = [each for each in told if each.config == manifest.name]
    if not told:
        return True
    labelled = {pool.labels.get(PLUGIN_LABEL) for pool in case.ground.pools}
    labelled |= {each.labels.get(PLUGIN_LABEL) for each in case.cluster.of("Node")}
    unseen = not case.ground.pools and not any(True for _ in case.cluster.of("Node"))  # labels are a person's to set
    return any(each.default == key for each in readers) or bool(readers and (unseen or key in labelled))


def _unused_slicing(manifest: Manifest, key: str, slicing: Slicing) -> str:
    return f"no device plugin here is told to read `{key}` of {manifest.name}: GPUs are not shared out ({slicing.kind})"


def check_nodes(case: Case) -> Iterator[Finding]:
    """Nodes in the tree are there because a cluster has them."""
    pools = any(True for _ in case.cluster.of("NodePool"))
    for manifest in has_hand_written(case.cluster):
        if any(key.startswith("kwok.x-k8s.io/") for key in manifest.annotations):
            continue  # a fake one, for tests
        who = f"; Karpenter names its nodes itself, so these labels reach no machine ({manifest.name})" if pools else ""
        message = f"is declared without a machine behind it: applying it makes a node that never becomes ready{who}"
        yield HAND_WRITTEN.on(manifest, message=message)


CHECKS = (check_layouts, check_layout_names, check_configs, check_many, check_unseen, check_unused, check_nodes)
