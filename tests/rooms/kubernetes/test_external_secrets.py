"""Where secrets of a cluster come from: a cloud's store, or one Secret that a person makes and is told how."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hanok.errors import SpecError
from tests.rooms.kubernetes.rendering import faults, made

KEYED = """\
name: acme
models: [{name: gpt, serve: {engine: openai, url: "https://api.example/v1", key: "${env:API_KEY}"}}]
telemetry: {export: {to: langsmith, url: "https://smith.example", secret_key: "${env:TRACE_KEY}"}}
cluster: {target: kubernetes}
"""


def test_where_there_is_no_cloud_secrets_come_from_one_that_a_person_makes(tmp_path: Path) -> None:
    tree = made(KEYED)
    provider = tree.one("ClusterSecretStore", "platform")["spec"]["provider"]["kubernetes"]
    reader = provider["auth"]["serviceAccount"]
    assert tree.one("ServiceAccount", reader["name"])["metadata"]["namespace"] == provider["remoteNamespace"]
    [data] = tree.one("ExternalSecret", "hanok-variables")["spec"]["data"]
    assert data["remoteRef"] == {"key": "platform", "property": "API_KEY"}
    assert faults(tree, tmp_path) == []


def test_what_stands_in_that_secret_is_told_with_the_commands_that_make_it() -> None:
    tree = made(KEYED)
    asked = {
        each["remoteRef"]["property"] for one in tree.all("ExternalSecret") for each in one["spec"].get("data", [])
    }
    assert asked >= {"API_KEY", "TRACE_KEY"}
    page = tree.files["APPLY.md"]
    assert asked <= set(re.findall(r"^(\w+)=", page, re.MULTILINE))
    assert "kubectl create secret generic platform --namespace secrets --from-env-file=secrets.env" in page
    assert "AWS" not in page


def test_clouds_have_their_own_store_and_any_may_be_named_anywhere() -> None:
    cloud = made(KEYED, target="eks").one("ClusterSecretStore", "platform")["spec"]["provider"]
    named = KEYED.replace("target: kubernetes", "target: kubernetes, secrets: {store: aws-parameter-store}")
    assert cloud["aws"]["service"] == "SecretsManager"
    assert made(named).one("ClusterSecretStore", "platform")["spec"]["provider"]["aws"]["service"] == "ParameterStore"
    assert "secret generic platform" not in made(named).files["APPLY.md"]


def test_keys_of_that_secret_have_nothing_before_them() -> None:
    with pytest.raises(SpecError) as caught:
        made(KEYED.replace("target: kubernetes", "target: kubernetes, secrets: {prefix: acme/}"))
    assert caught.value.problems[0].path == "cluster.secrets.prefix"
