"""The references of two articles' platforms: what is broken in them is named, and mended forms are clean."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from hanok.preflight import Case, Report, gather, preflight
from tests.rooms.preflight.conftest import SEEDS, Look, facts

PLATFORM, CHALLENGES = "agentic-ai-platform.md", "agentic-ai-challenges.md"


@cache
def report_on(name: str) -> Report:
    path = SEEDS / name
    if not path.is_file():
        pytest.skip(f"{path} is not here")
    return preflight(Case(cluster=gather([Path(path)]).cluster, facts=facts()))


@pytest.mark.parametrize(
    ("article", "rule", "owner", "words"),
    [
        (PLATFORM, "HK251", "ConfigMap ai-inference/ab-testing-config", "names it"),
        (PLATFORM, "HK243", "HelmRelease gpu-operator/gpu-operator", "flux-system/nvidia"),
        (PLATFORM, "HK006", "EC2NodeClass gpu-nodes", "CLUSTER_NAME"),
        (PLATFORM, "HK204", "Deployment ai-inference/vllm-llama3-70b", "model-cache-pvc"),
        (PLATFORM, "HK203", "Deployment ai-inference/vllm-llama3-70b", "huggingface-token"),
        (PLATFORM, "HK231", "Deployment default/llm-d-decode", "llm-d-prefill"),
        (PLATFORM, "HK217", "HTTPRoute ai-inference/llama3-route", "ai-gateway"),
        (PLATFORM, "HK216", "HTTPRoute ai-inference/llama3-route", "inference.networking.k8s.io"),
        (PLATFORM, "HK253", "Deployment ai-gateway/litellm-gateway", "--config"),
        (PLATFORM, "HK231", "ConfigMap ai-gateway/litellm-config", "no Service redis in ai-gateway"),
        (PLATFORM, "HK231", "ConfigMap ai-gateway/litellm-config", "no Service vllm-llama3-8b in ai-inference"),
        (PLATFORM, "HK231", "Job ai-data/document-ingestion", "milvus-cluster-proxy"),
        (PLATFORM, "HK210", "Agent ai-agents/research-agent", "tools/search-api"),
        (PLATFORM, "HK231", "Agent ai-agents/research-agent", "no Service redis in ai-agents"),
        (PLATFORM, "HK231", "CronJob ai-batch/batch-inference", "no Service redis in ai-batch"),
        (PLATFORM, "HK231", "CronJob ai-qa/ragas-evaluation", "no Service rag-api in ai-inference"),
        (CHALLENGES, "HK253", "Deployment ai-gateway/litellm-proxy", "/app/config.yaml"),
        (CHALLENGES, "HK231", "Deployment ai-gateway/litellm-proxy", "redis-cache"),
        (CHALLENGES, "HK231", "ConfigMap ai-gateway/litellm-config", "vllm-llama"),
    ],
)
def test_what_an_article_gets_wrong_is_named(article: str, rule: str, owner: str, words: str) -> None:
    found = [f"{each.message} {each.hint}" for each in report_on(article).findings if each.rule.id == rule]
    owners = [each.object for each in report_on(article).findings if each.rule.id == rule and words in each.message]
    assert owner in owners, found


@pytest.mark.parametrize(
    "clean",
    [
        "ConfigMap gpu-operator/time-slicing-config",
        "Service ai-inference/vllm-llama3-70b",
        "Service gpu-monitoring/dcgm-exporter",
        "ServiceMonitor gpu-monitoring/dcgm-exporter",
        "NodePool gpu-inference",
        "Service ai-gateway/litellm-gateway",
    ],
)
def test_what_an_article_gets_right_is_left_alone(clean: str) -> None:
    found = [each for each in report_on(PLATFORM).findings if each.layer == "references" and each.object == clean]
    assert [each.rule.id for each in found if each.severity != "info"] == []


def test_a_host_in_a_configuration_file_is_told_with_its_line() -> None:
    lines = (SEEDS / PLATFORM).read_text("utf-8").splitlines() if (SEEDS / PLATFORM).is_file() else []
    (found,) = [each for each in report_on(PLATFORM).findings if "redis in ai-gateway" in each.message]
    assert "redis_host: redis.ai-gateway" in lines[found.line - 1]


MENDED = """
apiVersion: v1
kind: Namespace
metadata: {name: gpu-operator}
---
apiVersion: v1
kind: Namespace
metadata: {name: models}
---
apiVersion: v1
kind: Namespace
metadata: {name: gateway}
---
apiVersion: v1
kind: Namespace
metadata: {name: data}
---
apiVersion: source.toolkit.fluxcd.io/v1
kind: HelmRepository
metadata: {name: nvidia, namespace: gpu-operator}
spec: {interval: 1h, url: https://helm.ngc.nvidia.com/nvidia}
---
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: gpu-operator, namespace: gpu-operator}
spec:
  interval: 10m
  chart:
    spec:
      chart: gpu-operator
      version: v26.7.0
      sourceRef: {kind: HelmRepository, name: nvidia}
  values:
    mig: {strategy: mixed}
    devicePlugin: {config: {name: sharing, default: shared}}
    migManager: {config: {name: slices, default: all-disabled}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: sharing, namespace: gpu-operator}
