"""The bill: what nodes cost, who causes it, and what is refuted by a ceiling."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hanok.gpu.catalog import Instance
from hanok.preflight import Report
from hanok.preflight.cost.bill import make_bill, shares
from hanok.preflight.placement import Capacity, Node, Placement, Seat, Sharing
from hanok.preflight.workloads import Workload
from tests.rooms.preflight.conftest import Look, anatomy, catalog, ids, only

PODS = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: vllm}
spec:
  replicas: 2
  selector: {matchLabels: {app: vllm}}
  template:
    metadata: {labels: {app: vllm}}
    spec:
      containers:
      - name: vllm
        image: vllm/vllm-openai:v0.33.0
        args: [Qwen/Qwen3-8B, --max-model-len=8192]
        resources: {requests: {cpu: 4, memory: 24Gi}, limits: {memory: 24Gi, nvidia.com/gpu: 1}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: door}
spec:
  selector: {matchLabels: {app: door}}
  template:
    metadata: {labels: {app: door}}
    spec:
      containers:
      - name: door
        image: registry.example/door:1
        resources: {requests: {cpu: 2, memory: 1Gi}, limits: {memory: 1Gi}}
"""
POOL = """
apiVersion: karpenter.sh/v1
kind: NodePool
metadata: {name: gpu}
spec:
  template:
    spec:
      requirements:
      - {key: node.kubernetes.io/instance-type, operator: In, values: [INSTANCE]}
      - {key: karpenter.sh/capacity-type, operator: In, values: [CAPACITY]}
      nodeClassRef: {group: karpenter.k8s.aws, kind: EC2NodeClass, name: gpu}
  disruption: {consolidationPolicy: WhenEmpty, consolidateAfter: 10m}
"""
SPOT_LOW, SPOT_HIGH = catalog().spot.low, catalog().spot.high


def pool(instance: str = "g6.2xlarge", capacity: str = "on-demand") -> str:
    return POOL.replace("INSTANCE", instance).replace("CAPACITY", capacity)


def price(instance: str) -> float:
    found = catalog().instances[instance].usd_hour
    assert found is not None
    return found


def workload(report: Report, name: str) -> Workload:
    return next(each for each in report.case.workloads if each.manifest.name == name)


def node(pods: dict[Workload, int], instance: str, *capacities: Capacity, usd: float | None = 1.0, **free: int) -> Node:
    host: Instance = catalog().instances[instance]
    may = frozenset(capacities or ("on-demand",))
    seat = Seat(pool="gpu", manifest=None, instance=instance, host=host, capacities=may, usd_hour=usd)
    return Node(seat=seat, capacity="on-demand", pods=list(pods.items()), free=free)


def test_a_node_costs_what_its_pools_capacity_may_cost(look: Look) -> None:
    engine = workload(report := look(PODS), "vllm")
    for may, low, high in (
        (("on-demand",), 1.0, 1.0), (("spot",), SPOT_LOW, SPOT_HIGH), (("spot", "on-demand"), SPOT_LOW, 1.0),
        (("reserved",), 1.0, 1.0),
    ):  # fmt: skip
        nodes = [node({engine: 1}, "g6.2xlarge", *may)]
        bill = make_bill(
            Placement(seats={engine: [nodes[0].seat]}, least=nodes, most=nodes * 2), report.case.workloads, [], [],
            catalog=catalog(), anatomy=anatomy,
        )  # fmt: skip
        assert (bill.least.low, bill.least.high, bill.least.on_demand) == (low, high, 1.0), may
        assert bill.most.on_demand == 2.0
        assert [each.manifest.name for each in bill.left_out] == ["door"]


def test_pods_pay_for_the_resource_that_they_take_most_of_and_the_rest_is_idle(look: Look) -> None:
    report = look(PODS)
    engine, door = workload(report, "vllm"), workload(report, "door")
    parts = shares(
        node({engine: 1, door: 1}, "g6.2xlarge", **{"cpu": 14_000, "nvidia.com/gpu": 3, "memory": 175 << 30})
    )
    assert parts == {engine: pytest.approx(0.25), door: pytest.approx(0.1)}


def test_shares_are_never_more_than_the_node(look: Look) -> None:
    report = look(PODS)
    engine, door = workload(report, "vllm"), workload(report, "door")
    parts = shares(node({engine: 1, door: 10}, "g6.2xlarge", cpu=0))
    assert sum(parts.values()) == pytest.approx(1.0)


def test_an_engines_tokens_cost_more_at_the_load_than_when_it_is_full(look: Look) -> None:
    report = look(PODS + "---" + pool())
    (engine,) = report.case.bill.engines
    assert engine.replica.on_demand == pytest.approx(price("g6.2xlarge"), rel=0.3)
    assert 0.0 < engine.million_full < engine.million_load < 10.0
    assert engine.api is not None
    assert engine.api.model == "Llama 3.1 8B"


@pytest.mark.parametrize(
    "change", [("Qwen/Qwen3-8B", "our-own/answers-9b"), ("--max-model-len=8192", "--max-model-len=99999999")]
)
def test_no_price_of_tokens_is_guessed_where_the_model_is_not_known_or_does_not_fit(
    look: Look, change: tuple[str, str]
) -> None:
    bill = look(PODS.replace(*change) + "---" + pool()).case.bill
    assert (len(bill.engines), bill.is_empty) == (0, False)


def test_a_gpu_that_pods_take_turns_on_has_no_price_of_tokens(look: Look) -> None:
    report = look(PODS)
    engine = workload(report, "vllm")
    whole = node({engine: 1}, "g6.2xlarge")
    turns = replace(whole, seat=replace(whole.seat, sharing=Sharing(kind="time-slicing", replicas=4)))
    for nodes, count in (([whole], 1), ([turns], 0)):
        placement = Placement(seats={engine: [nodes[0].seat]}, least=nodes, most=nodes)
        bill = make_bill(placement, [engine], report.case.engines, [], catalog=catalog(), anatomy=anatomy)
        assert len(bill.engines) == count


def test_a_ceiling_that_is_broken_refutes_and_names_the_dearest_pool(look: Look) -> None:
    report = look(PODS + "---" + pool(), ceiling_usd_month=500.0)
    found = only(report, "HK601")
    assert report.verdict == "refuted"
    assert "pool gpu $" in found.message
    assert "allowed are $500" in found.message


def test_a_ceiling_holds_where_it_is_high_enough(look: Look) -> None:
    assert not {"HK601", "HK602"} & set(ids(look(PODS + "---" + pool(), ceiling_usd_month=50_000.0)))


def test_a_ceiling_is_not_proved_for_pods_whose_nodes_are_not_known(look: Look) -> None:
    report = look(PODS, ceiling_usd_month=50_000.0)
    assert ids(report).count("HK602") == 2
    assert report.verdict == "unknown"


def test_a_pool_without_a_price_leaves_the_verdict_open_once(look: Look) -> None:
    report = look(PODS + "---" + pool("p5e.48xlarge"))
    assert "p5e.48xlarge" in only(report, "HK602").message
    assert report.case.bill.most.on_demand == 0.0


def test_gpus_that_nobody_asked_for_are_told_with_their_price(look: Look) -> None:
    found = only(look(PODS + "---" + pool("g6.12xlarge")), "HK603")
    assert "2 of the 4 GPUs of 1× g6.12xlarge" in found.message
    assert f"${price('g6.12xlarge') / 2 * 730:,.0f} a month" in found.message
    assert "HK603" not in ids(look(PODS + "---" + pool("g6.2xlarge")))
