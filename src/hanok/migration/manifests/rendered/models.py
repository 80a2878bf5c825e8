"""Models that rendered engines serve: their Service's address, and `deploy` and `scale`, by which a tree makes them.

What stood in the engine's place on one machine is not in the tree; whoever wants a small model there writes it in.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from hanok.migration.manifests.engines import endpoints_of, read_deploy
from hanok.migration.manifests.flags import value_of
from hanok.migration.manifests.pools import holds
from hanok.migration.manifests.rendered.tree import MODELS, RenderedTree, metadata
from hanok.migration.manifests.scales import read_scale
from hanok.migration.manifests.told import Block, Draft, Told
from hanok.preflight.engines import Engine
from hanok.preflight.manifests import labels_at
from hanok.spec.tree import ADJUSTABLE

_COMPONENT = "app.kubernetes.io/component"
_USUAL = {"shutdown-timeout": "90", "disable-access-log-for-endpoints": "/health,/metrics", "runner": "pooling"}
"""Flags that every rendered engine has, or every one that makes vectors."""
_PLANNED = frozenset({
    "served-model-name", "model", "port", "max-model-len", "quantization", "dtype", "kv-cache-dtype",
    "gpu-memory-utilization", "nnodes", "node-rank", "master-addr", "headless",
})  # fmt: skip
"""Flags that follow from `deploy` and from where the engine stands. How it is spread over GPUs stays as it is."""
_SHARED = "nvidia.com/gpu.shared"
_CONCURRENCIES = (8, 4, 2, 1)


def read_models(tree: RenderedTree, draft: Draft, told: Told) -> None:
    """Each model whose engines are in the tree, with those in place of their addresses."""
    found: dict[str, list[Engine]] = {}
    for engine in tree.case.engines:
        if engine.workload.part != "worker" and metadata(engine.workload.manifest, "labels").get(_COMPONENT) == "vllm":
            found.setdefault(engine.served_names[0], []).append(engine)
    for name, engines in found.items():
        if name in draft.models:
            _restore(tree, draft.models[name], engines, told)


def _restore(tree: RenderedTree, model: Block, engines: Sequence[Engine], told: Told) -> None:
    first, to = engines[0], f"models[{model['name']}]"
    asked = endpoints_of(model)
    serve = [each for each in asked if not _is_engines(each)]
    flags: Block = {}
    for engine in sorted(engines, key=lambda each: _place(asked, each)):
        kept: Block = next(_asked_at(asked, engine), None) or {}
        one, further = _endpoint(engine, {key: kept[key] for key in ADJUSTABLE if key in kept})
        serve.append(one)
        flags |= further
        told.take(engine.workload.manifest)
        told.carried(engine.workload.manifest, engine.path(), f"{to}.serve", "by its Service; a tree makes it anew")
    model["serve"] = serve if len(serve) > 1 else serve[0]
    deploy = read_deploy(tree.case, first, told, to, judged=False)
    deploy |= {"flags": flags} if flags else {}
    if _SHARED in first.container.requests:
        deploy.pop("memory_utilization", None)  # follows from how many share a GPU
    deploy |= {} if "gpu" in deploy else _gpu_of_pool(tree, first)
    if concurrency := _concurrency(tree, deploy):
        deploy["concurrency"] = concurrency
        message = f"so many calls of {deploy.get('context_tokens', 8192)} tokens fit on the machines of its pool"
        told.changed(first.workload.manifest, first.path("max-model-len"), message, f"{to}.deploy.concurrency")
    if all(each.get("engine") == "vllm" for each in serve):
        del deploy["weights"]
    if deploy:
        model["deploy"] = deploy
    if scale := read_scale(tree.case, first.workload, told, f"{to}.scale"):
        model["scale"] = scale


def _is_engines(endpoint: Block) -> bool:
    """Whether an address is one of the namespace in which rendered engines stand."""
    return endpoint.get("engine") == "openai" and _host(endpoint).endswith(f".{MODELS}.svc")


def _host(endpoint: Block) -> str:
    try:
        return urlsplit(str(endpoint.get("url") or "")).hostname or ""
    except ValueError:
        return ""


def _asked_at(asked: Sequence[Block], engine: Engine) -> Iterator[Block]:
    """The addresses of an engine: its pods' own, or that of the picker before all."""
    for endpoint in asked:
        parts = _host(endpoint).split(".")
        if _is_engines(endpoint) and (engine.workload.manifest.name in parts or "inference" in parts):
            yield endpoint


def _place(asked: Sequence[Block], engine: Engine) -> int:
    """Where an engine's first address stands among the model's."""
    first = next(_asked_at(asked, engine), None)
    return next((index for index, each in enumerate(asked) if each is first), len(asked))


def _gpu_of_pool(tree: RenderedTree, engine: Engine) -> Block:
    """Its kind of machine by the pool's name, as `gpu-g6e-xlarge`, where nodes are there and no NodePool is."""
    name = labels_at(engine.workload.spec, "nodeSelector").get("hanok.dev/workload", "").removeprefix("gpu-")
    known = tree.case.facts.catalog.instances
    found = [each for each in known if name == each.replace(".", "-") or name.startswith(f"{each.replace('.', '-')}-")]
    return {"gpu": [max(found, key=len)]} if found else {}


def _endpoint(engine: Engine, kept: Block) -> tuple[Block, Block]:
    """An engine as an endpoint, and its flags for `deploy`; a prefill/decode pair as two of vLLM with their own."""
    flags = {
        flag.name: value_of(flag)
        for flag in engine.flags
        if flag.name not in _PLANNED and flag.value != _USUAL.get(flag.name, "")
    }
    role = engine.workload.labels.get("llm-d.ai/role")
    if role:
        flags.pop("kv-transfer-config", None)
        own: Block = {"engine": "vllm", "model": engine.model, **kept, "role": role}
        return own | ({"flags": flags} if flags else {}), {}
    name = engine.workload.labels.get("app.kubernetes.io/name") or engine.workload.manifest.name
    url = f"http://{name}.{MODELS}.svc:{engine.whole('port', 8000)}/v1"
    return {"engine": "openai", "url": url, **kept}, flags


def _concurrency(tree: RenderedTree, deploy: Block) -> int | None:
    """The most calls at once, up to the usual, for which its machines suffice; None where the usual do, or none."""
    fitting = (each for each in _CONCURRENCIES if holds(tree.case, deploy | {"concurrency": each}))
    found = next(fitting, None)
    return found if found != _CONCURRENCIES[0] else None
