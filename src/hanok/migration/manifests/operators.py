"""Models as objects of an operator: KServe's two kinds of services, and VLLMRuntimes of vLLM's production stack.

Their pods are not in the files; each says the model, the flags and how many, and its operator names the Service.
Sources: KServe 0.20 (`NAME-kserve-workload-svc`, `NAME-predictor`), production-stack's operator (`NAME`, port 80).
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from hanok.migration.manifests.agent_models import host_of
from hanok.migration.manifests.engines import endpoints_of
from hanok.migration.manifests.flags import deploy_of, flag_reason
from hanok.migration.manifests.keys import Keys
from hanok.migration.manifests.scales import scale_between
from hanok.migration.manifests.told import Block, Draft, Path, Told, as_model
from hanok.preflight import Case, Manifest
from hanok.preflight.engines import Flag, read_flags
from hanok.preflight.manifests import Body, mapping_at, mappings_at, text_at, texts_at, whole_at
from hanok.spec.checks import quoted

_KSERVE, _STACK = "serving.kserve.io", "production-stack.vllm.ai"
_TEXT = ("huggingface", "vllm", "vllm-openai")
"""Formats of InferenceServices that answer as OpenAI does."""
_FOLDER = "/mnt/models"
"""Where KServe puts what `storageUri` names."""
_REASONS = {
    "parallelism": "`hanok plan` says over how many GPUs the model must be spread",
    "prefill": "a prefill/decode pair: give both endpoints of engine `vllm` their `role`, and render them",
    "worker": "`hanok plan` says over how many machines the model must be spread",
    "router": "Hanok routes among engines itself: models[].routing; a tree has its own entry",
    "baseRefs": "what LLMInferenceServiceConfigs add is not read: compare with what came of it in the cluster",
    "template": "where it may stand is said by the manifest, and for plans by `deploy.gpu`",
    "transformer": "Hanok has nothing before a model but agents",
    "explainer": "Hanok has nothing like it",
    "lmCacheConfig": "a setting of the engine: it stays in its manifest",
    "storageConfig": "storage stays with the cluster",
    "deploymentConfig": "how its pods stand stays in its manifest",
}


@dataclass(frozen=True, kw_only=True)
class _Declared:
    """A model as its object says it. `weights` are empty where they are no model of Hugging Face."""

    manifest: Manifest
    weights: str
    served: str
    url: str
    where: Path
    flags: Sequence[Flag] = ()
    scale: Block = field(default_factory=dict[str, Any])
    endpoint: Block = field(default_factory=dict[str, Any])
    pooling: bool = False


def read_operators(case: Case, draft: Draft, told: Told, keys: Keys) -> None:
    """Every model that an operator serves."""
    del keys  # none of these asks for one
    for manifest in case.cluster.of("LLMInferenceService", group=_KSERVE):
        _take(_llm_service(manifest, told), draft, told)
    for manifest in case.cluster.of("InferenceService", group=_KSERVE):
        if (declared := _service(manifest, told)) is not None:
            _take(declared, draft, told)
    for manifest in case.cluster.of("VLLMRuntime", group=_STACK):
        if (declared := _runtime(manifest, told)) is not None:
            _take(declared, draft, told)


def _take(declared: _Declared, draft: Draft, told: Told) -> None:
    """A model of it, or what a gateway's model that leads there needs."""
    manifest = declared.manifest
    told.take(manifest)
    needs: Block = {"deploy": {"weights": declared.weights} | deploy_of(declared.flags)} if declared.weights else {}
    needs |= {"scale": declared.scale} if declared.scale else {}
    endpoint: Block = {"engine": "openai", "url": declared.url, "model": declared.served} | declared.endpoint
    there = [each for each in draft.models.values() if _leads_to(each, declared.url)]
    for known in there:
        known |= needs | known
    model: Block = {"name": as_model(declared.served)} | ({"type": "embedding"} if declared.pooling else {})
    name = str(there[0]["name"]) if there else draft.add("models", model | {"serve": endpoint} | needs, manifest, ())
    told.carried(manifest, declared.where, f"models[{name}]", f"asked at {declared.url}")
    if not declared.weights:
        message = "its weights are no model of Hugging Face: it is asked where it is, and cannot be planned or rendered"
        told.changed(manifest, declared.where, message, f"models[{name}]")
    for flag in declared.flags:
        to, reason = flag_reason(flag)
        if to is not None:
            told.carried(manifest, declared.where, f"models[{name}].{to}", f"--{flag.name}")
        else:
            told.left(manifest, declared.where, f"--{flag.name}: {reason}")


