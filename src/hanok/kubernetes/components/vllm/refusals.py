"""What of a declared engine cannot be served in the cluster, by its line; and what a person must know of the rest."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from hanok.errors import Problem
from hanok.kubernetes.components.vllm.flags import OURS
from hanok.kubernetes.components.vllm.pod import start_s
from hanok.kubernetes.components.vllm.weights import storage_class
from hanok.kubernetes.engines import HERE, EnginePlan, is_replaced
from hanok.kubernetes.notes import Known, Step, Told
from hanok.kubernetes.plan import ClusterPlan
from hanok.spec.nodes import Place

if TYPE_CHECKING:
    from hanok.preflight.fit.load_flags import Version, Vocabulary

AS_PUBLISHED = ("auto", "none", "fp8")
"""Formats that vLLM has or makes of published weights while it loads them; all others must be published so."""


def refuse(plan: ClusterPlan) -> Iterator[Problem]:
    """Every reason why an engine that was planned cannot run there."""
    yield from _storage(plan)
    for engine in plan.engines:
        yield from _weights(plan, engine)
        yield from _flags(plan, engine)


def _storage(plan: ClusterPlan) -> Iterator[Problem]:
    serving = plan.cluster.serving
    place = ("cluster", "serving", "weights")
    if serving.weights != "node" and not plan.on_aws and serving.storage_class is None:
        hint = "name a class whose volumes many nodes may write in `cluster.serving.storage_class`, or take `node`"
        yield plan.written.problem(place, f"`{serving.weights}` is a file system of AWS", hint)
    if serving.weights == "node" and serving.storage_class is not None:
        hint = "say `weights: efs` or `fsx`, or delete it"
        message = "weights are kept on each node, so no StorageClass is looked at"
        yield plan.written.problem(("cluster", "serving", "storage_class"), message, hint)


def _weights(plan: ClusterPlan, engine: EnginePlan) -> Iterator[Problem]:
    if engine.weights.startswith((".", "/", "~")):
        message = f"{engine.weights} is a folder of this machine, and engines of a cluster fetch their weights"
        yield plan.written.problem(_place(engine, "model"), message, "name a model of Hugging Face, as `OWNER/NAME`")
    if (
        engine.weights != engine.anatomy.name
    ):  # planning finds a model in any case and without its owner; a hub does not
        message = f"{engine.weights} is not the whole name of the model: it is fetched as {engine.anatomy.name}"
        yield plan.written.problem(_place(engine, "model"), message, f"write {engine.anatomy.name}")
    wanted = engine.deploy.quantization
    if wanted not in AS_PUBLISHED and engine.anatomy.packing.format == "bf16":
        message = f"{engine.weights} is planned as {wanted}, and is published in 16 bits"
        hint = f"name a checkpoint that is published as {wanted}, or take fp8, which vLLM makes itself"
        yield plan.written.problem(("models", engine.index, "deploy", "quantization"), message, hint)


def _place(engine: EnginePlan, *more: str) -> Place:
    if engine.endpoint is None:
        return ("models", engine.index, "deploy")
    return ("models", engine.index, "serve", engine.endpoint, *more)


# --- Flags ------------------------------------------------------------------------------------------------------------


def _flags(plan: ClusterPlan, engine: EnginePlan) -> Iterator[Problem]:
    if not engine.flags:
        return
    from hanok.preflight.fit.load_flags import vocabulary

    runs = _version(plan)
    for name in engine.flags:
        if found := _wrong(name, runs, vocabulary()):
            yield plan.written.problem(_flag_place(engine, name), *found)


def _flag_place(engine: EnginePlan, name: str) -> Place:
    declared = engine.model.deploy
    if declared is not None and name in declared.flags:
        return ("models", engine.index, "deploy", "flags", name)
    return _place(engine, "flags", name)


def _version(plan: ClusterPlan) -> Version:
    """vLLM's version that is rendered, by its tag; the newest known where that says none."""
    from hanok.preflight.fit.load_flags import version, vocabulary

    found = re.search(r"\d+\.\d+(\.\d+)?", plan.lock.pin("vllm").version)
    return version(found[0]) if found else vocabulary().newest


def _wrong(name: str, runs: Version, known: Vocabulary) -> tuple[str, str] | None:
    """What is wrong with a flag, and what would do."""
    plain = name.partition(".")[0]
    plain = plain if plain in known.flags or plain in known.gone else plain.removeprefix("no-")
    said = ".".join(str(each) for each in runs)
    if plain in OURS:
        return f"`{name}` follows from the cluster", "delete it"
    if plain in known.flags:
        since = known.new.get(plain)
        late = since is not None and runs < since
        return (f"vLLM {said} does not have `{name}` yet", "delete it, or lock a newer vLLM") if late else None
    if plain in known.gone and runs >= known.gone[plain].by:
        return f"vLLM {said} has no `{name}` any more and would stop at it", known.gone[plain].instead
    near = difflib.get_close_matches(plain, sorted(known.flags), n=1, cutoff=0.75)
    return f"`{name}` is no flag of vLLM {said}", f"did you mean {near[0]!r}?" if near else "delete it"


# --- Notes ------------------------------------------------------------------------------------------------------------


def notes(plan: ClusterPlan) -> Iterator[Told]:
    """What to do before engines can start, and what to expect of them."""
    if token := plan.cluster.serving.token:  # pods wait for its Secret, also where no model asks for it
        yield plan.value(
            token, "Hugging Face's, of who may read the models; or `cluster.serving.token: null` where all are open"
        )
    for pool in () if plan.on_aws else plan.pools:
        message = f"label {pool.most_machines} or more nodes that have {pool.gpus} {pool.accelerator} each"
        yield Step(message=message, shown=f"# one of {pool.most_machines} or more with {pool.gpus} ")
    yield from map(Known, dict.fromkeys(said for engine in plan.engines for said in _of_engine(plan, engine)))
    if plan.cluster.serving.weights != "node":
        yield Known(
            f"weights are shared in a volume of the StorageClass {storage_class(plan)}: the first start fills it"
        )


def _of_engine(plan: ClusterPlan, engine: EnginePlan) -> Iterator[str]:
    name = engine.model.name
    for url in _left(engine):
        yield f"{name} gets vLLM of its own here in place of {url}: to ask that instead, leave out its `deploy`"
    if engine.most == 1:
        minutes = start_s(engine) / 60
        yield f"{name} has one replica: while it is exchanged nobody answers, about {minutes:.0f} minutes"
    if engine.machines > 1 and plan.on_aws:
        yield (
            f"{name} spans {engine.machines} machines: vLLM's own image speaks TCP between them; "
            "an image with EFA's libfabric can be locked in platform.lock (`vllm: {image: …, version: …}`)"
        )
    if engine.role:
        yield f"{name} hands over keys and values by NIXL; it has not been run on GPUs by Hanok's makers"


def _left(engine: EnginePlan) -> Iterator[str]:
    """Addresses of a cluster that the engine stands in for."""
    for each in engine.model.serve:
        if each.engine == "openai" and is_replaced(each, engine.model) and urlsplit(each.url).hostname not in HERE:
            yield each.url
