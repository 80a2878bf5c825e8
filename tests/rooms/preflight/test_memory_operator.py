"""NVIDIA's GPU operator: versions, sharing, MIG layouts, and what an image has already."""

from __future__ import annotations

import pytest
import yaml

from tests.rooms.preflight.conftest import Look, only
from tests.rooms.preflight.engine_text import told

NODES = """apiVersion: karpenter.k8s.aws/v1
kind: EC2NodeClass
metadata: {name: gpu}
spec:
  amiSelectorTerms: [{alias: al2023@v20260715}]
  role: gpu
  subnetSelectorTerms: [{id: subnet-1}]
  securityGroupSelectorTerms: [{id: sg-1}]
"""


def release(version: str = "v26.7.0", **values: object) -> str:
    chart = {"chart": "gpu-operator", "version": version, "sourceRef": {"kind": "HelmRepository", "name": "nvidia"}}
    spec = {"interval": "10m", "chart": {"spec": chart}, "values": values}
    body = {"apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease", "metadata": {"name": "g"}, "spec": spec}
    return yaml.safe_dump(body)


def application(version: str = "v26.7.0", *, as_text: bool, **values: object) -> str:
    helm = {"values": yaml.safe_dump(values)} if as_text else {"valuesObject": values}
    source = {"repoURL": "https://helm.ngc.nvidia.com/nvidia", "chart": "gpu-operator", "targetRevision": version}
    spec = {"source": {**source, "helm": helm}, "project": "default", "destination": {"name": "x", "namespace": "g"}}
    body = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": {"name": "g"}, "spec": spec}
    return yaml.safe_dump(body)


def policy(**values: object) -> str:
    body = {"apiVersion": "nvidia.com/v1", "kind": "ClusterPolicy", "metadata": {"name": "g"}, "spec": values}
    return yaml.safe_dump(body)


def settings(name: str, key: str, value: object) -> str:
    text = value if isinstance(value, str) else yaml.safe_dump(value)
    return yaml.safe_dump({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {key: text},
    })  # fmt: skip


def slicing(**more: object) -> dict[str, object]:
    shared = {"resources": [{"name": "nvidia.com/gpu", "replicas": 4}], "failRequestsGreaterThanOne": True, **more}
    return {"version": "v1", "sharing": {"timeSlicing": shared}}


def layout(devices: object, **profiles: int) -> dict[str, object]:
    named = {name.replace("_", ".").removeprefix("g"): count for name, count in profiles.items()}
    entry = {"devices": devices, "mig-enabled": True, "mig-devices": named}
    return {"version": "v1", "mig-configs": {"ours": [entry]}}


def files(*texts: str) -> str:
    return "---\n".join(texts)


@pytest.mark.parametrize(
    ("version", "severities"),
    [("v24.9.0", ["warning"]), ("25.10.1", ["warning"]), ("v26.3.2", ["info"]), ("v26.7.0", []), ("v26.11.0", []),
     ("*", []), (">=24.9", [])],
)  # fmt: skip
def test_the_operators_version_is_judged(look: Look, version: str, severities: list[str]) -> None:
    report = look(release(version))
    assert [each.severity for each in report.findings if each.rule.id == "HK450"] == severities


def chart_of_k3s(version: str) -> str:
    spec = {"repo": "https://helm.ngc.nvidia.com/nvidia", "chart": "gpu-operator", "version": version}
    return yaml.safe_dump({
        "apiVersion": "helm.cattle.io/v1", "kind": "HelmChart", "metadata": {"name": "g"},
        "spec": {**spec, "valuesContent": yaml.safe_dump({"mig": {"strategy": "mixed"}})},
    })  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        application("v24.9.0", as_text=True),
        application("v24.9.0", as_text=False, mig={"strategy": "mixed"}),
        release("v24.9.0").replace("chart: gpu-operator", "chart: nvidia/gpu-operator"),
        chart_of_k3s("v24.9.0"),
    ],
)
def test_the_version_is_found_however_the_chart_is_installed(look: Look, text: str) -> None:
    assert "24.9.0" in only(look(text), "HK450").message


def test_an_application_may_have_several_charts(look: Look) -> None:
    one = yaml.safe_load(application("v24.9.0", as_text=True))
    one["spec"]["sources"] = [{"repoURL": "https://example.org", "path": "values"}, one["spec"].pop("source")]
    found = only(look(yaml.safe_dump(one)), "HK450")
    assert found.path == "spec.sources[1].targetRevision"


