"""vLLM's production stack as its Helm chart is told of it: the models of `servingEngineSpec.modelSpec`.

All of them are asked at the stack's router, which has the release's name. Source: the chart `vllm-stack` 0.1.
"""

from __future__ import annotations

from hanok.migration.manifests.agent_models import host_of
from hanok.migration.manifests.engines import endpoints_of
from hanok.migration.manifests.flags import deploy_of
from hanok.migration.manifests.keys import Keys
from hanok.migration.manifests.releases import release_of
from hanok.migration.manifests.scales import scale_between, thresholds
from hanok.migration.manifests.told import Block, Draft, Path, Told, as_model
from hanok.preflight import Case
from hanok.preflight.charts import Chart, charts
from hanok.preflight.engines import read_flags
from hanok.preflight.manifests import Body, mapping_at, mappings_at, text_at, texts_at, whole_at

_CHART = "vllm-stack"
_DTYPES = ("bfloat16", "float16")
_FLAGS = {
    "maxModelLen": "deploy.context_tokens", "gpuMemoryUtilization": "deploy.memory_utilization",
    "dtype": "deploy.dtype", "runner": "type", "convert": "type",
}  # fmt: skip
_SWITCHES = {"enableChunkedPrefill": "enable-chunked-prefill", "enablePrefixCaching": "enable-prefix-caching",
             "maxNumSeqs": "max-num-seqs"}  # fmt: skip
_KNOWN = "name modelURL vllmConfig replicaCount keda"


def read_stacks(case: Case, draft: Draft, told: Told, keys: Keys) -> None:
    """Every production stack that the tree installs."""
    for chart in charts(case.cluster):
        if chart.name == _CHART:
            told.take(chart.manifest)
            _read(chart, draft, told, keys)


def _read(chart: Chart, draft: Draft, told: Told, keys: Keys) -> None:
    manifest, inner = chart.manifest, "servingEngineSpec"
    name, space = release_of(chart)
    port = whole_at(chart.values, "routerSpec", "servicePort") or 80
    url = f"http://{name}-router-service.{space}.svc:{port}/v1"
    key = _key(chart, told, keys)
    for index, body in enumerate(mappings_at(chart.values, inner, "modelSpec")):
        path: Path = (*chart.place, inner, "modelSpec", index)
        weights = text_at(body, "modelURL")
        if not weights or body.get("enabled") is False:
            told.left(manifest, path, "is not enabled" if weights else "names no model (`modelURL`)")
            continue
        endpoint: Block = {"engine": "openai", "url": url, "model": _served(body, weights)}
        endpoint |= {"key": key} if key else {}
        config = mapping_at(body, "vllmConfig")
        needs = {"deploy": _deploy(config, weights)} | ({"scale": scale} if (scale := _scale(body)) else {})
        there = _asked_there(draft, url, endpoint["model"])
        for known in there:
            known |= needs | known
        model: Block = {"name": as_model(endpoint["model"])} | _type(config) | {"serve": endpoint} | needs
        added = str(there[0]["name"]) if there else draft.add("models", model, manifest, path)
        told.carried(manifest, path, f"models[{added}]", "asked at the stack's router")
        _tell(chart, path, body, added, told)


def _asked_there(draft: Draft, url: str, model: str) -> list[Block]:
    """The models of a gateway that are asked at the router by this name."""
    return [
        each for each in draft.models.values()
        for endpoint in endpoints_of(each)
        if host_of(str(endpoint.get("url"))) == host_of(url) and endpoint.get("model") == model
    ]  # fmt: skip


def _served(body: Body, weights: str) -> str:
    """The name that it answers to."""
    words = texts_at(body, "vllmConfig", "extraArgs")
    for index, word in enumerate(words):
        flag, equals, value = word.partition("=")
        if flag == "--served-model-name":
            return value if equals else words[index + 1] if index + 1 < len(words) else weights
    return weights


def _type(config: Body) -> Block:
    convert = text_at(config, "convert")
    if text_at(config, "runner") != "pooling" and not convert:
        return {}
    return {"type": "rerank" if convert in ("score", "classify") else "embedding"}


def _deploy(config: Body, weights: str) -> Block:
    deploy: Block = {"weights": weights}
    tokens, share = whole_at(config, "maxModelLen"), config.get("gpuMemoryUtilization")
    if tokens and tokens > 0:
        deploy["context_tokens"] = tokens
    if text_at(config, "dtype") in _DTYPES:
        deploy["dtype"] = text_at(config, "dtype")
    if isinstance(share, float) and 0 < share <= 1:
        deploy["memory_utilization"] = share
    flags = deploy_of(read_flags(texts_at(config, "extraArgs"))[0])
    further = flags.pop("flags", {}) | {flag: config[key] for key, flag in _SWITCHES.items() if config.get(key)}
    return flags | deploy | ({"flags": further} if further else {})


def _scale(body: Body) -> Block:
    keda, count = mapping_at(body, "keda"), whole_at(body, "replicaCount") or 1
    if keda.get("enabled") is True:
        low, high = whole_at(keda, "minReplicaCount"), whole_at(keda, "maxReplicaCount")
        return scale_between(1 if low is None else low, high or 1, thresholds(keda))
    return scale_between(count, count, {}) if count > 1 else {}


def _key(chart: Chart, told: Told, keys: Keys) -> str | None:
    path: Path = (*chart.place, "servingEngineSpec", "vllmApiKey")
    held, written = mapping_at(chart.values, *path[-2:]), text_at(chart.values, *path[-2:])
    if text_at(held, "secretName"):
        told.carried(chart.manifest, path, "models[].serve[].key")
        return keys.of_secret(text_at(held, "secretName"), text_at(held, "secretKey") or "?", "VLLM_API_KEY")
    if written:
        return keys.hide(written, "VLLM_API_KEY", told, chart.manifest, path, to="models[].serve[].key")
    return None


def _tell(chart: Chart, path: Path, body: Body, model: str, told: Told) -> None:
    for key in mapping_at(body, "vllmConfig"):
        where: Path = (*path, "vllmConfig", key)
        if key in _SWITCHES or key == "extraArgs":
            told.carried(chart.manifest, where, f"models[{model}].deploy.flags", "those that say what is answered")
        elif key in _FLAGS:
            told.carried(chart.manifest, where, f"models[{model}].{_FLAGS[key]}")
        else:
            told.left(chart.manifest, where, "a setting of the engine: it stays in its manifest")
    for key in ("replicaCount", "keda"):
        if key in body:
            told.carried(chart.manifest, (*path, key), f"models[{model}].scale")
    if text_at(body, "hf_token"):
        told.wrong(chart.manifest, (*path, "hf_token"), "a secret stands in the file. It was not copied")
    reasons = dict.fromkeys(body, "stays with the engine")
    told.leave_rest(chart.manifest, path, body, reasons, known=f"{_KNOWN} hf_token")