def _leads_to(model: Block, url: str) -> bool:
    """Whether one of its endpoints has the same host, in whatever length it is written."""
    host = host_of(url).removesuffix(".svc")
    named = (host_of(str(each.get("url", ""))) for each in endpoints_of(model))
    return any(each.removesuffix(".cluster.local").removesuffix(".svc") == host for each in named)


def _hugging_face(uri: str) -> str:
    """`hf://OWNER/NAME[:REVISION]` as the name; empty for any other address."""
    return uri.removeprefix("hf://").partition(":")[0] if uri.startswith("hf://") else ""


# --- KServe -----------------------------------------------------------------------------------------------------------


def _llm_service(manifest: Manifest, told: Told) -> _Declared:
    spec = mapping_at(manifest.body, "spec")
    containers = mappings_at(spec, "template", "containers")
    main = next((each for each in containers if text_at(each, "name") == "main"), containers[0] if containers else {})
    told.leave_rest(manifest, ("spec",), spec, _REASONS, known="model replicas scaling")
    url = f"https://{manifest.name}-kserve-workload-svc.{manifest.namespace}.svc:8000/v1"
    message = "the Service speaks TLS with KServe's own certificate: name its authority in `ca_file`, and check again"
    told.changed(manifest, ("metadata", "name"), message, "models[].serve.verify_tls")
    return _Declared(
        manifest=manifest,
        weights=_hugging_face(text_at(spec, "model", "uri")),
        served=text_at(spec, "model", "name") or manifest.name,
        url=url,
        where=("spec", "model"),
        flags=read_flags([*_words(main), *_more_words(main)])[0],
        scale=_scale(manifest, told, ("spec", "scaling"), ("spec", "replicas")),
        endpoint={"verify_tls": False},
    )


def _words(container: Body) -> list[str]:
    return [*texts_at(container, "command"), *texts_at(container, "args")]


def _more_words(container: Body) -> list[str]:
    """What KServe's template adds to the command."""
    for each in mappings_at(container, "env"):
        if text_at(each, "name") == "VLLM_ADDITIONAL_ARGS":
            try:
                return shlex.split(text_at(each, "value"))
            except ValueError:
                return text_at(each, "value").split()
    return []


def _service(manifest: Manifest, told: Told) -> _Declared | None:
    """An InferenceService of a language model; all others are left."""
    predictor = mapping_at(manifest.body, "spec", "predictor")
    model, own = mapping_at(predictor, "model"), next(iter(mappings_at(predictor, "containers")), None)
    form = text_at(model, "modelFormat", "name").lower()
    container = model or own or {}
    flags = read_flags(_words(container))[0]
    given = {flag.name: flag.value or "" for flag in flags}
    vllm = form in _TEXT or any("vllm" in each for each in [*_words(container), text_at(container, "image")])
    if not vllm:
        told.left(manifest, ("spec", "predictor"), f"format {quoted(form or '?')} is no language model that Hanok asks")
        return None
    stored = text_at(model, "storageUri") or _stored(container)
    weights = given.get("model-id") or given.get("model") or ""
    task = given.get("task", "")
    if "classification" in task or task == "fill_mask":
        told.left(manifest, ("spec", "predictor"), f"Hanok has no models for {task}")
        return None
    told.leave_rest(manifest, ("spec",), mapping_at(manifest.body, "spec"), _REASONS, known="predictor")
    return _Declared(
        manifest=manifest,
        weights=_hugging_face(stored) if not weights or weights.startswith(_FOLDER) else weights,
        served=given.get("model-name") or given.get("served-model-name") or manifest.name,
        url=f"http://{manifest.name}-predictor.{manifest.namespace}.svc/{'openai/v1' if form == _TEXT[0] else 'v1'}",
        where=("spec", "predictor"),
        flags=[each for each in flags if each.name not in ("model-id", "model-name", "model-dir", "backend")],
        scale=_between(manifest, told, ("spec", "predictor"), predictor),
        pooling="embed" in task,
    )


