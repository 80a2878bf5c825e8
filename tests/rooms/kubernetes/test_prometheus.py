"""What is watched: every monitor is seen, every expression can be read, and asks for what somebody exposes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from hanok.errors import SpecError
from hanok.kubernetes.alerts import Alert, Recorded, groups
from hanok.kubernetes.dashboards import boards
from hanok.preflight.consistency.metrics import components
from hanok.preflight.consistency.promql import read_query
from tests.rooms.kubernetes.rendering import CHAT, Made, faults, made

ALL = (
    CHAT.replace("load: {requests_per_s: 2}", "load: {requests_per_s: 2}, latency: {ttft_s: 2}")
    + """\
  - {name: embed, type: embedding, serve: {engine: sentence-encoder}}
knowledge: [{name: docs, sources: {builtin: handbook}}]
agents: [{name: helper, model: chat, system_prompt: Help.}]
telemetry: {export: {to: otlp, url: "http://collector.example:4318"}}
cluster: {observe: {alerts: {to: slack, url: "${env:SLACK_URL}", channel: "#platform"}}}
"""
)
OTHERS = {
    "up",
    "kube_cronjob_status_last_successful_time",
    "kube_job_status_active",
    "kube_job_status_failed",
    "kube_pod_container_resource_limits",
    "container_memory_working_set_bytes",
}
"""Of Prometheus itself, kube-state-metrics and the kubelet."""


@cache
def tree(text: str = ALL) -> Made:
    return made(text)


def values() -> dict[str, Any]:
    return tree().one("HelmRelease", "prometheus")["spec"]["values"]


def rules() -> Iterator[Alert | Recorded]:
    return (rule for group in groups(tree().plan) for rule in group.rules)


def expressions() -> list[str]:
    """Of every rule, every panel, and every variable of a dashboard."""
    panels = [panel for board in boards(tree().plan) for row in board.rows for panel in row.panels]
    asked = [
        re.findall(r"label_values\((.+), ", each)[0]
        for board in boards(tree().plan)
        for each in board.variables.values()
    ]
    return [*(each.expr for each in rules()), *(each.expr for panel in panels for each in panel.queries), *asked]


def test_monitors_and_rules_of_everybody_are_seen() -> None:
    spec = values()["prometheus"]["prometheusSpec"]
    for each in ("rule", "serviceMonitor", "podMonitor", "probe", "scrapeConfig"):
        assert spec[f"{each}SelectorNilUsesHelmValues"] is False
    assert (spec["retention"], spec["retentionSize"]) == ("15d", "42GiB")


def test_what_eks_runs_itself_is_not_looked_for_there_alone() -> None:
    assert values()["kubeEtcd"] == {"enabled": False}
    elsewhere = made(CHAT, target="kubernetes").one("HelmRelease", "prometheus")
    assert "kubeEtcd" not in elsewhere["spec"]["values"]


def test_grafanas_password_comes_from_the_store() -> None:
    assert values()["grafana"]["admin"]["existingSecret"] == "grafana-admin"
    keys = tree().one("ExternalSecret", "grafana-admin")["spec"]["data"]
    assert {each["secretKey"] for each in keys} == {"admin-user", "admin-password"}


def test_nobody_waits_for_grafana_whose_secret_comes_later() -> None:
    release = tree().one("HelmRelease", "prometheus")["spec"]
    assert release["install"]["disableWait"] is release["upgrade"]["disableWait"] is True


def test_alerts_go_where_the_file_says_and_the_address_is_in_no_file() -> None:
    receiver = values()["alertmanager"]["config"]["receivers"][1]["slack_configs"][0]
    assert receiver["api_url_file"] == "/etc/alertmanager/secrets/alerts-receiver/url"
    secret = tree().one("ExternalSecret", "alerts-receiver")["spec"]
    assert secret["target"]["template"]["data"] == {"url": "{{ .SLACK_URL }}"}
    assert secret["data"][0]["remoteRef"]["key"] == "production/acme/SLACK_URL"


def test_an_address_in_plain_text_is_refused_by_its_line() -> None:
    with pytest.raises(SpecError) as refused:
        made(CHAT + "cluster: {observe: {alerts: {url: 'https://hooks.example/T0/B0/XY'}}}\n")
    assert [each.path for each in refused.value.problems] == ["cluster.observe.alerts.url"]


def test_every_expression_can_be_read_and_asks_for_what_somebody_exposes() -> None:
    known = OTHERS | {each.name for each in rules() if isinstance(each, Recorded)}
    for expression in expressions():
        query = read_query(expression, dashboard=True)
        assert query is not None
        assert query.wrong == "", expression
        for each in query.selectors:
            assert each.name in known or is_exposed(each.name), f"{each.name} of {expression}"


def is_exposed(name: str) -> bool:
    """Whether a component of preflight's catalogue has it, by a name that its kind is read by."""
    for each in components():
        if name.startswith(each.prefix):
            base = name.removeprefix(each.prefix)
            plain = re.sub(r"_(total|bucket|sum|count)$", "", base)
            kind = each.kinds.get(base) or each.kinds.get(plain, "")
            endings = {"counter": "_total", "histogram": ("_bucket", "_sum", "_count")}.get(kind, "")
            return bool(kind) and name.endswith(endings)
    return False


