"""Which nodes take a pod: Karpenter's rules of labels and taints, and figures of what is left to pods."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from hanok.gpu.hosts import allocatable_cpu, allocatable_mib
from hanok.preflight import Report
from hanok.preflight.load import FENCES
from hanok.preflight.reading import blocks
from hanok.preflight.scheduling.choices import ANY, choice
from tests.rooms.preflight.conftest import SEEDS, Look, ids, look_at, look_by, only

look = look_by("HK3")

TABLE = Path(__file__).parents[4] / "shared" / "data" / "instances.csv"
ARTICLE = SEEDS / "agentic-ai-platform.md"
TYPE = "node.kubernetes.io/instance-type"


def pool(
    *requirements: tuple[str, str, Sequence[str]],
    name: str = "gpu",
    labels: Mapping[str, str] | None = None,
    taints: Sequence[Mapping[str, str]] = (),
    group: str = "karpenter.k8s.aws",
    **spec: Any,
) -> dict[str, Any]:
    wanted = [{"key": key, "operator": operator, "values": list(values)} for key, operator, values in requirements]
    inner: dict[str, Any] = {
        "requirements": wanted,
        "taints": list(taints),
        "nodeClassRef": {"group": group, "kind": "X", "name": "x"},
    }
    template = {"metadata": {"labels": dict(labels or {})}, "spec": inner}
    return {
        "apiVersion": "karpenter.sh/v1",
        "kind": "NodePool",
        "metadata": {"name": name},
        "spec": {"template": template, **spec},
    }


def pods(
    name: str = "model", replicas: int = 1, requests: Mapping[str, str] | None = None, **spec: Any
) -> dict[str, Any]:
    wanted = {"cpu": "1", "memory": "1Gi", **({"nvidia.com/gpu": "1"} if requests is None else requests)}
    limits = {key: value for key, value in wanted.items() if "/" in key}
    container = {"name": "c", "image": "i", "resources": {"requests": wanted, "limits": limits}}
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container], **spec}}
    body = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": body}


def manifest(version: str, kind: str, spec: Mapping[str, Any], name: str = "x") -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec}


def text(*manifests: Mapping[str, Any]) -> str:
    return "\n---\n".join(json.dumps(each) for each in manifests)


def seats(report: Report) -> set[str]:
    """Instance types that the first workload may stand on."""
    workload = report.case.workloads[0]
    return {each.instance for each in report.case.placement.seats.get(workload, ())}


FAMILY, COUNT = "karpenter.k8s.aws/instance-family", "karpenter.k8s.aws/instance-gpu-count"
G6 = (FAMILY, "In", ["g6"])
GPU_TAINT = {"key": "nvidia.com/gpu", "value": "true", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("requirements", "wanted"),
    [
        ([G6, (COUNT, "Gt", ["4"])], {"g6.48xlarge"}),
        ([G6, (COUNT, "Gte", ["4"])], {"g6.12xlarge", "g6.24xlarge", "g6.48xlarge"}),
        ([G6, (COUNT, "NotIn", ["1", "8"])], {"g6.12xlarge", "g6.24xlarge"}),
        ([("karpenter.k8s.aws/instance-gpu-name", "In", ["h100"])], {"p5.4xlarge", "p5.48xlarge"}),
        ([("karpenter.k8s.aws/instance-gpu-name", "In", ["a100"])], {"p4d.24xlarge", "p4de.24xlarge"}),
        ([("karpenter.k8s.aws/instance-gpu-memory", "Gt", ["200000"])], {"p6-b300.48xlarge"}),
        ([(FAMILY, "In", ["g6", "m7i"]), ("karpenter.k8s.aws/instance-size", "In", ["xlarge"])], {"g6.xlarge"}),
        ([(FAMILY, "In", ["p5"]), ("karpenter.k8s.aws/instance-cpu", "Lt", ["17"])], {"p5.4xlarge"}),
        ([(FAMILY, "In", ["g5g"]), ("kubernetes.io/arch", "In", ["arm64"]), (COUNT, "Lt", ["2"]),
          ("karpenter.k8s.aws/instance-memory", "Lt", ["9000"])], {"g5g.xlarge"}),
    ],
)  # fmt: skip
def test_requirements_leave_the_instance_types_that_meet_them(
    look: Look, requirements: list[tuple[str, str, list[str]]], wanted: set[str]
) -> None:
    assert seats(look(text(pool(*requirements), pods()))) == wanted


@pytest.mark.parametrize(
    ("selector", "fits"),
    [
        ({}, True),
        ({"team": "a"}, True),
        ({"team": "b"}, False),
        ({"undeclared": "x"}, False),
        ({"kubernetes.io/arch": "amd64"}, True),
        ({"kubernetes.io/arch": "arm64"}, False),
        ({"karpenter.sh/nodepool": "gpu"}, True),
        ({"karpenter.sh/nodepool": "other"}, False),
        ({"karpenter.sh/capacity-type": "spot"}, True),
        ({"topology.kubernetes.io/zone": "us-east-1a"}, True),
        ({"topology.kubernetes.io/zone": "us-east-1c"}, False),
        ({"size": "anything"}, True),
        ({"beta.kubernetes.io/instance-type": "g6.xlarge"}, True),
    ],
)
def test_a_node_selector_is_met_by_labels_that_the_pool_can_give(
    look: Look, selector: dict[str, str], fits: bool
) -> None:
    zones = ("topology.kubernetes.io/zone", "In", ["us-east-1a", "us-east-1b"])
    given = pool(G6, zones, ("size", "Exists", []), labels={"team": "a"})
    assert bool(seats(look(text(given, pods(nodeSelector=selector))))) == fits


def affinity(*terms: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    required = {"nodeSelectorTerms": [{"matchExpressions": list(each)} for each in terms]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}


@pytest.mark.parametrize(
    ("terms", "fits"),
    [
        (
            [
                [{"key": "team", "operator": "In", "values": ["b"]}],
                [{"key": "team", "operator": "In", "values": ["a"]}],
            ],
            True,
        ),
        ([[{"key": "team", "operator": "NotIn", "values": ["a"]}]], False),
        ([[{"key": "absent", "operator": "DoesNotExist"}]], True),
        ([[{"key": "absent", "operator": "NotIn", "values": ["x"]}]], True),
        ([[{"key": "absent", "operator": "Exists"}]], False),
        ([list[Any]()], False),
    ],
)
def test_of_an_affinitys_terms_one_has_to_hold(look: Look, terms: list[Any], fits: bool) -> None:
    report = look(text(pool(G6, labels={"team": "a"}), pods(affinity=affinity(*terms))))
    assert bool(seats(report)) == fits
    assert ("HK301" in ids(report)) == (not fits)


@pytest.mark.parametrize(
    ("toleration", "fits"),
    [
        (None, False),
        ({"operator": "Exists"}, True),
        ({"key": "nvidia.com/gpu", "operator": "Exists"}, True),
        ({"key": "nvidia.com/gpu", "value": "true"}, True),
        ({"key": "nvidia.com/gpu", "value": "present"}, False),
        ({"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoExecute"}, False),
        ({"key": "other", "operator": "Exists"}, False),
    ],
)
def test_a_taint_keeps_pods_off_that_do_not_tolerate_it(
    look: Look, toleration: dict[str, str] | None, fits: bool
) -> None:
    given = pods(tolerations=[toleration] if toleration else [])
    assert bool(seats(look(text(pool(G6, taints=[GPU_TAINT]), given)))) == fits


def test_taints_that_only_prefer_and_those_at_start_keep_nobody_off(look: Look) -> None:
    given = pool(G6, taints=[{**GPU_TAINT, "effect": "PreferNoSchedule"}])
    given["spec"]["template"]["spec"]["startupTaints"] = [GPU_TAINT]
    assert seats(look(text(given, pods())))


def test_what_counts_is_what_is_left_to_pods(look: Look) -> None:
    given = pool((TYPE, "In", ["g5.12xlarge", "g6.12xlarge", "g6e.12xlarge"]))
    asked = pods(requests={"nvidia.com/gpu": "4", "memory": "174Gi"})
    assert seats(look(text(given, asked))) == {"g6.12xlarge", "g6e.12xlarge"}


def test_daemons_in_the_tree_take_their_part(look: Look) -> None:
    container = {"name": "c", "image": "i", "resources": {"requests": {"cpu": "1"}}}
    template = {
        "metadata": {"labels": {"d": "d"}},
        "spec": {"containers": [container], "tolerations": [{"operator": "Exists"}]},
    }
    daemon = manifest("apps/v1", "DaemonSet", {"selector": {"matchLabels": {"d": "d"}}, "template": template})
    given = pool((TYPE, "In", ["g6.xlarge"])), pods(requests={"nvidia.com/gpu": "1", "cpu": "3"})
    assert seats(look(text(*reversed(given)))) == {"g6.xlarge"}
    assert seats(look(text(given[1], given[0], daemon))) == set()


def test_auto_mode_has_its_own_labels(look: Look) -> None:
    wanted = [
        ("eks.amazonaws.com/instance-gpu-name", "In", ["l40s"]),
        ("eks.amazonaws.com/instance-gpu-count", "In", ["8"]),
    ]
    given = pool(*wanted, group="eks.amazonaws.com")
    assert seats(look(text(given, pods()))) == {"g6e.48xlarge"}


def test_a_share_of_a_gpu_is_none_to_karpenter_unless_it_is_told(look: Look) -> None:
    given = pool((TYPE, "In", ["g6f.large"]))
    wanted = [{"key": TYPE, "operator": "In", "values": ["g6f.large"]}]
    capacity = {"nvidia.com/gpu": "1"}
    overlay = manifest("karpenter.sh/v1alpha1", "NodeOverlay", {"requirements": wanted, "capacity": capacity})
    assert not seats(look(text(given, pods())))
    assert seats(look(text(given, overlay, pods()))) == {"g6f.large"}


def test_nodes_that_are_there_take_pods_by_their_own_labels(look: Look) -> None:
    room = {"cpu": "3920m", "memory": "14Gi", "nvidia.com/gpu": "1", "pods": "58"}
    labels = {"nvidia.com/gpu.product": "L4", TYPE: "g6.xlarge"}
    node = {**manifest("v1", "Node", {"taints": [GPU_TAINT]}), "status": {"allocatable": room}}
    node["metadata"]["labels"] = labels
    tolerant = pods(tolerations=[GPU_TAINT], nodeSelector={"nvidia.com/gpu.product": "L4"})
    report = look(text(node, tolerant))
    assert (report.verdict, seats(report)) == ("proved", {"g6.xlarge"})
    assert "HK301" in ids(
        look(text(node, pods(tolerations=[GPU_TAINT], nodeSelector={"nvidia.com/gpu.product": "T4"})))
    )


def test_pools_of_other_clouds_are_taken_on_trust(look: Look) -> None:
    report = look(text(pool(("karpenter.azure.com/sku-family", "In", ["N"]), group="karpenter.azure.com"), pods()))
    assert [each for each in ids(report) if each.startswith("HK3")] == ["HK304", "HK302"]
    assert report.verdict != "refuted"


def test_bounds_and_sets_are_intersected() -> None:
    above, below, some = choice("Gt", ["2"]), choice("Lt", ["5"]), choice("In", ["1", "3", "9", "x"])
    assert above is not None and below is not None and some is not None
    assert sorted((above & below & some).values) == ["3"]
    assert (ANY & some) == some
    assert choice("Gt", ["many"]) is None
    assert str(above & below) == "at least 3 and at most 4"


@pytest.mark.skipif(not TABLE.exists(), reason=f"{TABLE} is not here")
def test_formulas_give_the_figures_of_the_table() -> None:
    import csv

    with TABLE.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            memory = allocatable_mib(int(row["mem_mib"]), int(row["max_pods"]), row["arch"])
            assert abs(memory - int(row["alloc_mem_mib"])) <= 1, row["instance_type"]
            assert abs(allocatable_cpu(int(row["vcpu"])) - float(row["alloc_cpu"])) < 0.006, row["instance_type"]


@pytest.mark.skipif(not ARTICLE.exists(), reason=f"{ARTICLE} is not here")
def test_the_articles_faults_are_named(tmp_path: Path) -> None:
    report = look_at(tmp_path, {"a.yaml": _blocks(ARTICLE)})
    found = {(each.rule.id, each.object) for each in report.findings}
    assert ("HK315", "ConfigMap gpu-operator/mig-parted-config") in found
    assert ("HK312", "Node gpu-node-1") in found
    assert ("HK314", "NodePool gpu-inference") in found
    assert ("HK313", "Deployment ai-inference/vllm-llama3-70b") in found
    assert ("HK301", "Deployment ai-inference/vllm-llama3-70b") in found
    assert ("HK310", "Milvus ai-data/milvus-cluster") in found
    assert ("HK305", "NodePool gpu-spot") in found
    vllm = next(each for each in report.findings if each.rule.id == "HK301" and "vllm" in each.object)
    assert "g5.4xlarge leaves 1 nvidia.com/gpu, 56.34 GiB of memory and 15.74 CPU" in vllm.message
    assert "g6e.12xlarge (10.49 $/h) would do" in vllm.hint


@pytest.mark.skipif(not ARTICLE.exists(), reason=f"{ARTICLE} is not here")
def test_the_articles_engine_is_clean_once_its_pool_may_start_what_it_needs(tmp_path: Path) -> None:
    mended = _blocks(ARTICLE, 259, 369).replace("- g6.2xlarge", "- g6.2xlarge\n            - g6e.12xlarge")
    report = look_at(tmp_path, {"a.yaml": mended})
    assert [each for each in ids(report) if each.startswith("HK3")] == []
    assert {each.instance for each in report.case.placement.seats[report.case.workloads[0]]} == {"g6e.12xlarge"}


def _blocks(article: Path, *starts: int) -> str:
    """The article's YAML; of those blocks that begin in these lines, where any are named."""
    fenced = [(piece, line) for language, piece, line in blocks(article.read_text("utf-8")) if language in FENCES]
    found = [piece for piece, line in fenced if not starts or line in starts]
    return "\n---\n".join(found)


