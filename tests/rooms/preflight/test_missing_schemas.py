"""Custom kinds without a schema: told once to people, one by one to machines."""

from __future__ import annotations

from tests.rooms.preflight.conftest import Hanok, told, write

KINDS = ("Gateway", "ScaledObject", "Milvus", "Cluster", "NodePool", "Password")


def test_kinds_without_a_schema_are_one_finding_in_text_and_all_in_json(hanok: Hanok) -> None:
    for each in KINDS:
        write(
            f"deploy/{each}.yaml",
            f"apiVersion: {each.lower()}.example/v1\nkind: {each}\nmetadata: {{name: a, namespace: b}}\n",
        )
    said = hanok("preflight", "deploy")[1]
    assert said.count("HK107") == 1
    assert "and 5 more like it" in said
    _, found = told(hanok, "deploy")
    assert [each["rule"] for each in found["findings"]].count("HK107") == len(KINDS)
