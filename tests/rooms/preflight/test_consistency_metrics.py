"""Metrics that alerts, triggers and dashboards ask for, against what components expose."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from hanok.preflight.consistency import metrics, promql
from tests.rooms.preflight.conftest import Look, ids, only
from tests.rooms.preflight.consistency_samples import alert, board_of, config, engine, pod, together

DOCS = Path(__file__).parents[3] / "docs" / "metrics.md"
MINE = {f"HK53{digit}" for digit in range(10)}


def found(look: Look, text: str) -> list[str]:
    return [each for each in ids(look(text)) if each in MINE]


@pytest.mark.parametrize(
    "expression",
    [
        "vllm:num_requests_waiting > 10",
        "histogram_quantile(0.95, sum by (le, model_name) (rate(vllm:time_to_first_token_seconds_bucket[5m]))) > 2",
        "rate(vllm:e2e_request_latency_seconds_sum[5m]) / rate(vllm:e2e_request_latency_seconds_count[5m]) > 10",
        "rate(vllm:prefix_cache_hits_total[5m]) / rate(vllm:prefix_cache_queries_total[5m]) < 0.2",
        "rate(vllm:iteration_tokens_total_sum[5m]) > 1",
        "vllm:lora_requests_info == 1",
        "rate(vllm:spec_decode_num_accepted_tokens_total[5m]) > 0",
        "vllm:own:rate5m > 1",
        "vllm:kv_cache_usage_perc > 0.9",
        "DCGM_FI_DEV_GPU_TEMP > 85 and DCGM_FI_PROF_GR_ENGINE_ACTIVE > 0.9",
        "DCGM_FI_DEV_FB_USED > 70000",
        "DCGM_FI_DEV_FB_USED / (DCGM_FI_DEV_FB_USED + DCGM_FI_DEV_FB_FREE) > 0.95",
        "increase(litellm_proxy_failed_requests_metric_total[5m]) > 3",
        "litellm_remaining_team_budget_metric < 1",
        "rate(hanok_requests_total{status='failed'}[5m]) > 0",
        "llm_d_epp_flow_control_queue_size > 1",
        "rate(milvus_proxy_req_count{status='fail'}[5m]) > 0",
        "histogram_quantile(0.99, rate(milvus_proxy_sq_latency_bucket[5m])) > 1000",
        "vllm_my_own_exporter > 1",
        "up == 0",
        'x{a=~"(?<name>a)"} > 1',
        'sum(rate({app="x"} |= "error" [5m])) > 1',
    ],
)
def test_what_is_exposed_or_may_be_is_clean(look: Look, expression: str) -> None:
    assert found(look, alert(expression)) == []


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("vllm:gpu_cache_usage_perc > 0.9", "vllm:gpu_cache_usage_perc is gone since 0.12; kv_cache_usage_perc"),
        ("rate(vllm:time_per_output_token_seconds_sum[5m]) > 1", "inter_token_latency_seconds"),
        ("vllm:num_requests_waitng > 1", "the nearest is vllm:num_requests_waiting"),
        ("vllm_num_requests_waiting > 1", "vLLM calls it vllm:num_requests_waiting"),
        ("vllm_gpu_cache_usage_perc > 1", "gone"),
        ("rate(vllm:prompt_tokens[5m]) > 1", "is a counter, and is read as vllm:prompt_tokens_total"),
        ("vllm:time_to_first_token_seconds > 1", "is a histogram, and is read as vllm:time_to_first_token_seconds_bu"),
        ("rate(litellm_spend_metric[5m]) > 1", "litellm_spend_metric_total"),
        ("hanok_request_total > 1", "hanok_requests_total"),
        ("milvus_proxy_req_latencies > 1", "milvus_proxy_req_latency_bucket"),
        ("DCGM_FI_DEV_GPU_UTILS > 1", "DCGM_FI_DEV_GPU_UTIL"),
        ('{__name__="vllm:kv_cache_usage_percent"} > 1', "vllm:kv_cache_usage_perc"),
    ],
)
def test_names_that_nobody_exposes_are_errors_with_the_right_one(look: Look, expression: str, words: str) -> None:
    told = only(look(alert(expression)), "HK532")
    assert told.severity == "error"
    assert words in told.message
    assert told.line == 10


def test_names_that_only_might_be_wrong_are_no_errors(look: Look) -> None:
    assert only(look(alert("vllm:something_new > 1")), "HK532").severity == "warning"
    assert only(look(alert("DCGM_FI_PROF_SM_ACTIVE > 1")), "HK532").severity == "info"
    listed = config("DCGM_FI_PROF_SM_ACTIVE, gauge, The ratio of cycles\n", key="counters.csv")
    assert found(look, together(listed, alert("DCGM_FI_PROF_SM_ACTIVE > 1"))) == []


def test_an_old_engine_has_its_old_metrics(look: Look) -> None:
    old = engine("Qwen/Qwen3-8B", image="vllm/vllm-openai:v0.9.1")
    new = engine("Qwen/Qwen3-8B", name="new")
    expression = alert("vllm:gpu_cache_usage_perc > 0.9")
    assert found(look, together(old, expression)) == []
    assert found(look, together(old, new, expression)) == ["HK532"]


def test_names_that_the_tree_records_are_its_own(look: Look) -> None:
    recorded = alert("vllm:queue > 1") + "        - {record: 'vllm:queue', expr: vllm:num_requests_waiting}\n"
    assert found(look, recorded) == []


@pytest.mark.parametrize(
    ("expression", "severity"), [("sum(rate(x[5m])", "error"), ("rate(x)", "error"), ("nosuch(x)", "warning")]
)
def test_what_is_no_promql_is_told(look: Look, expression: str, severity: str) -> None:
    assert only(look(alert(expression)), "HK531").severity == severity


@pytest.mark.parametrize(
    ("expression", "rules"),
    [
        ("DCGM_FI_DEV_FB_USED > 95", ["HK534"]),
        ("avg_over_time(DCGM_FI_DEV_FB_USED[5m]) > 95", ["HK534"]),
        ("max by (gpu) (DCGM_FI_DEV_FB_USED) >= 90", ["HK534"]),
        ("vllm:kv_cache_usage_perc > 90", ["HK534"]),
        ("vllm:kv_cache_usage_perc * 100 > 90", []),
        ("DCGM_FI_DEV_FB_USED > 0", []),
        ("vllm:kv_cache_usage_perc < 90", []),
    ],
)
def test_thresholds_are_in_the_metrics_unit(look: Look, expression: str, rules: list[str]) -> None:
    assert found(look, alert(expression)) == rules


MONITOR = "apiVersion: monitoring.coreos.com/v1\nkind: PodMonitor\nmetadata: {name: m}\nspec:\n  %s\n"


def test_labels_of_engines_metrics(look: Look) -> None:
    plain = MONITOR % "selector: {matchLabels: {app: qwen}}"
    adds = MONITOR % "podTargetLabels: [model]"
    wrong = alert('sum by (model) (vllm:num_requests_waiting{model="a"}) > 1')
    assert "it is model_name" in only(look(together(plain, wrong)), "HK533").message
    assert found(look, together(adds, wrong)) == []
    assert found(look, wrong) == []  # whatever scrapes them stands elsewhere, and may relabel
    joined = alert("sum by (model) (vllm:num_requests_waiting * on (pod) group_left (model) x) > 1")
    assert found(look, together(plain, joined)) == []
    assert found(look, together(plain, alert('litellm_deployment_state{model="a"} == 2'))) == []


def test_utilization_of_slices(look: Look) -> None:
    sliced = pod("registry.acme.dev/a:1", more="\nresources: {limits: {nvidia.com/mig-1g.10gb: 1}}\n")
    assert found(look, together(sliced, alert("DCGM_FI_DEV_GPU_UTIL < 5"))) == ["HK535"]
    assert found(look, alert("DCGM_FI_DEV_GPU_UTIL < 5")) == []


SCALED = """
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: qwen}
spec:
  scaleTargetRef: {name: qwen}
  triggers:
    - type: prometheus
      metadata: %s
