"""What preflight is given: YAML of any kind and quality becomes manifests, or one clear finding."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hanok.errors import PreflightError
from hanok.preflight import gather
from tests.rooms.preflight.conftest import Look, ids, only

NAMESPACE = "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: a\n"


def bomb() -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "rule", "line", "words"),
    [
        (NAMESPACE + "spec: [\n", "HK001", 6, "still open"),
        (NAMESPACE + "spec: &loop\n  inner: *loop\n", "HK001", 5, "refers to itself"),
        (bomb(), "HK001", 0, "repeats too much"),
        (NAMESPACE + "spec: " + "[" * 100_000 + "\n", "HK001", 0, "nested"),
        ("a:\n" + "".join(f"{' ' * n}b:\n" for n in range(1, 400)), "HK001", 0, "nested"),
        (NAMESPACE + "spec: \x07\n", "HK001", 5, "U+0007"),
        (NAMESPACE + "metadata: {}\n", "HK002", 5, "first in line 3"),
        ("kind: {{ .Values.kind }}\n", "HK003", 1, "template"),
        ("{{- if .Values.enabled }}\nkind: Pod\n{{- end }}\n", "HK003", 1, "template"),
        ("- 1\n- 2\n", "HK004", 1, "passed over"),
        ("kind: Pod\n", "HK004", 1, "apiVersion"),
        ("apiVersion: v1\nkind: [Pod]\n", "HK004", 1, "kind"),
    ],
)
def test_what_cannot_be_read_is_one_finding(look: Look, text: str, rule: str, line: int, words: str) -> None:
    found = only(look(text), rule)
    assert words in found.message
    assert found.line == line or not line


def test_a_broken_document_does_not_hide_the_others(look: Look) -> None:
    other = NAMESPACE.replace("name: a", "name: c")
    report = look(f"{NAMESPACE}---\na: [\n---\n{other}  name: b\n")
    assert ids(report) == ["HK001", "HK002"]
    assert [each.line for each in report.findings] == [7, 12]
    assert [each.name for each in report.case.cluster.manifests] == ["a", "c"]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"a: \xff\xfe\n", "not UTF-8"),
        (b"\x80", "line 1"),
        (b"a: " + b"x" * (33 * 1024 * 1024), "too large"),
    ],
)
def test_files_of_another_encoding_or_size_are_one_finding(look: Look, data: bytes, words: str) -> None:
    assert words in only(look({"a.yaml": data}), "HK001").message


def test_a_file_in_utf_16_and_one_with_a_byte_order_mark_are_read(look: Look) -> None:
    report = look({"a.yaml": NAMESPACE.encode("utf-16"), "b.yaml": b"\xef\xbb\xbf" + NAMESPACE.encode()})
    assert len(report.case.cluster.manifests) == 2


def test_values_are_read_as_kubernetes_reads_them(look: Look) -> None:
    text = "a: 010\nb: 1:30\nc: 2001-01-01\nd: yes\ne: 1e3\nf: =\ng: ~\n1: '010'\nh: 0x_\ni: .5\nj: !odd x\nk: 1_000\n"
    (manifest,) = look(NAMESPACE + text).case.cluster.manifests
    found = {key: value for key, value in manifest.body.items() if len(key) == 1}
    assert found == {
        "a": 8, "b": "1:30", "c": "2001-01-01", "d": True, "e": 1000.0, "f": "=", "g": None, "1": "010", "h": "0x_",
        "i": 0.5, "j": "x", "k": 1000,
    }  # fmt: skip


def test_merged_keys_lose_against_written_ones(look: Look) -> None:
    text = "x: &x {a: 1, b: 2}\ny:\n  <<: *x\n  a: 3\n"
    (manifest,) = look(NAMESPACE + text).case.cluster.manifests
    assert manifest.body["y"] == {"a": 3, "b": 2}


def test_lists_of_objects_and_json_are_taken_apart(look: Look) -> None:
    inner = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}}
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": [inner, inner]}, indent=1)
    manifests = look({"a.json": text}).case.cluster.manifests
    assert [(each.kind, each.line("metadata", "name")) for each in manifests] == [("Namespace", 9), ("Namespace", 16)]


def test_the_blocks_of_an_article_are_read_with_its_lines(tmp_path: Path) -> None:
    article = tmp_path / "post.md"
    article.write_text(f"# A post\n\n```yaml\n{NAMESPACE}```\n\n~~~yml\nargs: [--model]\n~~~\n\n```sh\nls\n```\n")
    cluster = gather([article]).cluster
    assert [each.line("metadata") for each in cluster.manifests] == [6]
    assert [each.body for each in cluster.fragments] == [{"args": ["--model"]}]
    assert [each.first_line for each in cluster.fragments] == [11]


def test_a_chart_is_passed_over_with_a_word(look: Look) -> None:
    report = look({"Chart.yaml": "name: x\n", "templates/a.yaml": "kind: {{ x }}\n", "values.yaml": "a: 1\n"})
    assert "helm template" in only(report, "HK003").hint


@pytest.mark.parametrize("patches", ["patches: [{path: less.yaml}]", "patchesStrategicMerge: [less.yaml]"])
def test_patches_of_kustomize_are_no_manifests(look: Look, patches: str) -> None:
    part = "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: a\nspec:\n  replicas: 3\n"
    report = look({"prod/kustomization.yaml": f"resources: [../base]\n{patches}\n", "prod/less.yaml": part})
    assert [each.rule.id for each in report.findings if each.severity == "error"] == ["HK003"]
    assert "kubectl kustomize" in only(report, "HK003").hint


def test_a_kustomization_that_only_lists_is_no_obstacle(look: Look) -> None:
    report = look({"kustomization.yaml": "resources: [a.yaml]\n", "a.yaml": NAMESPACE})
    assert [each.rule.id for each in report.findings if each.severity == "error"] == []
    assert len(report.case.cluster.manifests) == 1


def test_files_that_are_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(PreflightError, match="cannot be read"):
        gather([tmp_path / "none.yaml"])


def test_an_ignored_finding_is_kept_with_its_reason(look: Look) -> None:
    text = NAMESPACE + "  # hanok: ignore HK002 old tools read it\n  name: b\n"
    report = look(text)
    assert (report.verdict, ids(report)) == ("proved", [])
    assert [each.ignored for each in report.ignored] == ["old tools read it"]


def test_an_ignore_before_the_first_key_counts_for_its_document_alone(look: Look) -> None:
    text = NAMESPACE + "  name: b\n"
    report = look(f"# hanok: ignore HK002 twins\n{text}---\n{text.replace('name: a', 'name: c')}")
    assert [each.line for each in report.findings] == [12]
    assert [each.line for each in report.ignored] == [6]


@pytest.mark.parametrize("comment", ["HK002", "HK2 x", "", "all of it", "HK999 because"])
def test_an_ignore_without_rule_reason_or_finding_is_told(look: Look, comment: str) -> None:
    assert ids(look(f"{NAMESPACE}# hanok: ignore {comment}\n")) == ["HK007"]


def test_what_could_not_be_read_cannot_be_ignored(look: Look) -> None:
    report = look(f"# hanok: ignore HK001 it is fine\n{NAMESPACE}spec: [\n---\n{NAMESPACE}")
    assert (report.verdict, ids(report)) == ("refuted", ["HK007", "HK001"])
    assert "cannot be ignored" in report.findings[0].message


def test_a_line_among_very_many_keys_is_that_of_the_first_of_its_name(look: Look) -> None:
    keys = [f"  K{number}_HOST: svc-{number}.shop.svc:80" for number in range(100)]
    body = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, namespace: shop}\ndata:\n"
    found = look(body + "\n".join([*keys, keys[7]]) + "\n", select=["HK231", "HK002"]).findings
    told = {each.message.split()[2]: each.line for each in found if each.rule.id == "HK231"}
    assert told["svc-0"] == 5
    assert told["svc-7"] == 12
    assert told["svc-99"] == 104
