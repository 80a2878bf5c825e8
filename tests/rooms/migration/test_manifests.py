"""vLLM and LiteLLM on a cluster as a platform: `hanok import manifests`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.journeys.test_hanok_up import hanok
from tests.rooms.migration.clusters import imported, line_of, loaded, notes, vllm

WAYS: dict[str, dict[str, Any]] = {
    "arguments": {"args": ["--model", "Qwen/Qwen3-8B", "--max-model-len", "16384", "--quantization", "fp8"]},
    "one word a flag": {"args": ["--model=Qwen/Qwen3-8B", "--max-model-len=16k", "-q=fp8"]},
    "vllm serve": {"command": ["vllm", "serve", "Qwen/Qwen3-8B", "--max-model-len", "16384", "--quantization=fp8"]},
    "a shell": {
        "command": ["/bin/sh", "-c"],
        "args": ["exec vllm serve Qwen/Qwen3-8B \\\n  --max-model-len 16384 --quantization fp8"],
    },
    "a shell with a variable": {
        "command": ["bash", "-c", "vllm serve $MODEL --max-model-len ${LENGTH} -q fp8"],
        "env": [{"name": "MODEL", "value": "Qwen/Qwen3-8B"}, {"name": "LENGTH", "value": "16384"}],
    },
    "the old module": {
        "command": ["python3", "-m", "vllm.entrypoints.openai.api_server"],
        "args": ["--model", "$(MODEL)", "--max_model_len=16384", "--quantization", "fp8"],
        "env": [{"name": "MODEL", "value": "Qwen/Qwen3-8B"}],
    },
}
CONFIG = """\
---
apiVersion: v1
kind: ConfigMap
metadata: {name: litellm, namespace: ai}
data:
  config.yaml: |
    model_list:
      - model_name: qwen
        litellm_params: {model: openai/big, api_base: "http://one.ai/v1", api_key: none}
      - model_name: qwen
        litellm_params: {model: openai/big, api_base: "http://two.ai:80/v1", api_key: none}
      - model_name: cloud
        litellm_params: {model: gpt-5-mini, api_key: sk-proj-0123456789abcdef}
    litellm_settings:
      fallbacks: [{qwen: [cloud]}]
"""
SCALED = """\
---
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: one, namespace: ai}
spec:
  scaleTargetRef: {name: one}
  minReplicaCount: 2
  maxReplicaCount: 8
  triggers:
    - {type: prometheus, metadata: {query: "sum(vllm:num_requests_waiting)", threshold: "5", serverAddress: "http://p"}}
    - {type: prometheus, metadata: {query: "avg(vllm:kv_cache_usage_perc)", threshold: "0.8", serverAddress: "http://p"}}
"""
STACK = """\
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: vllm, namespace: ai}
spec:
  chart: {spec: {chart: vllm-stack}}
  values:
    servingEngineSpec:
      vllmApiKey: {secretName: engines, secretKey: token}
      modelSpec:
        - name: qwen
          modelURL: Qwen/Qwen3-8B
          replicaCount: 2
          requestGPU: 1
          vllmConfig: {maxModelLen: 16384, dtype: bfloat16, extraArgs: [--served-model-name, qwen]}
          keda:
            enabled: true
            maxReplicaCount: 5
            triggers: [{metadata: {query: "vllm:num_requests_waiting", threshold: "5"}}]
        - {name: vectors, modelURL: BAAI/bge-m3, vllmConfig: {runner: pooling, convert: embed}}
        - {name: off, enabled: false, modelURL: a/b}
