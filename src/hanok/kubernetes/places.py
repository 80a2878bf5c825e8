"""Where things are in the cluster: namespaces, names and addresses, which several components must agree on."""

from __future__ import annotations

from hanok.kubernetes.objects import label

HANOK, MODELS, KNOWLEDGE, OBSERVABILITY, JOBS = "hanok", "models", "knowledge", "observability", "jobs"
ENTRY, KAGENT, RAY = "entry", "kagent", "ray-system"
"""Namespaces of the platform's own workloads, and of KubeRay's operator."""
FLUX = "flux-system"
INGESTION = "ingestion"
"""The folder of what ingests into knowledge bases, in Hanok's namespace. Nobody waits for what is in it."""
GATEWAY_PORT, ENGINE_PORT = 4242, 8000
GATEWAY = f"http://hanok.{HANOK}.svc:{GATEWAY_PORT}"
KEPT = "hanok-kept"
"""The Service of the first gateway alone, for what is kept on one pod's disk."""
MILVUS = f"http://milvus-milvus.{KNOWLEDGE}.svc:19530"
"""The operator names the Service after the object: `milvus`."""
POSTGRES, POSTGRES_SECRET = "hanok-postgres", "hanok-postgres-app"
"""A Cluster of CloudNativePG in Hanok's namespace, and the Secret that it makes: its key `uri` is the address."""
REDIS = "hanok-redis"
"""A Valkey, and the Secret with its password (`password`) and its address with it (`url`)."""
CACHE = "hanok-cache"
"""Another, for answers that are kept, with a Secret alike."""
COLLECTOR = f"http://hanok-collector.{OBSERVABILITY}.svc:4318"
"""An OpenTelemetryCollector called `hanok`."""
PROMETHEUS = f"http://prometheus-operated.{OBSERVABILITY}.svc:9090"
PROMETHEUS_RELEASE = "prometheus"
"""The release of kube-prometheus-stack; its monitors are found by the label `release`."""
LANGFUSE = f"http://langfuse-web.{OBSERVABILITY}.svc:3000"
MLFLOW = f"http://mlflow.{OBSERVABILITY}.svc:5000"
ENTRY_GATEWAY = "hanok"
"""The Gateway of callers, in the namespace of the entry."""
INFERENCE_GATEWAY = "inference"
INFERENCE = f"http://{INFERENCE_GATEWAY}.{MODELS}.svc"
"""The Gateway in front of InferencePools."""
GPU_TAINT = "nvidia.com/gpu"
WORKLOAD = "hanok.dev/workload"
"""Label of nodes: which pool they are of: `general`, or a GPU pool's name."""
VARIABLES_SECRET = "hanok-variables"
"""The Secret in Hanok's namespace with every variable of the platform file."""
STORED_SPACE, STORED = "secrets", "platform"
"""Where no store is: the namespace of one Secret that a person makes, and its name."""
HUB_SECRET, HUB_SECRET_KEY = "hugging-face", "token"
"""The Secret in the engines' namespace with the token for Hugging Face."""
DISK_CLASS, EFS_CLASS, FSX_CLASS = "gp3", "efs", "fsx"
"""StorageClasses of disks, the default on AWS, and of file systems that many nodes share."""


def team_space(team: str) -> str:
    """The namespace of a team."""
    return label(f"team-{team}")


def engine_url(name: str) -> str:
    """Base URL of an engine's Service, as an OpenAI client would be given it."""
    return f"http://{name}.{MODELS}.svc:{ENGINE_PORT}/v1"
