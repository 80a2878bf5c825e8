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


def told(folder: Path, files: dict[str, str], select: str = "HK") -> list[str]:
    """Rules and messages of what is found, in order."""
    return [f"{each.rule.id} {each.message}" for each in look_at(folder, files, select=[select]).findings]


@pytest.mark.parametrize("namespace", ['"{{ .Environment.Name }}"', "'{{ requiredEnv \"NS\" }}-x'"])
def test_a_namespace_that_a_template_fills_in_may_be_any(tmp_path: Path, namespace: str) -> None:
    templated = HELMFILE.replace("namespace: observability", f"namespace: {namespace}")
    assert not [each for each in told(tmp_path, {"asks.yaml": ASKS, "helmfile.yaml": templated}) if "HK122" in each]
    assert "HK231" not in rules(tmp_path, templated)
    name = templated.replace("name: langfuse\n", "name: '{{ .Values.name }}'\n")
    assert not [each for each in told(tmp_path, {"helmfile.yaml": name}, "HK122") if "HK122" in each]


def test_a_helmfile_that_is_a_template_is_told_with_helmfiles_own_command_and_may_bring_anything(
    tmp_path: Path,
) -> None:
    templated = HELMFILE.replace("namespace: observability", "namespace: {{ .Values.space }}")
    report = look_at(tmp_path, {"asks.yaml": ASKS, "helmfile.yaml": templated}, select=["HK0", "HK2"])
    (found,) = [each for each in report.findings if each.rule.id == "HK003"]
    assert found.hint == f"`helmfile -f {tmp_path / 'helmfile.yaml'} template | hanok preflight -`"
    assert found.line == 5
    assert "HK231" not in [each.rule.id for each in report.findings]


def test_templates_that_are_not_read_are_said_once(tmp_path: Path) -> None:
    files = {"values/a.yaml.gotmpl": "a: {{ .b }}", "values/b.yaml.gotmpl": "a: 1", "asks.yaml": ASKS}
    assert told(tmp_path, files, "HK004") == ["HK004 a template of helmfile is not read, nor 1 more"]
    assert "HK231" in rules(tmp_path, "releases: []")
    whole = look_at(tmp_path, {"helmfile.yaml.gotmpl": HELMFILE}, select=["HK004", "HK231"])
    assert [(each.rule.id, Path(each.file).name) for each in whole.findings] == [("HK004", "helmfile.yaml.gotmpl")]


ENVIRONMENTS = """\
environments:
  default: {values: [env/default.yaml]}
  prod: {values: [env/prod.yaml, "env/{{ .Environment.Name }}.yaml"]}
---
helmDefaults: {wait: true}
templates:
  stack: {chart: prometheus-community/kube-prometheus-stack, namespace: observability, values: [stack.yaml]}
---
bases: [bases.yaml]
releases:
- name: stack
  inherit: [{template: stack}]
"""
PICKY = "release: stack"


def test_documents_of_environments_and_what_they_name_are_no_objects(tmp_path: Path) -> None:
    files = {
        "helmfile.yaml": ENVIRONMENTS, "env/default.yaml": "a: 1\n", "env/prod.yaml": "a: 2\n", "other.yaml": "a: 3\n",
        "stack.yaml": "prometheus: {}\n", "bases.yaml": "repositories: []\n",
    }  # fmt: skip
    found = look_at(tmp_path, files, select=["HK004"]).findings
    assert [Path(each.file).name for each in found] == ["other.yaml"]


def test_a_release_inherits_its_chart_and_values_that_stand_in_a_file(tmp_path: Path) -> None:
    anyones = ", ".join(f"{each}MonitorSelectorNilUsesHelmValues: false" for each in ("service", "pod"))
    asks = {"asks.yaml": ASKS, "helmfile.yaml": ENVIRONMENTS}
    picky = told(tmp_path / "picky", {**asks, "stack.yaml": "prometheus: {}\n"}, "HK226")
    assert [each for each in picky if PICKY in each]
    open_ = f"prometheus: {{prometheusSpec: {{{anyones}}}}}\n"
    assert told(tmp_path / "open", {**asks, "stack.yaml": open_}, "HK226") == []
    assert told(tmp_path / "unread", asks, "HK226") == []  # nobody knows


def test_values_outside_of_what_was_given_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "stack.yaml").write_text("prometheus: {}\n")
    asks = {"asks.yaml": ASKS, "helmfile.yaml": ENVIRONMENTS.replace("[stack.yaml]", "[../stack.yaml]")}
    assert told(tmp_path / "given", asks, "HK226") == []


def test_later_documents_replace_the_releases_of_earlier_ones(tmp_path: Path) -> None:
    assert "HK231" not in rules(tmp_path / "one", HELMFILE)
    assert "HK231" in rules(tmp_path / "two", f"{HELMFILE}---\nreleases: []\n")


@pytest.mark.parametrize(
    ("name", "text", "is_one"),
    [
        ("helmfile.yaml", "releases: [{name: a, chart: b}]", True),
        ("helmfile-prod.yaml", "releases: [{name: a, chart: b}]", True),
        ("helmfile.d/10-a.yaml", "releases: [{name: a, chart: b}]", True),
        ("apps.yaml", "releases: [{name: a, chart: b}]", True),
        ("songs.yaml", "releases: [{name: a, chart: b, artist: c}]", False),
        ("songs.yaml", "charts: 1\nreleases: [{name: a, chart: b}]", False),
        ("songs.yaml", "releases: [{name: a, chart: b}, {title: x}]", False),
    ],
)
def test_a_list_of_releases_makes_a_helmfile_only_by_its_name_or_its_form(
    tmp_path: Path, name: str, text: str, is_one: bool
) -> None:
    report = look_at(tmp_path, {name: text})
    assert [each.kind for each in report.case.cluster.manifests] == (["Release"] if is_one else [])


ODD = ["7", "[7]", "{a: 7}", "null", "[[]]", "[{template: 7}]", '["a\\0b"]', "[{template: {}, except: 7}]"]


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize(
    "where",
    ["templates", "bases", "environments", "helmfiles", "defaultInherit", "values", "inherit", "release values"],
)
def test_helmfiles_of_odd_shapes_break_nothing(tmp_path: Path, where: str, odd: str) -> None:
    text = f"{where}: {odd}\nreleases: [{{name: a, chart: b}}]"
    if where in ("inherit", "release values"):
        text = f"releases: [{{name: a, chart: b, {where.rpartition(' ')[2]}: {odd}}}]"
    report = look_at(tmp_path, {"asks.yaml": ASKS, "helmfile.yaml": text})
    assert "HK008" not in [each.rule.id for each in report.findings]
    assert "Release" in [each.kind for each in report.case.cluster.manifests]


def test_a_base_that_names_itself_ends(tmp_path: Path) -> None:
    look_at(tmp_path, {"helmfile.yaml": "bases: [helmfile.yaml]\nvalues: [helmfile.yaml]\nreleases: []\n"})


def test_values_that_thousands_of_releases_share_are_read_within_bounds(tmp_path: Path) -> None:
    many = "".join(f"k{number}: {{a: {number}}}\n" for number in range(1000))
    names = "".join(f"- {{name: r{number}, chart: c, values: [v.yaml]}}\n" for number in range(300))
    report = look_at(tmp_path, {"helmfile.yaml": f"releases:\n{names}", "v.yaml": many}, select=["HK0"])
    read = [not each.body["spec"]["valuesFrom"] for each in report.case.cluster.manifests]
    assert (len(read), read.count(True)) == (300, 99)
