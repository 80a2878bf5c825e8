"""Replicas that are asked for by name: their ports are the pods' own, and their numbers end."""

from __future__ import annotations

import pytest

from tests.rooms.preflight.conftest import Look, look_by, only

look = look_by("HK21", "HK23")
SET = """apiVersion: apps/v1
kind: StatefulSet
metadata: {name: llama, namespace: models}
spec:
  replicas: 2
  serviceName: llama
  selector: {matchLabels: {app: llama}}
  template:
    metadata: {labels: {app: llama}}
    spec:
      containers:
        - {name: vllm, image: "IMAGE", args: [ARGS], ports: [{containerPort: 8000}]}
---
apiVersion: v1
kind: Service
metadata: {name: llama, namespace: models}
spec:
  clusterIP: None
  selector: {app: llama}
  ports: [{name: http, port: 80, targetPort: 8000}]
---
"""
ENGINE = SET.replace("IMAGE", "vllm/vllm-openai:v0.11.0").replace("ARGS", "--model=Qwen/Qwen3-8B")
OTHER = SET.replace("IMAGE", "example.com/cache:1.0").replace("ARGS", "--peers=6380")
SCALER = """apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: llama, namespace: models}
spec: {minReplicas: 2, maxReplicas: 4, scaleTargetRef: {apiVersion: apps/v1, kind: StatefulSet, name: llama}}
---
"""
CONFIG = """apiVersion: v1
kind: ConfigMap
metadata: {name: gateway, namespace: NAMESPACE}
data:
  platform.yaml: |
    models:
    - name: llama
      serve: {engine: openai, url: "URL"}
"""


def config(url: str, namespace: str = "gateways") -> str:
    return CONFIG.replace("URL", url).replace("NAMESPACE", namespace)


@pytest.mark.parametrize("host", ["llama-0.llama.models.svc", "llama.models.svc.cluster.local", "llama-1.llama.models"])
def test_a_wrong_port_of_an_engines_replica_is_an_error_at_its_line(look: Look, host: str) -> None:
    found = only(look(ENGINE + config(f"http://{host}:8001/v1")), "HK215")
    assert (found.severity, found.line, found.hint) == ("error", 29, "write `:8000`")
    assert "listens on 8001; they have 8000" in found.message


def test_a_headless_service_maps_no_ports_so_its_own_is_wrong_where_pods_have_another(look: Look) -> None:
    assert only(look(ENGINE + config("http://llama-0.llama.models.svc/v1")), "HK215").severity == "error"


def test_what_other_programs_listen_on_is_taken_as_it_is_declared_or_spoken_of(look: Look) -> None:
    assert only(look(OTHER + config("http://llama-0.llama.models.svc:9000")), "HK215").severity == "warning"
    for port in (8000, 6380):
        assert look(OTHER + config(f"http://llama-0.llama.models.svc:{port}")).findings == []


def test_a_replica_beside_the_caller_is_known_by_its_short_name(look: Look) -> None:
    assert "listens on 8001" in only(look(ENGINE + config("http://llama-0.llama:8001/v1", "models")), "HK215").message
    assert look(ENGINE + config("http://llama-0.llama:8000/v1", "models")).findings == []


@pytest.mark.parametrize(("pod", "there"), [("llama-2", "llama-0 to llama-1"), ("lama-0", "llama-0 to llama-1")])
def test_a_replica_that_never_is_there_is_told_with_those_that_are(look: Look, pod: str, there: str) -> None:
    found = only(look(ENGINE + config(f"http://{pod}.llama.models.svc:8000/v1")), "HK233")
    assert found.message.endswith(f"there may be {there}")


def test_an_autoscaler_says_how_many_replicas_there_may_be(look: Look) -> None:
    for number, known in ((3, True), (4, False)):
        report = look(ENGINE + SCALER + config(f"http://llama-{number}.llama.models.svc:8000/v1"))
        assert (report.findings == []) is known
