"""Releases of a helmfile count as those of Flux: their charts bring things, and what they are told is held to rules."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rooms.preflight.conftest import look_at

ASKS = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: c, namespace: observability}
data: {url: "http://langfuse-web.observability.svc:3000/api"}
---
apiVersion: monitoring.coreos.com/v1
kind: ServiceMonitor
metadata: {name: m, namespace: observability}
spec: {endpoints: [{port: http}], selector: {}}
"""
HELMFILE = """\
repositories:
- {name: langfuse, url: "https://langfuse.github.io/langfuse-k8s"}
releases:
- name: langfuse
  namespace: observability
  chart: langfuse/langfuse
  version: 1.5.30
  values:
  - values/langfuse.yaml.gotmpl
  - {langfuse: {replicas: 2}}
- name: stack
  namespace: observability
  chart: prometheus-community/kube-prometheus-stack
  values:
  - prometheus: {prometheusSpec: {replicas: 2}}
"""


def rules(folder: Path, helmfile: str) -> set[str]:
    report = look_at(folder, {"asks.yaml": ASKS, "helmfile.yaml": helmfile}, select=["HK2"])
    return {each.rule.id for each in report.findings if each.rule.severity in ("error", "warning")}


def test_what_a_release_may_bring_is_not_missed(tmp_path: Path) -> None:
    assert "HK231" in rules(tmp_path / "without", "releases: []")
    assert "HK231" not in rules(tmp_path / "with", HELMFILE)


def test_a_release_that_is_not_installed_brings_nothing(tmp_path: Path) -> None:
    gone = HELMFILE.replace("  chart: langfuse/langfuse", "  installed: false\n  chart: langfuse/langfuse").replace(
        "- name: stack\n  namespace: observability", "- name: stack\n  namespace: monitoring"
    )
    assert "HK231" in rules(tmp_path, gone)


def test_values_of_a_release_are_held_to_rules_at_its_line(tmp_path: Path) -> None:
    report = look_at(tmp_path, {"asks.yaml": ASKS, "helmfile.yaml": HELMFILE})
    assert any("reads only what has the label `release: stack`" in each.message for each in report.findings)
    assert not [each for each in report.findings if each.file.endswith("helmfile.yaml") and each.rule.id == "HK107"]


def test_values_in_two_parts_are_merged_as_deep_as_helm_does(tmp_path: Path) -> None:
    anyones = ", ".join(f"{each}MonitorSelectorNilUsesHelmValues: false" for each in ("service", "pod"))
    part = "  - prometheus: {prometheusSpec: {replicas: 2}}"
    assert part in HELMFILE
    twice = HELMFILE.replace(part, f"  - prometheus: {{prometheusSpec: {{{anyones}}}}}\n{part}")
    assert "HK226" in rules(tmp_path / "one", HELMFILE)
    assert "HK226" not in rules(tmp_path / "two", twice)


@pytest.mark.parametrize(
    "helmfile",
    ["releases: 7", "releases: [7, null, {}]", "releases: [{name: a}]", "releases: [{name: a, chart: b, values: 3}]"],
)
def test_odd_helmfiles_are_read_as_far_as_they_go(tmp_path: Path, helmfile: str) -> None:
    look_at(tmp_path, {"asks.yaml": ASKS, "helmfile.yaml": helmfile})