def test_sharing_by_default_is_told_however_the_chart_is_installed(look: Look) -> None:
    values = {"devicePlugin": {"config": {"name": "sharing", "default": "any"}}}
    for text in (release(**values), application(as_text=True, **values), application(as_text=False, **values)):
        assert told(look(files(text, settings("sharing", "any", slicing())))) == ["HK451"]
    assert told(look(files(policy(**values), settings("sharing", "any", slicing())))) == ["HK451"]
    inline = {"devicePlugin": {"config": {"default": "any", "data": {"any": yaml.safe_dump(slicing())}}}}
    assert told(look(release(**inline))) == ["HK451"]


def test_sharing_by_label_and_defaults_that_share_nothing_are_fine(look: Look) -> None:
    labelled = {"devicePlugin": {"config": {"name": "sharing"}}}
    assert told(look(files(release(**labelled), settings("sharing", "shared", slicing())))) == []
    whole = {"devicePlugin": {"config": {"name": "sharing", "default": "whole"}}}
    assert told(look(files(release(**whole), settings("sharing", "whole", {"version": "v1"})))) == []


def test_several_shares_of_one_gpu_must_not_pass_for_gpus(look: Look) -> None:
    assert told(look(settings("sharing", "x", slicing(failRequestsGreaterThanOne=False)))) == ["HK457"]
    assert told(look(settings("sharing", "x", slicing()))) == []


def test_strategies_that_differ_are_told(look: Look) -> None:
    values = {"mig": {"strategy": "mixed"}, "devicePlugin": {"config": {"name": "plugin"}}}
    config = {"version": "v1", "flags": {"migStrategy": "none"}}
    assert told(look(files(release(**values), settings("plugin", "x", config)))) == ["HK452"]
    assert told(look(files(release(**values), settings("other", "x", config)))) == []


@pytest.mark.parametrize(
    ("values", "rules"),
    [
        ({}, ["HK453"]),
        ({"driver": {"enabled": False}}, ["HK453"]),
        ({"driver": {"enabled": False}, "toolkit": {"enabled": False}}, []),
    ],
)
def test_what_the_image_brings_is_not_installed_again(look: Look, values: dict[str, object], rules: list[str]) -> None:
    assert told(look(files(NODES, release(**values)))) == rules
    assert told(look(release(**values))) == []


@pytest.mark.parametrize(
    ("config", "rules"),
    [
        (layout("all", g1g_10gb=7), []),
        (layout([0], g1g_10gb=7), ["HK454"]),
        (layout([0, 1, 2, 3], g1g_10gb=7), []),
        (layout("all", g2g_20gb=3, g1g_10gb=1), []),
        (layout("all", g3g_40gb=2), []),
        (layout("all", g3g_40gb=2, g1g_10gb=1), ["HK455"]),
        (layout("all", g1g_10gb=8), ["HK455"]),
        (layout("all", g1g_5gb=1, g1g_20gb=1), ["HK455"]),
        (layout("all", g4g_24gb=1), []),
        (layout("all", g9g_99gb=1), ["HK455"]),
        (layout("all", **{"all-balanced": 1}), ["HK455"]),
        (layout("all"), []),
    ],
)
def test_mig_layouts_fit_on_a_gpu(look: Look, config: dict[str, object], rules: list[str]) -> None:
    assert told(look(settings("layouts", "config.yaml", config))) == rules


def test_one_gpu_is_all_where_machines_have_one(look: Look) -> None:
    pool = """apiVersion: karpenter.sh/v1
kind: NodePool
metadata: {name: gpu}
spec:
  template:
    spec:
      nodeClassRef: {group: karpenter.k8s.aws, kind: EC2NodeClass, name: gpu}
      requirements: [{key: node.kubernetes.io/instance-type, operator: In, values: [p5.4xlarge]}]
"""
    assert "HK454" not in told(look(files(pool, settings("layouts", "config.yaml", layout([0], g1g_10gb=7)))))


def test_layouts_are_read_only_where_the_operator_names_them(look: Look) -> None:
    layouts = settings("layouts", "config.yaml", layout("all", g1g_10gb=7))
    assert told(look(files(release(), layouts))) == ["HK456"]
    assert told(look(files(release(migManager={"config": {"name": "layouts"}}), layouts))) == []
    assert told(look(layouts)) == []


def test_a_strategy_in_a_config_map_is_read_by_nobody(look: Look) -> None:
    assert "value of the chart" in only(look(settings("x", "mig.strategy", "mixed")), "HK458").message


@pytest.mark.parametrize(
    "odd", ["[", "- 1", "7", "mig-configs: 3", "sharing: [1]", "flags: x\nsharing: {timeSlicing: 4}"]
)
def test_odd_texts_and_values_are_passed_over(look: Look, odd: str) -> None:
    report = look(files(release(devicePlugin=odd, mig=[1]), settings("x", "any", odd)))
    assert told(report) == []
    assert "HK008" not in [each.rule.id for each in report.findings]
