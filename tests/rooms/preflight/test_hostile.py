"""Manifests that mean harm, or are no manifests at all: nothing hangs, nothing breaks off."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from hanok.preflight.schema.load import load_custom
from tests.rooms.preflight.conftest import Look, ids

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