data:
  shared: |
    version: v1
  alone: |
    version: v1
---
apiVersion: v1
kind: ConfigMap
metadata: {name: slices, namespace: gpu-operator}
data:
  config.yaml: |
    version: v1
    mig-configs:
      all-disabled: [{devices: all, mig-enabled: false}]
      small: [{devices: all, mig-enabled: true, mig-devices: {1g.10gb: 7}}]
---
apiVersion: karpenter.sh/v1
kind: NodePool
metadata: {name: gpus}
spec:
  template:
    metadata:
      labels: {nvidia.com/device-plugin.config: alone, nvidia.com/mig.config: small}
    spec:
      nodeClassRef: {group: karpenter.k8s.aws, kind: EC2NodeClass, name: gpus}
      requirements: [{key: karpenter.sh/capacity-type, operator: In, values: [spot]}]
---
apiVersion: karpenter.k8s.aws/v1
kind: EC2NodeClass
metadata: {name: gpus}
spec:
  amiSelectorTerms: [{alias: al2023@v20260801}]
  role: KarpenterNodeRole-production
  subnetSelectorTerms: [{tags: {karpenter.sh/discovery: production}}]
  securityGroupSelectorTerms: [{tags: {karpenter.sh/discovery: production}}]
---
apiVersion: external-secrets.io/v1
kind: ExternalSecret
metadata: {name: hub, namespace: models}
spec:
  secretStoreRef: {kind: ClusterSecretStore, name: vault}
  data: [{secretKey: token, remoteRef: {key: hub}}]
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: weights, namespace: models}
spec:
  accessModes: [ReadWriteMany]
  resources: {requests: {storage: 500Gi}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: large, namespace: models}
spec:
  replicas: 2
  selector: {matchLabels: {app: large}}
  template:
    metadata: {labels: {app: large}}
    spec:
      containers:
        - name: engine
          image: example.com/engine:1.0
          ports: [{name: http, containerPort: 8000}]
          env: [{name: HF_TOKEN, valueFrom: {secretKeyRef: {name: hub, key: token}}}]
          volumeMounts: [{name: weights, mountPath: /weights}]
      volumes: [{name: weights, persistentVolumeClaim: {claimName: weights}}]
---
apiVersion: v1
kind: Service
metadata: {name: large, namespace: models}
spec:
  selector: {app: large}
  ports: [{name: http, port: 8000, targetPort: http}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: picker, namespace: models}
spec:
  selector: {matchLabels: {app: picker}}
  template:
    metadata: {labels: {app: picker}}
    spec:
      containers: [{name: picker, image: example.com/picker:1.0, ports: [{containerPort: 9002}]}]
---
apiVersion: v1
kind: Service
metadata: {name: picker, namespace: models}
spec:
  selector: {app: picker}
  ports: [{port: 9002}]
---
apiVersion: inference.networking.k8s.io/v1
kind: InferencePool
metadata: {name: large, namespace: models}
spec:
  selector: {matchLabels: {app: large}}
  targetPorts: [{number: 8000}]
  endpointPickerRef: {name: picker, port: {number: 9002}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: inference, namespace: models}
spec:
  gatewayClassName: agentgateway
  listeners: [{name: http, port: 80, protocol: HTTP}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: large, namespace: models}
spec:
  parentRefs: [{name: inference, sectionName: http}]
  rules:
    - backendRefs: [{group: inference.networking.k8s.io, kind: InferencePool, name: large}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: litellm, namespace: gateway}
data:
  config.yaml: |
    model_list:
      - model_name: large
        litellm_params:
          model: openai/large
          api_base: http://inference.models:80/v1
    router_settings:
      redis_host: redis.gateway
      redis_port: 6379
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: litellm, namespace: gateway}
spec:
  selector: {matchLabels: {app: litellm}}
  template:
    metadata: {labels: {app: litellm}}
    spec:
      containers:
        - name: litellm
          image: ghcr.io/berriai/litellm:v1.80.0
          args: ["--config", "/app/config.yaml"]
          ports: [{containerPort: 4000}]
          volumeMounts: [{name: config, mountPath: /app/config.yaml, subPath: config.yaml}]
      volumes: [{name: config, configMap: {name: litellm}}]
