"""A platform file's models are proved, and paid for, at their most replicas as at their fewest."""

from __future__ import annotations

import pytest

from tests.rooms.preflight.conftest import Hanok, Look, ids, only, told, write

MODEL = """models:
- name: chat
  serve: {engine: vllm, model: Qwen/Qwen3-8B}
  deploy: {gpu: [g6e.xlarge], context_tokens: 8192, concurrency: 4}
"""
SCALED = MODEL + "  scale: {min: 1, max: 4}\n"
ENGINE = """apiVersion: apps/v1
kind: Deployment
metadata: {name: chat, namespace: models}
spec:
  replicas: 1
  selector: {matchLabels: {app: chat}}
  template:
    metadata: {labels: {app: chat}}
    spec:
      tolerations: [{key: nvidia.com/gpu, operator: Exists}]
      containers:
      - name: vllm
        image: vllm/vllm-openai:v0.11.0
        args: [--model=Qwen/Qwen3-8B, --max-model-len=8192]
        resources: {requests: {cpu: 2, memory: 16Gi}, limits: {nvidia.com/gpu: 1, memory: 16Gi}}
"""
NODE = """---
apiVersion: v1
kind: Node
metadata: {name: n, labels: {node.kubernetes.io/instance-type: g6e.xlarge, kubernetes.io/arch: amd64}}
status: {allocatable: {cpu: "4", memory: 30Gi, nvidia.com/gpu: "1", pods: "58"}}
"""


def test_the_bill_goes_from_the_fewest_to_the_most_replicas(hanok: Hanok) -> None:
    write("platform.yaml", SCALED)
    _, found = told(hanok, "--info")
    (model,) = found["cost"]["models"]
    assert (model["replicas"], model["machines"]) == ([1, 4], [1, 4])
    least, most = model["least"]["on_demand_per_hour"], model["most"]["on_demand_per_hour"]
    assert most == pytest.approx(4 * least)
    assert found["cost"]["most"]["on_demand_per_hour"] == most
    assert "1–4× g6e.xlarge" in hanok("preflight")[1]


def test_a_ceiling_is_held_against_the_most_replicas(hanok: Hanok) -> None:
    for scale, verdict in (("{min: 1, max: 2}", "proved"), ("{min: 1, max: 4}", "refuted")):
        write("platform.yaml", f"{MODEL}  scale: {scale}\n")
        _, found = told(hanok, "--max-usd-month", "3000")
        assert found["verdict"] == verdict
    assert "model chat $5," in next(each["message"] for each in found["findings"] if each["rule"] == "HK601")


def test_replicas_that_may_sleep_cost_nothing_at_the_fewest(look: Look) -> None:
    bill = look({"platform.yaml": SCALED.replace("min: 1", "min: 0")}).case.bill
    assert bill.least.on_demand == 0.0 < bill.most.on_demand


@pytest.mark.parametrize(("gpus", "found"), [(3, True), (4, False)])
def test_the_most_replicas_may_not_take_more_gpus_than_the_cluster_may_have(look: Look, gpus: int, found: bool) -> None:
    report = look({"platform.yaml": f'cluster: {{kubernetes: "1.37", nodes: {{gpus: {gpus}}}}}\n{SCALED}'})
    assert ("HK717" in ids(report)) is found
    if found:
        assert "take 4 GPUs (chat 4)" in only(report, "HK717").message


def test_the_accounts_quota_is_held_against_the_most_replicas(look: Look) -> None:
    quotas = {"L-DB2E81BA": 15.0}
    assert "4× g6e.xlarge (chat) have 16 vCPUs" in only(look({"platform.yaml": SCALED}, quotas=quotas), "HK324").message
    assert "HK324" not in ids(look({"platform.yaml": MODEL}, quotas=quotas))


def test_a_load_that_needs_more_replicas_than_there_may_be_is_told(look: Look) -> None:
    busy = SCALED.replace("concurrency: 4", "concurrency: 400")
    message = only(look({"platform.yaml": busy}), "HK718").message
    assert "400 calls at once" in message
    assert "`scale` allows 4" in message
    assert "HK718" not in ids(look({"platform.yaml": SCALED}))


def test_a_model_that_the_manifests_serve_is_paid_for_once(look: Look) -> None:
    alone = look({"a.yaml": ENGINE + NODE}).case.bill
    both = look({"a.yaml": ENGINE + NODE, "platform.yaml": SCALED}).case.bill
    assert alone.most.on_demand == both.most.on_demand > 0
    assert both.models == []