"""


@pytest.mark.parametrize(
    ("trigger", "rules"),
    [
        ({"query": "vllm:num_requests_waiting", "threshold": "5"}, []),
        ({"query": "vllm_num_requests_waiting", "threshold": "5"}, ["HK532"]),
        ({"query": "vllm:num_requests_waiting"}, ["HK537"]),
        ({"query": "vllm:num_requests_waiting", "threshold": "5", "metricName": "a"}, ["HK536"]),
        ({"query": "vllm:kv_cache_usage_perc", "threshold": "80"}, ["HK534"]),
        ({"query": "vllm:kv_cache_usage_perc * 100", "threshold": "80"}, []),
        ({"query": "sum(", "threshold": "5"}, ["HK531"]),
    ],
)
def test_autoscalers_triggers(look: Look, trigger: dict[str, str], rules: list[str]) -> None:
    given = json.dumps({"serverAddress": "http://prometheus:9090", **trigger})
    assert found(look, SCALED % given) == rules


PROMETHEUS = {"type": "prometheus", "uid": "x"}


@pytest.mark.parametrize(
    ("target", "rules"),
    [
        ({"expr": 'rate(vllm:generation_tokens_total{model_name=~"$model"}[$__rate_interval])'}, []),
        ({"expr": "vllm:gpu_cache_usage_perc"}, ["HK532"]),
        ({"expr": 'vllm:gpu_cache_usage_perc{pod="$pod"} > ${limit:raw}'}, ["HK532"]),
        ({"expr": "sum(", "datasource": PROMETHEUS}, ["HK531"]),
        ({"expr": "sum("}, []),  # nobody knows what is asked there
        ({"expr": "sum($x", "datasource": PROMETHEUS}, []),
        ({"expr": '{app="a"} |= `b`', "datasource": {"type": "loki"}}, []),
        ({"expr": "label_values(vllm:nothing, pod)"}, []),
        ({"expr": ["a"]}, []),
    ],
)
def test_dashboards(look: Look, target: object, rules: list[str]) -> None:
    assert found(look, board_of(target)) == rules


def test_a_place_in_a_dashboard_is_the_line_of_the_file(look: Look) -> None:
    text = board_of({"refId": "A", "expr": "vllm:gpu_cache_usage_perc"})
    told = only(look(text), "HK532")
    assert "vllm:gpu" in text.split("\n")[told.line - 1]
    folded = text.replace("engines.json: |", "engines.json: >")
    assert only(look(folded), "HK532").line == 6


def test_rules_in_a_file_of_prometheus_itself(look: Look) -> None:
    text = config("groups:\n  - name: a\n    rules:\n      - alert: b\n        expr: vllm:gpu_cache_usage_perc > 1\n")
    assert only(look(text), "HK532").line == 11


def test_without_the_parser_that_is_said_once_and_left_open(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (promql, metrics):
        monkeypatch.setattr(module, "load_parser", lambda: None)  # as where the extra is not installed
    report = look(together(alert("sum("), board_of({"expr": "sum("})))
    told = only(report, "HK530")
    assert told.rule.open
    assert "k8s" in told.hint
    assert found(look, engine("Qwen/Qwen3-8B")) == []


def test_the_exporter_of_the_operator_is_enough(look: Look) -> None:
    policy = (
        "apiVersion: nvidia.com/v1\nkind: ClusterPolicy\nmetadata: {name: p}\nspec: {dcgmExporter: {enabled: %s}}\n"
    )
    exporter = """
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: dcgm}
spec:
  selector: {matchLabels: {app: dcgm}}
  template:
    metadata: {labels: {app: dcgm}}
    spec:
      containers:
        - {name: dcgm, image: "nvcr.io/nvidia/k8s/dcgm-exporter:4.8.3-4.6.0-ubuntu22.04"}
"""
    assert found(look, together(policy % "true", exporter)) == ["HK538"]
    assert found(look, together(policy % "false", exporter)) == []
    assert found(look, exporter) == []


def test_alerts_on_what_is_not_scraped_here(look: Look) -> None:
    served, asks = engine("Qwen/Qwen3-8B"), alert("vllm:num_requests_waiting > 1")
    other, right = MONITOR % "selector: {matchLabels: {app: x}}", MONITOR % "selector: {matchLabels: {app: qwen}}"
    assert found(look, together(served, asks, other)) == ["HK539"]
    assert found(look, together(served, asks, right)) == []
    assert found(look, together(served, asks)) == []
    assert found(look, together(asks, other)) == []


def test_hanoks_own_metrics_are_those_of_its_page() -> None:
    told = set(re.findall(r"^\| `(hanok_\w+)`", DOCS.read_text(), re.MULTILINE))
    (own,) = [each for each in metrics.components() if each.key == "hanok"]
    read = {
        f"{own.prefix}{name}_total" if kind == "counter" else f"{own.prefix}{name}" for name, kind in own.kinds.items()
    }
    assert read == told
