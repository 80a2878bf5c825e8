"""Models that an operator or a chart serves: KServe, vLLM's production stack, charts by Argo CD and helmfile; and from
there on to a tree that Hanok renders."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.rooms.kubernetes.rendering import made as rendered
from tests.rooms.kubernetes.rendering import proof
from tests.rooms.migration.clusters import imported, imported_from, line_of, loaded, notes, vllm
from tests.rooms.preflight.conftest import SEEDS

SERVICES = """\
apiVersion: serving.kserve.io/v1alpha2
kind: LLMInferenceService
metadata: {name: llama, namespace: ai}
spec:
  model: {uri: "hf://Qwen/Qwen3-8B", name: qwen}
  scaling: {minReplicas: 1, maxReplicas: 4, wva: {hpa: {}}}
  parallelism: {tensor: 2}
  template:
    containers:
      - name: main
        env: [{name: VLLM_ADDITIONAL_ARGS, value: "--max-model-len=16384 --tool-call-parser hermes"}]
---
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata: {name: hugging, namespace: ai}
spec:
  predictor:
    minReplicas: 0
    maxReplicas: 3
    model:
      modelFormat: {name: huggingface}
      args: [--model_name=llama3, --model_id=meta-llama/Llama-3.1-8B-Instruct, --max_model_len=8192]
---
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata: {name: iris, namespace: ai}
spec: {predictor: {model: {modelFormat: {name: sklearn}, storageUri: "gs://x"}}}
---
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata: {name: stored, namespace: ai}
spec: {predictor: {model: {modelFormat: {name: vLLM}, storageUri: "s3://x/y"}}}
---
apiVersion: production-stack.vllm.ai/v1alpha1
kind: VLLMRuntime
metadata: {name: mistral, namespace: ai}
spec:
  model: {modelURL: mistralai/Mistral-7B-Instruct-v0.3, maxModelLen: 4096, enableTool: true}
  vllmConfig: {port: 8000, gpuMemoryUtilization: "0.8", extraArgs: ["--served-model-name=mistral"]}
  deploymentConfig: {replicas: 2}
---
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {name: litellm, namespace: argocd}
spec:
  destination: {namespace: gw}
  source:
    chart: litellm-helm
    helm:
      valuesObject:
        masterkeySecretName: lk
        replicaCount: 3
        proxy_config:
          model_list:
            - model_name: mist
              litellm_params: {model: openai/mistral, api_base: "http://mistral.ai.svc.cluster.local/v1", api_key: none}
"""
HELMFILE = """\
repositories: [{name: zilliz, url: "https://zilliztech.github.io/milvus-helm"}]
releases:
  - name: vectors
    namespace: data
    chart: zilliz/milvus
    values: [{cluster: {enabled: true}}, more.yaml]