"""


@pytest.mark.parametrize("way", WAYS)
def test_vllm_is_read_in_every_way_that_people_start_it(tmp_path: Path, way: str) -> None:
    made = imported(tmp_path, vllm("one", **WAYS[way]))
    (model,) = made.platform["models"]
    assert model["serve"] == [{"engine": "openai", "url": "http://one.ai.svc:80/v1", "model": "Qwen/Qwen3-8B"}]
    needs = {"weights": "Qwen/Qwen3-8B", "quantization": "fp8"}
    assert model["deploy"] == needs | {"context_tokens": 16_000 if "word" in way else 16_384}


def test_deployments_behind_one_name_become_endpoints_of_one_model(tmp_path: Path) -> None:
    args = ["--model", "Qwen/Qwen3-8B", "--served-model-name", "qwen", "qwen-small"]
    made = imported(tmp_path, vllm("one", args=args) + vllm("two", args=args) + vllm("three", args=args, service=False))
    models = {each["name"]: each["serve"] for each in made.platform["models"]}
    assert set(models) == {"qwen", "qwen-small"}
    urls = ["http://one.ai.svc:80/v1", "http://two.ai.svc:80/v1", "http://three.ai.svc:8000/v1"]
    assert [each["url"] for each in models["qwen"]] == urls
    assert any("no Service leads to its pods" in each for each in notes(made, "wrong").values())
    assert any("no aliases" in each for each in notes(made, "changed").values())


def test_models_of_a_gateway_learn_what_their_engines_need(tmp_path: Path) -> None:
    args = ["--model", "Qwen/Qwen3-8B", "--served-model-name", "big", "--gpu-memory-utilization", "0.9"]
    text = vllm("one", args=args) + vllm("two", args=args) + CONFIG
    made = imported(tmp_path, text)
    qwen, cloud = made.platform["models"]
    assert [each["url"] for each in qwen["serve"]] == ["http://one.ai.svc/v1", "http://two.ai.svc:80/v1"]
    assert qwen["deploy"] == {"weights": "Qwen/Qwen3-8B", "memory_utilization": 0.9}
    assert qwen["fallbacks"] == {"error": ["cloud"]}
    assert cloud["serve"]["key"] == "${env:OPENAI_API_KEY}"
    assert "a secret stands in the file" in notes(made, "wrong")[line_of(text, "sk-proj")]
    assert "sk-proj-0123456789abcdef" not in str(made)


@pytest.mark.parametrize("kind", ["HelmRelease", "ConfigMap in one line"])
def test_a_configuration_of_litellm_is_found_where_it_has_no_lines_of_its_own(tmp_path: Path, kind: str) -> None:
    config = {"model_list": [{"model_name": "a", "litellm_params": {"model": "gpt-5-mini", "rpm": "many"}}]}
    if kind == "HelmRelease":
        spec = {"chart": {"spec": {"chart": "litellm-helm"}}, "values": {"proxy_config": config}}
        body = {"apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": kind, "metadata": {"name": "l"}, "spec": spec}
    else:
        data = {"config.yaml": json.dumps(config)}
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "l"}, "data": data}
    text = yaml.safe_dump(body, width=1000)
    made = imported(tmp_path, text)
    assert made.platform["models"][0]["serve"]["model"] == "gpt-5-mini"
    where = line_of(text, "rpm: many" if kind == "HelmRelease" else "config.yaml:")
    assert "not a number" in notes(made, "wrong")[where]


def test_an_engines_autoscaler_becomes_its_models_scale(tmp_path: Path) -> None:
    engines = [vllm(name, args=["--model", "Qwen/Qwen3-8B"]) for name in ("one", "two")]
    made = imported(tmp_path, "".join(engines) + SCALED)
    (model,) = loaded(made).platform.models
    scale = model.scale
    assert scale is not None
    assert (scale.min, scale.max, scale.running, scale.waiting, scale.kv_cache) == (3, 9, None, 5.0, 0.8)


def test_the_models_of_a_production_stack_are_asked_at_its_router(tmp_path: Path) -> None:
    qwen, vectors = loaded(imported(tmp_path, STACK)).platform.models
    assert (qwen.name, vectors.name, vectors.type) == ("qwen", "BAAI/bge-m3", "embedding")
    assert getattr(qwen.serve[0], "url", "") == "http://vllm-router-service.ai.svc:80/v1"
    assert qwen.deploy is not None and qwen.scale is not None
    assert (qwen.deploy.context_tokens, qwen.scale.max, qwen.scale.waiting) == (16_384, 5, 5.0)


def test_the_pools_that_would_take_a_model_say_which_machines_it_may_have(tmp_path: Path) -> None:
    pool = """---
apiVersion: karpenter.sh/v1
kind: NodePool
metadata: {name: gpus}
spec:
  template:
    spec:
      nodeClassRef: {group: karpenter.k8s.aws, kind: EC2NodeClass, name: gpus}
      requirements:
        - {key: karpenter.k8s.aws/instance-family, operator: In, values: [g6e, p5, m7i]}
        - {key: karpenter.sh/capacity-type, operator: In, values: [spot]}
