"""Langfuse and MLflow in the cluster: nothing is made up by a chart, and what they keep is where it stays."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from hanok.errors import SpecError
from hanok.kubernetes.places import MLFLOW
from tests.rooms.kubernetes.rendering import Made, faults, made

MODEL = "name: acme\nmodels: [{name: m, serve: {engine: openai, url: 'https://api.example/v1', key: '${env:KEY}'}}]\n"
BOTH = MODEL + "cluster: {account: '123456789012', observe: {langfuse: true, mlflow: true, bucket: acme-traces}}\n"
ALONE = MODEL + "cluster: {target: kubernetes, observe: {langfuse: true, mlflow: true}}\n"


@cache
def tree(text: str = BOTH) -> Made:
    return made(text)


def values(name: str, text: str = BOTH) -> dict[str, Any]:
    return tree(text).one("HelmRelease", name)["spec"]["values"]


def test_every_secret_of_langfuse_is_made_beside_it() -> None:
    for text in (BOTH, ALONE):
        known = {each["metadata"]["name"] for each in tree(text).all("ExternalSecret")}
        assert {"langfuse-pinned", "langfuse-project"} <= known
        assert named(values("langfuse", text)) <= known


def named(value: object) -> set[str]:
    """Names of Secrets, however deep."""
    text = json.dumps(value)
    found = re.findall(r'"secretKeyRef": {"name": "([^"]+)"|"existingSecret": "([^"]+)"', text)
    return {name for each in found for name in each if name}


def test_salt_and_encryption_key_come_from_the_store_and_what_they_are_is_told() -> None:
    keys = tree().one("ExternalSecret", "langfuse-pinned")["spec"]["data"]
    assert [each["remoteRef"]["key"] for each in keys] == [
        f"production/acme/LANGFUSE_{each}" for each in ("ENCRYPTION_KEY", "NEXTAUTH_SECRET", "SALT")
    ]
    assert any("openssl rand -hex 32" in each.message for each in tree().rendered.notes)


def test_langfuse_says_nothing_home_and_its_clickhouse_forgets() -> None:
    found = values("langfuse")
    assert found["langfuse"]["features"] == {"telemetryEnabled": False, "signUpDisabled": True}
    assert found["clickhouse"]["crdCheck"] is False
    logs = found["clickhouse"]["cluster"]["settings"]
    assert logs["trace_log"] == {"@remove": "1"}
    assert logs["query_log"] == {"ttl": "event_date + INTERVAL 3 DAY DELETE"}


def test_its_first_project_has_the_keys_that_spans_are_sent_with() -> None:
    project = tree().one("ExternalSecret", "langfuse-project")["spec"]["target"]["template"]["data"]
    assert project["public-key"] == "{{ .LANGFUSE_PUBLIC_KEY }}"
    sent = tree().one("ExternalSecret", "hanok-collector")["spec"]["target"]["template"]["data"]
    assert ".LANGFUSE_PUBLIC_KEY" in sent["CLUSTER_LANGFUSE_AUTHORIZATION"]
    variables = {each["name"]: each for each in values("langfuse")["langfuse"]["additionalEnv"]}
    assert variables["LANGFUSE_INIT_PROJECT_PUBLIC_KEY"]["valueFrom"]["secretKeyRef"]["name"] == "langfuse-project"


def test_files_are_in_the_bucket_by_a_role_or_on_volumes() -> None:
    role = {"eks.amazonaws.com/role-arn": "arn:aws:iam::123456789012:role/hanok-observe"}
    assert values("langfuse")["s3"]["deploy"] is False
    assert values("langfuse")["langfuse"]["serviceAccount"]["annotations"] == role
    assert values("mlflow")["artifactRoot"]["s3"] == {"enabled": True, "bucket": "acme-traces", "path": "mlflow"}
    assert values("mlflow")["serviceAccount"]["annotations"] == role
    assert "deploy" not in values("langfuse", ALONE)["s3"]


def test_mlflow_has_a_database_of_its_own_or_one_that_is_named() -> None:
    assert values("mlflow")["backendStore"]["postgres"]["host"] == "mlflow-postgres-rw"
    assert tree().one("Cluster", "mlflow-postgres")["spec"]["bootstrap"]["initdb"]["database"] == "mlflow"
    other = MODEL + "ledger: {database: '${env:DB}'}\ncluster: {observe: {mlflow: true, mlflow_database: db.example}}\n"
    assert values("mlflow", other)["backendStore"]["postgres"]["host"] == "db.example"
    assert tree(other).one("ExternalSecret", "mlflow-postgres-app")
    with pytest.raises(SpecError, match="nobody says where MLflow"):
        made(other.replace(", mlflow_database: db.example", ""))


def test_mlflow_answers_to_the_names_that_it_is_called_by() -> None:
    hosts = values("mlflow")["extraEnvVars"]["MLFLOW_SERVER_ALLOWED_HOSTS"].split(",")
    assert urlsplit(MLFLOW).netloc in hosts


def test_charts_stand_where_their_secrets_are_made_so_that_nothing_waits_for_ever() -> None:
    for name in ("langfuse", "mlflow"):
        assert f"apps/observability/helmrelease-{name}.yaml" in tree().files


@pytest.mark.parametrize("text", [BOTH, ALONE])
def test_preflight_finds_nothing_in_it(text: str, tmp_path: Path) -> None:
    assert [each for each in faults(tree(text), tmp_path) if "/observability/" in each or "langfuse" in each] == []
