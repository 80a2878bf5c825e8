"""What preflight proves of scheduling, a scheduler of another make agrees with: it tries every way to place every pod.

Small clusters: a catalogue of four types, pools with labels, taints and limits, pods with selectors. The other
scheduler knows nothing of sets and signatures: it enumerates which pods share which new node of which type.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from hanok.gpu import Catalog
from hanok.preflight import Report
from tests.rooms.preflight.conftest import catalog, look_at

TYPES = {
    "m7i.large": (2000, 6903),
    "m7i.xlarge": (4000, 14162),
    "g6.xlarge": (4000, 14162),
    "g6.12xlarge": (48000, 178933),
}
"""vCPUs in thousandths, and MiB that pods may ask for."""
LEFT = {"m7i.large": 1930 - 150, "m7i.xlarge": 3920 - 150, "g6.xlarge": 3920 - 150, "g6.12xlarge": 47810 - 150}
"""Processors that are left beside what runs on every node."""
GPUS = {"g6.xlarge": 1, "g6.12xlarge": 4}


def small_catalog() -> Catalog:
    whole = catalog()
    family = whole.families["m7i"].model_copy(update={"sizes": ["large", "xlarge"]})
    instances = {name: each for name, each in whole.instances.items() if name in TYPES}
    return whole.model_copy(update={"instances": instances, "families": {"m7i": family}})


pools = st.lists(
    st.fixed_dictionaries(
        {
            "types": st.lists(st.sampled_from(sorted(TYPES)), min_size=1, max_size=2, unique=True),
            "label": st.sampled_from(["", "a", "b"]),
            "tainted": st.booleans(),
            "cpu": st.sampled_from([None, 2, 4, 6, 8, 12, 52]),
            "gpus": st.sampled_from([None, 1, 2, 4]),
        }
    ),
    min_size=1,
    max_size=2,
)
pods = st.lists(
    st.fixed_dictionaries(
        {
            "cpu": st.sampled_from([100, 1000, 1700, 2500, 3700]),
            "memory": st.sampled_from([256, 4000, 6800, 14000]),
            "gpus": st.sampled_from([0, 0, 1, 2]),
            "label": st.sampled_from(["", "", "a", "b"]),
            "tolerates": st.booleans(),
            "replicas": st.integers(1, 2),
        }
    ),
    min_size=1,
    max_size=3,
)


def manifests(pools: Sequence[Mapping[str, Any]], pods: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for number, each in enumerate(pools):
        wanted = [{"key": "node.kubernetes.io/instance-type", "operator": "In", "values": each["types"]}]
        spec: dict[str, Any] = {"requirements": wanted}
        if each["tainted"]:
            spec["taints"] = [{"key": "t", "value": "1", "effect": "NoSchedule"}]
        template: dict[str, Any] = {"spec": spec}
        if each["label"]:
            template["metadata"] = {"labels": {"where": each["label"]}}
        limits = {"cpu": each["cpu"], "nvidia.com/gpu": each["gpus"]}
        limits = {key: value for key, value in limits.items() if value is not None}
        body = {"template": template, "limits": limits}
        yield {"apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": {"name": f"p{number}"}, "spec": body}
    for number, each in enumerate(pods):
        requests = {"cpu": f"{each['cpu']}m", "memory": f"{each['memory']}Mi"}
        limits = {"nvidia.com/gpu": each["gpus"]} if each["gpus"] else {}
        container = {"name": "c", "image": "i", "resources": {"requests": {**requests, **limits}, "limits": limits}}
        spec = {"containers": [container]}
        if each["label"]:
            spec["nodeSelector"] = {"where": each["label"]}
        if each["tolerates"]:
            spec["tolerations"] = [{"key": "t", "operator": "Exists"}]
        labels = {"app": f"d{number}"}
        template = {"metadata": {"labels": labels}, "spec": spec}
        body = {"replicas": each["replicas"], "selector": {"matchLabels": labels}, "template": template}
        yield {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": f"d{number}"}, "spec": body}


def can_be_placed(pools: Sequence[Mapping[str, Any]], pods: Sequence[Mapping[str, Any]]) -> bool:
    """Whether some way to share pods out among new nodes respects everything: every partition is tried."""
    single = [each for each in pods for _ in range(each["replicas"])]
    return any(_starts(groups, pools, [dict(each) for each in pools]) for groups in partitions(single))


def partitions(pods: Sequence[Mapping[str, Any]]) -> Iterator[list[list[Mapping[str, Any]]]]:
    """Every way to put pods into groups, each group on one node."""
    if not pods:
        yield []
        return
    first, rest = pods[0], pods[1:]
    for groups in partitions(rest):
        yield [[first], *groups]
        for index, group in enumerate(groups):
            yield [*groups[:index], [first, *group], *groups[index + 1 :]]


def _starts(
    groups: Sequence[Sequence[Mapping[str, Any]]], pools: Sequence[Mapping[str, Any]], left: list[dict[str, Any]]
) -> bool:
    """Whether each group gets a node of some type of some pool, within what is left of the pools' limits."""
    if not groups:
        return True
    for number, pool in enumerate(pools):
        for name in pool["types"]:
            cpu, gpus = TYPES[name][0] // 1000, GPUS.get(name, 0)
            budget = left[number]
            within = (budget["cpu"] is None or budget["cpu"] >= cpu) and (
                budget["gpus"] is None or budget["gpus"] >= gpus
            )
            if within and _holds(groups[0], pool, name):
                taken = {**budget, "cpu": _less(budget["cpu"], cpu), "gpus": _less(budget["gpus"], gpus)}
                if _starts(groups[1:], pools, [*left[:number], taken, *left[number + 1 :]]):
                    return True
    return False


def _less(budget: int | None, taken: int) -> int | None:
    return None if budget is None else budget - taken


def _holds(group: Sequence[Mapping[str, Any]], pool: Mapping[str, Any], name: str) -> bool:
    for pod in group:
        if pool["tainted"] and not pod["tolerates"]:
            return False
        if pod["label"] and pod["label"] != pool["label"]:
            return False
    fits = sum(pod["cpu"] for pod in group) <= LEFT[name] and sum(pod["memory"] for pod in group) <= TYPES[name][1]
    return fits and sum(pod["gpus"] for pod in group) <= GPUS.get(name, 0)


def report(pools: Sequence[Mapping[str, Any]], pods: Sequence[Mapping[str, Any]]) -> Report:
    text = "\n---\n".join(json.dumps(each) for each in manifests(pools, pods))
    with TemporaryDirectory() as folder:
        return look_at(Path(folder), {"all.yaml": text}, catalog=small_catalog())


@settings(max_examples=150, deadline=None)
@given(pools=pools, pods=pods)
def test_what_is_proved_can_be_done_and_what_is_refuted_cannot(
    pools: Sequence[Mapping[str, Any]], pods: Sequence[Mapping[str, Any]]
) -> None:
    (claim,) = [each for each in report(pools, pods).claims if each.layer == "scheduling"]
    possible = can_be_placed(pools, pods)
    assert (claim.verdict == "proved") == possible, claim
    assert not (claim.verdict == "refuted" and possible), claim