def test_a_near_miss_names_what_lacks_and_what_would_do(look: Look) -> None:
    report = look(
        text(
            pool((TYPE, "In", ["g6.xlarge", "g6.12xlarge"])), pods(requests={"nvidia.com/gpu": "4", "memory": "200Gi"})
        )
    )
    found = only(report, "HK301")
    assert "g6.12xlarge leaves 174.7 GiB of memory to pods, and the pod asks for 200 GiB of memory" in found.message
    assert "g6.24xlarge (6.68 $/h) would do" in found.hint
    assert f"`{TYPE}`" in found.hint


def test_pods_without_gpus_that_tainted_pools_refuse_are_left_open_once(look: Look) -> None:
    asked = [pods(name=f"web-{number}", requests={"cpu": "1"}) for number in range(7)]
    report = look(text(pool(G6, taints=[GPU_TAINT]), pods(tolerations=[GPU_TAINT]), *asked))
    assert [each for each in ids(report) if each.startswith("HK3")] == ["HK302"]
    assert "and 2 more" in only(report, "HK302").message
    assert report.verdict == "unknown"


def test_a_mistyped_instance_type_is_told_with_its_neighbour(look: Look) -> None:
    report = look(text(pool((TYPE, "In", ["g6.12xlrage"])), pods()))
    assert "did you mean g6.12xlarge?" in only(report, "HK304").message
    assert report.verdict != "refuted"