"""

OVERLAY = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\npatches: [{path: p.yaml}]\n"


def test_operators_models_are_asked_at_their_services_and_planned(tmp_path: Path) -> None:
    found = imported(tmp_path, SERVICES, judged=False)
    models = {each["name"]: each for each in found.platform["models"]}
    assert list(models) == ["mist", "qwen", "llama3", "stored"]
    qwen, llama, stored, mist = (models[each] for each in ("qwen", "llama3", "stored", "mist"))
    assert qwen["serve"]["url"] == "https://llama-kserve-workload-svc.ai.svc:8000/v1"
    flags = {"tool-call-parser": "hermes"}
    assert qwen["deploy"] == {"weights": "Qwen/Qwen3-8B", "context_tokens": 16_384, "flags": flags}
    assert (qwen["scale"]["min"], qwen["scale"]["max"]) == (1, 4)
    assert llama["serve"]["url"] == "http://hugging-predictor.ai.svc/openai/v1"
    assert llama["deploy"] == {"weights": "meta-llama/Llama-3.1-8B-Instruct", "context_tokens": 8192}
    assert "deploy" not in stored
    assert mist["serve"] == {"engine": "openai", "url": "http://mistral.ai.svc.cluster.local/v1", "model": "mistral"}
    assert mist["deploy"]["memory_utilization"] == 0.8
    assert mist["scale"] == {"min": 2, "max": 2}
    assert found.platform["gateway"] == {"admin_key": "${env:LITELLM_MASTER_KEY}"}
    left = notes(found, "left")
    assert "no language model" in left[line_of(SERVICES, "sklearn")]
    assert "hanok plan" in left[line_of(SERVICES, "parallelism")]


def test_a_tree_serves_operators_models_anew(tmp_path: Path) -> None:
    found = imported(tmp_path, SERVICES, judged=False)
    tree = rendered(yaml.safe_dump(found.platform))
    engines = {each["metadata"]["labels"].get("hanok.dev/model") for each in tree.all("StatefulSet")}
    assert {"mist", "qwen", "llama3"} <= engines
    config = tree.one("ConfigMap", "hanok-config")["data"]["platform.yaml"]
    assert "kserve-workload" not in config
    assert "mistral.ai" not in config
    assert "http://stored-predictor.ai.svc/v1" in config


def test_a_helmfiles_releases_are_read_as_charts(tmp_path: Path) -> None:
    (tmp_path / "helmfile.yaml").write_text(HELMFILE)
    (tmp_path / "kustomization.yaml").write_text(OVERLAY)
    (tmp_path / "vllm.yaml").write_text(vllm("one", args=["--model", "Qwen/Qwen3-8B"]))
    found = imported_from(tmp_path, judged=False)
    assert found.platform["milvus"] == {"uri": "http://vectors-milvus.data.svc:19530"}
    left = "".join(notes(found, "left").values())
    assert "values in more.yaml are not read" in left
    assert "kubectl kustomize DIR | hanok import manifests -" in left


PACE = """\
---
apiVersion: KIND
metadata: {name: one, namespace: ai}
spec:
  scaleTargetRef: {kind: Deployment, name: one}
  minReplicas: 1
  maxReplicas: 5
  metrics: [{type: Pods, pods: {metric: {name: "vllm:num_requests_running"}, target: {averageValue: "8"}}}]
  behavior:
    scaleUp: {stabilizationWindowSeconds: 30, policies: [{type: Pods, value: 2, periodSeconds: 60}]}
    scaleDown: {selectPolicy: Disabled}
"""


def test_how_soon_an_autoscaler_acts_is_carried_over(tmp_path: Path) -> None:
    text = vllm("one", args=["--model", "Qwen/Qwen3-8B"])
    text += PACE.replace("KIND", "autoscaling/v2\nkind: HorizontalPodAutoscaler")
    found = imported(tmp_path, text, judged=False)
    scale = loaded(found).platform.models[0].scale
    assert scale is not None
    assert (scale.min, scale.max, scale.running, scale.waiting) == (1, 5, 8.0, None)
    assert (scale.up.stable_s, scale.up.replicas, scale.up.percent, scale.up.period_s) == (30, 2, None, 60)
    assert scale.down.stable_s == 300
    assert "no words for" in notes(found, "left")[line_of(text, "scaleDown")]


@pytest.mark.parametrize(("article", "served"), [("platform", {"llama3-70b"}), ("challenges", set[str]())])
def test_an_articles_models_are_served_anew_by_the_tree_that_comes_of_it(
    tmp_path: Path, article: str, served: set[str]
) -> None:
    source = SEEDS / f"agentic-ai-{article}.md"
    if not source.exists():
        pytest.skip("the article is not here")
    found = imported(tmp_path, source.read_text("utf-8"), "article.md", judged=False)
    tree = rendered(yaml.safe_dump(found.platform))
    engines = {each["metadata"]["labels"].get("hanok.dev/model") for each in tree.all("StatefulSet")}
    assert engines - {None} == served
    config = tree.one("ConfigMap", "hanok-config")["data"]["platform.yaml"]
    assert not served or "vllm-llama3-70b" not in config
    wrong = {each.rule.id for each in proof(tree, tmp_path / "tree").findings if each.severity == "error"}
    assert wrong <= {"HK714"}  # models that are not served any more, as the article names them