---
apiVersion: v1
kind: Service
metadata: {name: litellm, namespace: gateway}
spec:
  selector: {app: litellm}
  ports: [{port: 4000}]
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: redis, namespace: gateway}
spec:
  serviceName: redis
  selector: {matchLabels: {app: redis}}
  template:
    metadata: {labels: {app: redis}}
    spec:
      containers:
        - name: redis
          image: docker.io/library/redis:8.2
          ports: [{containerPort: 6379}]
---
apiVersion: v1
kind: Service
metadata: {name: redis, namespace: gateway}
spec:
  clusterIP: None
  selector: {app: redis}
  ports: [{port: 6379}]
---
apiVersion: milvus.io/v1beta1
kind: Milvus
metadata: {name: vectors, namespace: data}
spec:
  mode: cluster
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: evaluation, namespace: data}
spec:
  schedule: "0 6 * * *"
  jobTemplate:
    spec:
      template:
        spec:
          restartPolicy: OnFailure
          containers:
            - name: evaluator
              image: example.com/evaluator:1.0
              env:
                - {name: MILVUS_HOST, value: vectors-milvus.data}
                - {name: ETCD, value: "vectors-etcd.data:2379"}
                - {name: GATEWAY_URL, value: "http://litellm.gateway.svc.cluster.local:4000/v1"}
                - {name: QUEUE_URL, value: "redis://redis-0.redis.gateway.svc:6379/0"}
                - {name: DATASET, value: "s3://datasets/golden.json"}
"""


def test_the_mended_platform_is_clean(look: Look) -> None:
    report = look(MENDED)
    found = [f"{each.rule.id} {each.object}: {each.message}" for each in report.findings if each.severity != "info"]
    assert [each for each in found if each.startswith(("HK2", "HK005", "HK006"))] == []


@pytest.mark.parametrize(
    ("right", "wrong", "rule"),
    [
        ("nvidia.com/device-plugin.config: alone", "nvidia.com/device-plugin.config: sharing", "HK312"),
        ("nvidia.com/mig.config: small", "nvidia.com/mig.config: large", "HK312"),
        ("default: shared", "default: any", "HK312"),
        ("migManager: {config: {name: slices, default: all-disabled}}", "migManager: {enabled: true}", "HK456"),
        ("accessModes: [ReadWriteMany]", "accessModes: [ReadWriteOnce]", "HK205"),
        ("claimName: weights", "claimName: wieghts", "HK204"),
        ("secretKeyRef: {name: hub, key: token}", "secretKeyRef: {name: hub, key: HF_TOKEN}", "HK202"),
        ("subPath: config.yaml", "subPath: litellm.yaml", "HK202"),
        ('args: ["--config", "/app/config.yaml"]', "args: [--port, '4000']", "HK253"),
        ("redis_host: redis.gateway", "redis_host: cache.gateway", "HK231"),
        ("inference.models:80", "inferenze.models:80", "HK231"),
        ("vectors-milvus.data", "vectors-proxy.data", "HK231"),
        ("litellm.gateway.svc.cluster.local:4000", "litellm.gateway.svc.cluster.local:8000", "HK215"),
        ("gatewayClassName: agentgateway", "gatewayClassName: kgateway", "HK220"),
        ("sectionName: http", "sectionName: https", "HK218"),
        ("parentRefs: [{name: inference", "parentRefs: [{name: public", "HK217"),
        ("endpointPickerRef: {name: picker", "endpointPickerRef: {name: epp", "HK214"),
        ("port: {number: 9002}", "port: {number: 9003}", "HK215"),
        ("targetPorts: [{number: 8000}]", "targetPorts: [{number: 8080}]", "HK213"),
        ("matchLabels: {app: large}}\n  targetPorts", "matchLabels: {a: b}}\n  targetPorts", "HK221"),
        ("serviceName: redis", "serviceName: redis-headless", "HK214"),
        ("kind: EC2NodeClass, name: gpus", "kind: EC2NodeClass, name: default", "HK241"),
        ("group: karpenter.k8s.aws, kind", "group: eks.amazonaws.com, kind", "HK241"),
        ("KarpenterNodeRole-production", "KarpenterNodeRole-${CLUSTER}", "HK006"),
        ("sourceRef: {kind: HelmRepository, name: nvidia}", "sourceRef: {kind: OCIRepository, name: nvidia}", "HK243"),
    ],
)  # fmt: skip
def test_each_slip_in_the_mended_platform_is_found(look: Look, right: str, wrong: str, rule: str) -> None:
    assert MENDED.count(right) >= 1
    assert rule in [each.rule.id for each in look(MENDED.replace(right, wrong)).findings]
