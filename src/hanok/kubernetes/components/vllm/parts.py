"""What all objects of an engine have alike: labels, ports, the pods that one means."""

from __future__ import annotations

import re

from hanok.kubernetes.engines import EnginePlan
from hanok.kubernetes.objects import label, labels, selector
from hanok.kubernetes.places import ENGINE_PORT
from hanok.kubernetes.plan import ClusterPlan
from hanok.kubernetes.replicas import is_picked

NAME = "vllm"
PORT, SIDE_PORT, BEHIND_PORT = "http", 5600, 8200
"""vLLM's port by name; NIXL's, where keys and values are handed over; vLLM's own behind llm-d's sidecar."""
MODEL = "hanok.dev/model"
_PLAIN = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")


def engine_labels(engine: EnginePlan) -> dict[str, str]:
    """Labels of an engine's objects."""
    return labels(engine.name, NAME, **{MODEL: label(engine.model.name)})


def pod_labels(engine: EnginePlan) -> dict[str, str]:
    """Labels of pods that answer. `llm-d.ai/model` is the name that metrics and bills know the model by."""
    name = engine.model.name
    named = name if _PLAIN.fullmatch(name) else label(name)
    role = {"llm-d.ai/role": engine.role} if engine.role else {}
    return {**engine_labels(engine), "llm-d.ai/inference-serving": "true", "llm-d.ai/model": named, **role}


def pods_of(engine: EnginePlan) -> dict[str, str]:
    """The labels by which the pods that answer are known."""
    return selector(engine.name)


def has_sidecar(plan: ClusterPlan, engine: EnginePlan) -> bool:
    """Whether llm-d's sidecar stands before the engine: it has prompts prefilled elsewhere."""
    return engine.role == "decode" and is_picked(plan, engine)


def own_port(plan: ClusterPlan, engine: EnginePlan) -> int:
    """The port that vLLM itself listens on."""
    return BEHIND_PORT if has_sidecar(plan, engine) else ENGINE_PORT
