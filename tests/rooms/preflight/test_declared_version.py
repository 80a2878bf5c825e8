"""The version of Kubernetes that a platform file declares is the one that everything is held to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.rooms.preflight.conftest import Hanok, told, write

HPA = """apiVersion: autoscaling/v2beta2
kind: HorizontalPodAutoscaler
metadata: {name: chat}
spec: {maxReplicas: 3, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: chat}}
"""


def declare(version: str, name: str = "platform.yaml") -> None:
    write(name, f'cluster: {{kubernetes: "{version}"}}\nmodels:\n- {{name: chat, serve: {{engine: echo}}}}\n')


def rules_found(hanok: Hanok, *arguments: str) -> list[str]:
    return [each["rule"] for each in told(hanok, *arguments)[1]["findings"]]


def test_manifests_beside_a_platform_file_are_held_to_the_version_that_it_declares(hanok: Hanok) -> None:
    declare("1.25")
    write("hpa.yaml", HPA)
    assert "HK108" in rules_found(hanok, "hpa.yaml")  # in the newest
    assert "HK108" not in rules_found(hanok, ".")
    status, out, _ = hanok("preflight", "platform.yaml")
    assert (status, "on Kubernetes 1.25" in out) == (0, True)


def test_a_version_that_is_named_counts_before_the_declared_one_which_is_noted(hanok: Hanok) -> None:
    declare("1.36")
    _, found = told(hanok, "--kubernetes", "1.34")
    (note,) = found["findings"]
    assert (note["rule"], note["severity"], note["line"]) == ("HK716", "info", 1)
    assert "declares Kubernetes 1.36; here all is held to 1.34" in note["message"]


def test_of_several_clusters_the_oldest_counts_and_the_others_are_told(hanok: Hanok) -> None:
    declare("1.36", "prod/platform.yaml")
    declare("1.34", "staging/platform.yaml")
    _, found = told(hanok, ".")
    (warning,) = found["findings"]
    assert (warning["rule"], warning["severity"], warning["file"]) == ("HK716", "warning", "prod/platform.yaml")
    assert "1.34, the oldest that is declared" in warning["message"]


@pytest.mark.parametrize("version", ["1.24", "1.99"])
def test_a_declared_version_whose_schemas_are_not_known_is_refused_at_its_line(hanok: Hanok, version: str) -> None:
    declare(version)
    status, out, _ = hanok("preflight", "--json")
    error = json.loads(out)["error"]
    assert (status, error["message"].partition(": ")[0]) == (2, f"platform.yaml:1 cluster.kubernetes {version}")
    assert "1.25 to 1.37" in error["hint"]
    assert told(hanok, "--kubernetes", "1.36")[0] == 0


def test_a_rendered_tree_knows_the_version_that_it_was_rendered_for(hanok: Hanok) -> None:
    declare('1.35", target: "kubernetes')
    assert hanok("render", "--out", "deploy")[0] == 0
    status, _, _ = hanok("preflight", "deploy", "--certificate", "c.json", "--json")
    assert status in (0, 3)
    assert json.loads(Path("c.json").read_text())["predicate"]["assumptions"]["kubernetes"] == "1.35"
    assert hanok("certificate", "verify", "c.json", "--again")[0] == 0