"""
    tainted = pool.replace("name: gpus}", "name: others}", 1).replace(
        "    spec:\n", "    spec:\n      taints: [T]\n", 1
    )
    tainted = tainted.replace("T]", "{key: a, effect: NoSchedule}]").replace("[g6e, p5, m7i]", "[g5]")
    made = imported(tmp_path, vllm("one", args=["--model", "Qwen/Qwen3-8B"]) + pool + tainted)
    assert made.platform["models"][0]["deploy"]["gpu"] == ["g6e.*", "p5.*"]
    assert made.platform["models"][0]["deploy"]["spot"] is True


def test_an_engines_key_becomes_a_variable(tmp_path: Path) -> None:
    held = {"name": "VLLM_API_KEY", "valueFrom": {"secretKeyRef": {"name": "engines", "key": "token"}}}
    one = vllm("one", args=["--model", "Qwen/Qwen3-8B"], env=[held])
    two = vllm("two", args=["--model", "Qwen/Qwen3-4B", "--api-key", "very-secret-indeed"])
    made = imported(tmp_path, one + two)
    keys = [each["serve"][0]["key"] for each in made.platform["models"]]
    assert keys == ["${env:VLLM_API_KEY}", "${env:VLLM_API_KEY_2}"]
    holds = {each.name: each.holds for each in made.variables}
    assert holds["VLLM_API_KEY"] == "key token of Secret engines"
    assert "very-secret-indeed" not in str(made)


def test_models_for_vectors_and_orders_are_told_apart(tmp_path: Path) -> None:
    text = vllm("one", args=["--model", "BAAI/bge-m3", "--task", "embed"])
    text += vllm("two", args=["--model", "BAAI/bge-reranker-v2-m3", "--runner=pooling", "--task=score"])
    made = imported(tmp_path, text)
    assert [each["type"] for each in made.platform["models"]] == ["embedding", "rerank"]


def test_every_flag_and_every_manifest_is_told(tmp_path: Path) -> None:
    text = vllm("one", args=["--model", "Qwen/Qwen3-8B", "--max-num-seqs", "64", "--enable-lora", "--host", "::"])
    text += "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: ai}\n"
    text += "---\napiVersion: e.io/v1\nkind: Odd\nmetadata: {}\n"
    made = imported(tmp_path, text)
    left = notes(made, "left")
    assert made.platform["models"][0]["deploy"]["flags"] == {"max-num-seqs": 64}
    assert "stays in its manifest" in left[line_of(text, "--host")]
    assert "adapters answer as models" in left[line_of(text, "enable-lora")]
    assert "Hanok declares no objects" in left[line_of(text, "kind: Namespace") - 1]
    assert "nothing like it" in left[line_of(text, "e.io/v1")]


def test_text_that_looks_like_a_variable_brings_in_nothing_of_the_environment(tmp_path: Path) -> None:
    made = imported(tmp_path, vllm("one", args=["--model", "${env:HOME}/${env:"]) + vllm("two", args=["--model", "a"]))
    assert "${env:" not in str(made.platform)


def test_where_no_model_is_left_nothing_is_written_and_the_reasons_are_told(tmp_path: Path) -> None:
    reasons = {
        "kind: Deployment\n  bad: [": "is not YAML",
        '{{ include "x" . }}\nkind: {{ .Values.kind }}\n': "helm template . | hanok import manifests -",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n": "nothing in it that Hanok's platform has a place for",
        "models: [{name: a, serve: {engine: echo}}]\n": "a platform already",
    }
    for index, text in enumerate(reasons):
        (tmp_path / f"{index}.yaml").write_text(text)
    done = hanok(tmp_path, "import", "manifests", ".")
    assert done.returncode == 1
    for said in (*reasons.values(), "no model could be carried over"):
        assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "platform.yaml").exists()


def test_from_a_pipe_to_stdout_and_as_json(tmp_path: Path) -> None:
    text = vllm("one", args=["--model", "Qwen/Qwen3-8B"])
    done = hanok(tmp_path, "import", "manifests", "-", "--out", "-", input=text)
    assert done.returncode == 0, done.stderr
    assert yaml.safe_load(done.stdout)["models"][0]["deploy"]["weights"] == "Qwen/Qwen3-8B"
    told = hanok(tmp_path, "import", "manifests", "-", "--json", input=text)
    report = json.loads(told.stdout)
    assert report["written"] == "platform.yaml"
    assert report["carried_over"] and report["not_carried_over"]