def test_karpenter_wants_as_many_values_as_a_pool_says_to_choose_from(look: Look) -> None:
    given = pool((TYPE, "In", ["g6.xlarge", "g6.2xlarge", "g6.12xlarge"]))
    given["spec"]["template"]["spec"]["requirements"][0]["minValues"] = 2
    assert len(seats(look(text(given, pods())))) == 3
    found = only(look(text(given, pods(requests={"nvidia.com/gpu": "4"}))), "HK301")
    assert f"`minValues` wants 2 values of `{TYPE}`" in found.message


def test_a_dump_of_a_cluster_is_not_counted_twice(look: Look) -> None:
    """A Deployment and the ReplicaSet that it made are one."""
    made = {**pods(), "kind": "ReplicaSet"}
    made["metadata"] = {"name": "model-1", "ownerReferences": [{"kind": "Deployment", "name": "model"}]}
    assert len(look(text(pool((TYPE, "In", ["g6.xlarge"])), pods(), made)).case.placement.most) == 1


def test_what_a_chart_or_another_resource_tolerates_keeps_a_pool_from_being_idle(look: Look) -> None:
    web = pods(name="web", requests={"cpu": "1"})
    given = pool(G6, taints=[GPU_TAINT]), web
    assert "HK305" in ids(look(text(*given)))
    service = manifest("serving.kserve.io/v1beta1", "InferenceService", {"predictor": {"tolerations": [GPU_TAINT]}})
    assert "HK305" not in ids(look(text(*given, service)))
