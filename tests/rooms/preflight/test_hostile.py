"""Manifests that mean harm, or are no manifests at all: nothing hangs, nothing breaks off."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from hanok.preflight.schema.load import load_custom
from tests.rooms.preflight.conftest import Hanok, Look, ids, only, told, write

CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  k: |\n    "
INGRESS = """apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: a}
spec: {defaultBackend: {service: {name: s, port: {name: PORT}}}}
---
apiVersion: v1
kind: Service
metadata: {name: s}
spec: {ports: [{port: 80}], selector: {a: b}}
"""
POD = """apiVersion: v1
kind: Pod
metadata: {name: p}
spec:
  containers:
  - {name: c, image: "r.example/a:1", resources: {requests: {memory: 1e60}, limits: {a.example/b: 1e60}}}
"""
DEFINITION = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "rooms.house.example"},
    "spec": {
        "group": "house.example",
        "names": {"kind": "Room", "plural": "rooms"},
        "scope": "Namespaced",
        "versions": [
            {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
        ],
    },
}


@pytest.mark.parametrize("long", ["a.b.svc" * 9000, "a" * 60_000, "://" * 20_000, "redis://:" * 7000])
def test_a_long_text_without_a_space_is_read_in_time_that_grows_with_its_length(look: Look, long: str) -> None:
    assert "HK561" not in ids(look(CONFIG + long + "\n", select=["HK56"]))


@pytest.mark.parametrize("text", [INGRESS.replace("PORT", "{a: b}"), INGRESS.replace("PORT", "[1]"), POD])
def test_values_of_another_shape_or_size_break_no_check(look: Look, text: str) -> None:
    assert "HK008" not in ids(look(text))


@pytest.mark.parametrize("listed", [True, False])
def test_definitions_in_flow_style_are_found(tmp_path: Path, listed: bool) -> None:
    value = {"apiVersion": "v1", "kind": "List", "items": [DEFINITION]} if listed else DEFINITION
    for indent in (None, 4):
        (tmp_path / "crds.yaml").write_text(json.dumps(value, indent=indent))
        (found,) = load_custom([tmp_path / "crds.yaml"]).of("Room")
        assert (found.group, found.version) == ("house.example", "v1")


def test_a_pipe_and_a_device_in_a_folder_of_schemas_are_passed_over(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "zero.yaml").symlink_to("/dev/zero")
    assert load_custom([tmp_path]).of("Room") == []


@pytest.mark.parametrize(
    "said", ["{name: 'A_B # hanok: ignore HK122 yes'}", "{name: A_B}\ndata:\n  k: |\n    # hanok: ignore HK122 yes\n"]
)
def test_a_text_that_looks_like_a_comment_silences_nothing(look: Look, said: str) -> None:
    before = "data:\n  k: |\n    # hanok: ignore HK122 yes\n" if "data" in said else ""
    assert "HK122" in ids(
        look("apiVersion: v1\nkind: ConfigMap\n" + before + f"metadata: {said.partition(chr(10))[0]}\n")
    )


NAMED = "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: shop\n"


def test_paths_that_no_file_system_takes_break_nothing(hanok: Hanok) -> None:
    write("kustomization.yaml", f'patches:\n- path: {"x" * 5000}\n- path: "a\\0b"\n- path: /etc/passwd\n')
    write("a.yaml", NAMED)
    assert told(hanok, ".")[1]["verdict"] in ("proved", "refuted")


def test_links_out_of_a_folder_are_told_and_not_followed(hanok: Hanok) -> None:
    write("secret.yaml", "password: hunter2\n")
    write("deploy/a.yaml", NAMED)
    write("deploy/real/b.yaml", NAMED.replace("shop", "bank"))
    for name, target in (("c", "../secret.yaml"), ("d", "real/b.yaml"), ("e", "nowhere"), ("f", "f.yaml")):
        Path(f"deploy/{name}.yaml").symlink_to(target)
    _, found = told(hanok, "deploy", "--info")
    assert [each["file"] for each in found["findings"] if "leads out of deploy" in each["message"]] == ["deploy/c.yaml"]
    assert "hunter2" not in hanok("preflight", "deploy", "--info")[1]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32"])
def test_a_text_of_another_encoding_is_named_as_such(look: Look, encoding: str) -> None:
    assert "UTF-16 or UTF-32" in only(look({"a.yaml": NAMED.encode(encoding)}), "HK001").message


@pytest.mark.parametrize("text", ["\ufeff" + NAMED, NAMED.replace("\n", "\r\n")])
def test_marks_of_other_systems_change_nothing(look: Look, text: str) -> None:
    assert [each.name for each in look(text).case.cluster.manifests] == ["shop"]


def test_objects_of_json_one_after_the_other_are_read_as_jq_prints_them(look: Look) -> None:
    objects = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in "ab"]
    for indent in (None, 2):
        stream = "\n".join(json.dumps(each, indent=indent) for each in objects) + "\n---\n" + NAMED
        assert [each.name for each in look({"a.json": stream}).case.cluster.manifests] == ["a", "b", "shop"]


def test_a_bare_list_of_objects_is_an_error_as_nobody_takes_it(look: Look) -> None:
    listed = only(look({"a.json": json.dumps([{"apiVersion": "v1", "kind": "Namespace"}])}), "HK004")
    assert (listed.severity, "kind: List" in listed.hint) == ("error", True)


def test_what_stands_behind_the_end_of_a_document_is_told(look: Look) -> None:
    assert "belongs to no document" in only(look(NAMED + "...\n" + NAMED), "HK001").message


def test_a_kustomization_is_known_by_its_name_where_it_names_no_kind(look: Look) -> None:
    report = look({"a/kustomization.yaml": "resources: [../b]\n", "b/kustomization.yaml": "resources: [../a]\n"})
    told_of = [each for each in report.findings if each.rule.id == "HK004"]
    assert {(each.object, each.severity) for each in told_of} == {("Kustomization", "info")}
    assert "kubectl kustomize" in told_of[0].hint