def _stored(container: Body) -> str:
    values = (text_at(each, "value") for each in mappings_at(container, "env") if each.get("name") == "STORAGE_URI")
    return next(values, "")


# --- The production stack's operator ----------------------------------------------------------------------------------


def _runtime(manifest: Manifest, told: Told) -> _Declared | None:
    spec = mapping_at(manifest.body, "spec")
    weights = text_at(spec, "model", "modelURL")
    if not weights:
        told.left(manifest, ("spec", "model"), "names no model (`modelURL`)")
        return None
    told.leave_rest(manifest, ("spec",), spec, _REASONS, known="model vllmConfig autoscalingConfig deploymentConfig")
    flags = read_flags([*_runtime_words(spec), *texts_at(spec, "vllmConfig", "extraArgs")])[0]
    given = {flag.name: flag.value for flag in flags}
    return _Declared(
        manifest=manifest,
        weights="" if weights.startswith("/") else weights,
        served=given.get("served-model-name") or weights,
        url=f"http://{manifest.name}.{manifest.namespace}.svc:80/v1",
        where=("spec", "model"),
        flags=flags,
        scale=_scale(manifest, told, ("spec", "autoscalingConfig"), ("spec", "deploymentConfig", "replicas")),
        pooling=given.get("runner") == "pooling" or given.get("task") in ("embed", "embedding"),
    )


def _runtime_words(spec: Body) -> Iterator[str]:
    """The flags that the operator makes of its keys."""
    model, config = mapping_at(spec, "model"), mapping_at(spec, "vllmConfig")
    for body, key, flag in (
        (model, "maxModelLen", "max-model-len"), (model, "dtype", "dtype"), (model, "maxNumSeqs", "max-num-seqs"),
        (model, "toolCallParser", "tool-call-parser"), (config, "gpuMemoryUtilization", "gpu-memory-utilization"),
        (config, "tensorParallelSize", "tensor-parallel-size"),
    ):  # fmt: skip
        if body.get(key):
            yield f"--{flag}={body[key]}"
    if model.get("enableTool") is True:
        yield "--enable-auto-tool-choice"
    if model.get("enableLoRA") is True:
        yield "--enable-lora"


# --- How many ---------------------------------------------------------------------------------------------------------


def _scale(manifest: Manifest, told: Told, scaling: Path, replicas: Path) -> Block:
    """Of an autoscaler its bounds: it looks at metrics of its own."""
    bounds = mapping_at(manifest.body, *scaling)
    if bounds and bounds.get("enabled") is not False:
        return _between(manifest, told, scaling, bounds)
    count = whole_at(manifest.body, *replicas) or 1
    if count < 2:
        return {}
    told.carried(manifest, replicas, "models[].scale")
    return scale_between(count, count, {})


def _between(manifest: Manifest, told: Told, path: Path, bounds: Body) -> Block:
    low, high = whole_at(bounds, "minReplicas"), whole_at(bounds, "maxReplicas")
    if not high or high < 2:
        return {}
    message = "scales by metrics of its own: Hanok looks at calls and caches, as by default"
    told.changed(manifest, (*path, "maxReplicas"), message, "models[].scale")
    return scale_between(1 if low is None else low, high, {})
