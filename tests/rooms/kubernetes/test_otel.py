"""The collector: spans go to it alone, and from it to every receiver with its key, which is in no file."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from hanok.errors import SpecError
from hanok.kubernetes.receivers import PATHS, receivers
from hanok.telemetry import client
from tests.rooms.kubernetes.rendering import Made, faults, made

MODEL = "name: acme\nmodels: [{name: m, serve: {engine: openai, url: 'https://api.example/v1', key: '${env:KEY}'}}]\n"
FOUR = (
    MODEL
    + """\
telemetry:
  export:
    - {to: langfuse, url: "https://cloud.langfuse.com", public_key: "${env:LF_PUBLIC}", secret_key: "${env:LF_SECRET}"}
    - {to: langsmith, url: "https://api.smith.langchain.com", secret_key: "${env:LS_KEY}", project: shop}
    - {to: mlflow, url: "https://mlflow.example", project: "7"}
    - {url: "https://${env:OTLP_HOST:-tempo.example}:4318", headers: {X-Scope: "tenant ${env:TENANT}"}}
"""
)


@cache
def tree(text: str = FOUR) -> Made:
    return made(text)


def config(text: str = FOUR) -> dict[str, Any]:
    return tree(text).one("OpenTelemetryCollector", "hanok")["spec"]["config"]


def test_every_receiver_gets_every_span_at_its_own_address() -> None:
    found = config()
    assert {name: each["traces_endpoint"] for name, each in found["exporters"].items()} == {
        "otlp_http/langfuse": "https://cloud.langfuse.com/api/public/otel/v1/traces",
        "otlp_http/langsmith": "https://api.smith.langchain.com/otel/v1/traces",
        "otlp_http/mlflow": "https://mlflow.example/v1/traces",
        "otlp_http/otlp": "https://tempo.example:4318/v1/traces",
    }
    pipeline = found["service"]["pipelines"]["traces"]
    assert pipeline["exporters"] == list(found["exporters"])
    assert pipeline["processors"] == ["memory_limiter", "batch"]


def test_paths_are_those_that_hanok_sends_to_itself() -> None:
    assert PATHS == client._PATHS  # pyright: ignore[reportPrivateUsage] - the same table, on another floor


def test_keys_are_filled_in_the_cluster() -> None:
    secret = tree().one("ExternalSecret", "hanok-collector")["spec"]
    assert secret["target"]["template"]["data"] == {
        "LANGFUSE_AUTHORIZATION": 'Basic {{ list .LF_PUBLIC ":" .LF_SECRET | join "" | b64enc }}',
        "LANGSMITH_X_API_KEY": "{{ .LS_KEY }}",
        "OTLP_X_SCOPE": "tenant {{ .TENANT }}",
    }
    keys = {each["secretKey"]: each["remoteRef"]["key"] for each in secret["data"]}
    assert keys == {name: f"production/acme/{name}" for name in ("LF_PUBLIC", "LF_SECRET", "LS_KEY", "TENANT")}
    headers = {name: each["headers"] for name, each in config()["exporters"].items()}
    assert headers["otlp_http/langfuse"] == {
        "x-langfuse-ingestion-version": "4", "authorization": "${env:LANGFUSE_AUTHORIZATION}",
    }  # fmt: skip
    assert headers["otlp_http/langsmith"] == {"langsmith-project": "shop", "x-api-key": "${env:LANGSMITH_X_API_KEY}"}
    assert headers["otlp_http/mlflow"] == {"x-mlflow-experiment-id": "7"}


def test_a_secrets_default_is_for_one_machine_and_not_for_the_cluster() -> None:
    own = MODEL + (
        "telemetry: {export: {to: langfuse, url: 'http://localhost:3000', public_key: '${env:P:-pk}', "
        "secret_key: '${env:S:-none-on-this-laptop}'}}\ncluster: {observe: {langfuse: true}}\n"
    )
    for name in ("hanok-collector", "langfuse-project"):
        spec = tree(own).one("ExternalSecret", name)["spec"]
        assert "none-on-this-laptop" not in str(spec)
        assert "S" in {each["secretKey"] for each in spec["data"]}


def test_headers_that_are_plain_in_the_cluster_need_no_secret() -> None:
    text = MODEL + (
        "telemetry: {export: {url: 'https://tempo.example', headers: {X-Scope: '${env:TENANT}'}}}\n"
        "cluster: {hanok: {variables: {TENANT: acme}}}\n"
    )
    assert config(text)["exporters"]["otlp_http/otlp"]["headers"] == {"x-scope": "acme"}
    assert "hanok-collector" not in [each["metadata"]["name"] for each in tree(text).all("ExternalSecret")]


def test_hanoks_pods_send_spans_to_it_alone() -> None:
    [written] = [each for each in tree().all("ConfigMap") if "platform.yaml" in each.get("data", {})]
    export = yaml.safe_load(written["data"]["platform.yaml"])["telemetry"]["export"]
    assert export == {"to": "otlp", "url": "http://hanok-collector.observability.svc:4318"}


def test_who_exports_nothing_has_no_collector_and_exports_nothing_there() -> None:
    assert tree(MODEL).all("OpenTelemetryCollector") == []
    [written] = [each for each in tree(MODEL).all("ConfigMap") if "platform.yaml" in each.get("data", {})]
    assert "telemetry" not in yaml.safe_load(written["data"]["platform.yaml"])


def test_the_clusters_own_langfuse_and_mlflow_are_receivers_and_stand_for_those_of_one_machine() -> None:
    own = MODEL + (
        "telemetry: {export: {to: mlflow, url: 'http://localhost:5000', project: '3'}}\n"
        "cluster: {observe: {mlflow: true, langfuse: true}}\n"
    )
    found = {each.name: each for each in receivers(tree(own).plan)}
    assert list(found) == ["mlflow", "cluster-langfuse"]
    assert found["mlflow"].url == "http://mlflow.observability.svc:5000/v1/traces"
    assert found["mlflow"].plain == {"x-mlflow-experiment-id": "3"}
    assert found["cluster-langfuse"].url == "http://langfuse-web.observability.svc:3000/api/public/otel/v1/traces"
    assert found["cluster-langfuse"].needs == ("LANGFUSE_PUBLIC_KEY", "LANGFUSE_SECRET_KEY")


def test_a_receiver_on_one_machine_is_refused_by_its_line() -> None:
    with pytest.raises(SpecError) as refused:
        made(MODEL + "telemetry: {export: {url: 'http://localhost:4318'}}\n")
    assert [(each.line, each.path) for each in refused.value.problems] == [(3, "telemetry.export.url")]


def test_preflight_finds_nothing_in_it(tmp_path: Path) -> None:
    assert [each for each in faults(tree(), tmp_path) if "/observability/" in each or "/otel" in each] == []
