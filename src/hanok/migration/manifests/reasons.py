"""Why things of a cluster stay where they are. One line each; what is not listed gets a plain word."""

from __future__ import annotations

ENGINES_OWN = "a setting of the engine: it stays in its manifest"
"""Of every other flag."""

ENGINE_FLAGS: dict[str, tuple[str | None, str]] = {
    "model": ("deploy.weights", ""),
    "served-model-name": ("serve[].model", ""),
    "max-model-len": ("deploy.context_tokens", ""),
    "quantization": ("deploy.quantization", ""),
    "dtype": ("deploy.dtype", ""),
    "kv-cache-dtype": ("deploy.kv_dtype", ""),
    "gpu-memory-utilization": ("deploy.memory_utilization", ""),
    "port": ("serve[].url", "the Service's port is asked"),
    "api-key": ("serve[].key", ""),
    "task": ("type", ""),
    "runner": ("type", ""),
    "convert": ("type", ""),
    "tensor-parallel-size": (None, "`hanok plan` says over how many GPUs the model must be spread"),
    "pipeline-parallel-size": (None, "`hanok plan` says over how many GPUs the model must be spread"),
    "data-parallel-size": (None, "copies within the engine; Hanok sees one endpoint"),
    "max-num-seqs": (None, "the engine's own bound; `serve[].max_in_flight` bounds what Hanok sends it"),
    "lora-modules": (None, "adapters answer as models: for each write one with the same url and `model: ADAPTER`"),
    "enable-lora": (None, "adapters answer as models: for each write one with the same url and `model: ADAPTER`"),
    "config": (None, "flags in a file that was not read: what stands there is not known"),
    "kv-transfer-config": (None, "for a prefill/decode pair say `serve[].role` of both endpoints"),
}
"""Flags of vLLM: where in a model they go, or why they stay; and a word for either."""

CONTAINER: dict[str, str] = {
    "image": "Hanok asks the engine, and does not start it",
    "env": "the engine's own environment",
    "envFrom": "the engine's own environment",
    "resources": "`hanok plan` says what the model needs; `hanok preflight` whether these suit",
    "readinessProbe": "stays with the engine; Hanok looks after its endpoints by itself",
    "livenessProbe": "stays with the engine; Hanok looks after its endpoints by itself",
    "startupProbe": "stays with the engine; Hanok looks after its endpoints by itself",
    "volumeMounts": "stays with the engine",
}

POD: dict[str, str] = {
    "nodeSelector": "where it may stand is said by the manifest, and for plans by `deploy.gpu`",
    "tolerations": "where it may stand is said by the manifest, and for plans by `deploy.gpu`",
    "affinity": "where it may stand is said by the manifest, and for plans by `deploy.gpu`",
    "volumes": "stays with the engine",
    "initContainers": "stays with the engine",
}

KINDS: dict[str, str] = {
    "HTTPRoute": "Hanok routes by the body's model, and asks engines itself: models[].serve, models[].routing",
    "GRPCRoute": "Hanok speaks HTTP",
    "Gateway": "Hanok is the gateway: gateway.host and gateway.port",
    "GatewayClass": "Hanok is the gateway",
    "InferencePool": "what it chooses among are endpoints: models[].serve, models[].routing (policy `prefix`)",
    "InferenceModel": "names of models are models[] in Hanok",
    "InferenceModelRewrite": "names of models are models[] in Hanok",
    "InferenceObjective": "Hanok has limits and budgets, not priorities of pools",
    "EndpointPicker": "Hanok picks endpoints by models[].routing",
    "NodePool": "machines stay with Karpenter; no model's pods are let in here, so it limits no plan",
    "EC2NodeClass": "machines stay with Karpenter",
    "NodeClass": "machines stay with Karpenter",
    "NodeOverlay": "machines stay with Karpenter",
    "Node": "machines stay with the cluster",
    "ServiceMonitor": "Hanok's metrics are at /metrics, always: point a monitor there",
    "PodMonitor": "Hanok's metrics are at /metrics, always: point a monitor there",
    "PrometheusRule": "Hanok's metrics have other names: see docs/metrics.md",
    "Secret": "secrets are not read: platform.yaml names variables",
    "ConfigMap": "nothing in it that Hanok's platform has a place for",
    "Service": "leads to nothing that was carried over",
    "Ingress": "Hanok is the gateway: gateway.host and gateway.port",
    "Namespace": "Hanok declares no objects of the cluster",
    "PersistentVolumeClaim": "storage stays with the cluster",
    "StorageClass": "storage stays with the cluster",
    "NetworkPolicy": "stays with the cluster",
    "ResourceQuota": "stays with the cluster",
    "LimitRange": "stays with the cluster",
    "ServiceAccount": "stays with the cluster",
    "Role": "stays with the cluster",
    "RoleBinding": "stays with the cluster",
    "PodDisruptionBudget": "stays with the cluster",
    "HorizontalPodAutoscaler": "scales nothing that was carried over",
    "ScaledObject": "scales nothing that was carried over",
    "DaemonSet": "works for the cluster, not for calls",
    "CronJob": "a job that brings no documents: Hanok's schedules are those of knowledge bases",
    "Job": "a job that brings no documents",
    "Memory": "kagent's v1alpha1 kind, for agents in Pinecone: Hanok keeps memories itself (agents[].memory)",
    "ModelConfig": "no agent that was carried over uses it",
    "RemoteMCPServer": "no agent that was carried over uses it",
    "MCPServer": "no agent that was carried over uses it",
    "ToolServer": "no agent that was carried over uses it",
    "HelmRelease": "a chart that Hanok has no part in",
    "HelmRepository": "where charts come from; Hanok installs none",
    "OCIRepository": "where charts come from; Hanok installs none",
    "GitRepository": "where manifests come from; Hanok applies none",
    "Kustomization": "applies manifests; Hanok applies none",
    "Deployment": "a program that Hanok has no part in",
    "StatefulSet": "a program that Hanok has no part in",
    "LeaderWorkerSet": "a program that Hanok has no part in",
}
"""Manifests of which nothing was taken, by kind."""
OTHER_KIND = "Hanok has nothing like it"