def test_alerts_say_what_is_wrong_and_what_to_do_once_each() -> None:
    names = [each.name for each in rules() if isinstance(each, Alert)]
    assert len(names) == len(set(names))
    assert {"GpuHot", "HanokBudgetSpent", "VllmCacheFull", "MilvusDown", "HanokRunsFail"} <= set(names)
    for each in rules():
        if isinstance(each, Alert):
            assert each.summary[-1] != ".", each.name
            assert each.todo.endswith("."), each.name


def test_declared_latency_is_a_threshold() -> None:
    [declared] = [each for each in rules() if isinstance(each, Alert) and each.name == "HanokSlowerThanDeclared"]
    assert declared.expr.endswith("> 2")


def test_idle_gpus_are_told_in_dollars_at_the_price_of_their_pool() -> None:
    [pool] = tree().plan.pools
    usd = min(each.usd_hour or 0 for _, each in pool.machines) / pool.gpus
    [idle] = [each for each in rules() if each.name == "hanok:gpu_idle_usd_per_hour"]
    assert idle.expr.endswith(f"* {usd:.4g}")
    assert 'modelName=~"NVIDIA L40S"' in idle.expr


def test_a_dashboard_is_found_by_grafana_and_its_panels_do_not_overlap() -> None:
    shown = [each for each in tree().all("ConfigMap") if each["metadata"]["labels"].get("grafana_dashboard") == "1"]
    assert [each["metadata"]["name"] for each in shown] == [
        "dashboard-engines", "dashboard-gateway", "dashboard-gpus", "dashboard-work",
    ]  # fmt: skip
    for each in shown:
        [(name, text)] = each["data"].items()
        board = json.loads(text)
        assert name == f"{board['uid']}.json"
        taken: set[tuple[int, int]] = set()
        for panel in board["panels"]:
            x, y, width, height = (panel["gridPos"][key] for key in "xywh")
            cells = {(column, line) for column in range(x, x + width) for line in range(y, y + height)}
            assert not cells & taken
            assert x + width <= 24
            taken |= cells


def test_who_has_no_gpus_agents_or_knowledge_gets_no_boards_and_alerts_of_them() -> None:
    little = made("name: acme\nmodels: [{name: m, serve: {engine: openai, url: 'https://api.example/v1'}}]\n")
    assert [each["metadata"]["name"] for each in little.all("PrometheusRule")] == ["hanok-budgets", "hanok-gateway"]
    assert [each.name for each in boards(little.plan)] == ["gateway"]


def test_preflight_finds_nothing_in_it(tmp_path: Path) -> None:
    assert [each for each in faults(tree(), tmp_path) if "/observability/" in each or "/prometheus/" in each] == []
