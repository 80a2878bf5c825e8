"""What of a platform Hanok's own pods cannot be given, by its line; and what a person must do for the rest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from hanok.errors import Problem
from hanok.kubernetes.components.own.config import LIMIT_BYTES
from hanok.kubernetes.components.own.pods import NAME
from hanok.kubernetes.components.own.size import led, size_of
from hanok.kubernetes.engines import HERE, is_replaced
from hanok.kubernetes.notes import AddOn, After, Grant, Known, Role, Step, Told
from hanok.kubernetes.places import HANOK
from hanok.kubernetes.plan import ClusterPlan
from hanok.kubernetes.rewriting import is_in_image, rewrite
from hanok.kubernetes.roles import asked, bucket_grants
from hanok.kubernetes.servers import OF_SERVERS, SERVERS, filled, is_asked, is_here
from hanok.kubernetes.texts import all_tools, named_texts
from hanok.spec.nodes import Place
from hanok.spec.tree import McpTool, Source


def refuse(plan: ClusterPlan) -> Iterator[Problem]:
    """Addresses of one machine, folders outside of the image, texts that no ConfigMap can hold."""
    yield from _local_addresses(plan)
    yield from _local_folders(plan)
    yield from _large_texts(plan)


def _local_addresses(plan: ClusterPlan) -> Iterator[Problem]:
    for place, value in _texts(plan.written.values, ()):
        if place[:1] == ("cluster",) or _gives_way(plan, place) or not _is_here(filled(value, plan.cluster)):
            continue
        hint = "write `${env:NAME:-" + value + "}`, and the cluster's address in `cluster.hanok.variables`"
        yield plan.written.problem(place, f"{value} is an address of one machine", hint)


def _gives_way(plan: ClusterPlan, place: Place) -> bool:
    """Whether something of the cluster stands there instead."""
    if place in OF_SERVERS:
        return True
    if place[:1] == ("telemetry",):
        return plan.cluster.observe.collector
    if place[:2] == ("gateway", "host"):
        return True
    match place:
        case ("models", int(index), "serve", *rest):
            model = plan.platform.models[index]
            position = rest[0] if rest and isinstance(rest[0], int) else 0
            return any(plan.of_model(index)) and is_replaced(model.serve[position], model)
        case _:
            return False


def _is_here(value: str) -> bool:
    try:
        return "://" in value and urlsplit(value).hostname in HERE
    except ValueError:
        return False


def _local_folders(plan: ClusterPlan) -> Iterator[Problem]:
    for index, base in enumerate(plan.platform.knowledge):
        for position, source in enumerate(base.sources):
            if not _can_come(source):
                place = ("knowledge", index, "sources", position, source.kind)
                message = f"{source.place} is a folder of one machine"
                hint = (
                    "name a bucket (`uri: s3://…`) or a repository (`git: https://…`), or a folder beside platform.yaml"
                )
                yield plan.written.problem(place, message, hint)
    for index, model in enumerate(plan.platform.models):
        for position, endpoint in enumerate(model.serve):
            if endpoint.engine == "llamacpp" and endpoint.model.endswith(".gguf") and not is_in_image(endpoint.model):
                if any(plan.of_model(index)) and is_replaced(endpoint, model):
                    continue
                place = ("models", index, "serve", position, "model")
                hint = "put it beside platform.yaml, whence it goes into the image, or name `hf:OWNER/REPO`"
                yield plan.written.problem(place, f"{endpoint.model} is a file of one machine", hint)


def _can_come(source: Source) -> bool:
    """Folders come with the image; a folder's repository does not, and `git@host:path` is no folder."""
    if "://" in source.place or source.kind not in ("path", "git"):
        return True
    return is_in_image(source.place) if source.kind == "path" else "@" in source.place and ":" in source.place


def _large_texts(plan: ClusterPlan) -> Iterator[Problem]:
    if len(rewrite(plan).encode()) > LIMIT_BYTES:
        message = "platform.yaml is larger than 1 MiB: no ConfigMap can hold it"
        yield plan.written.problem((), message, "put long prompts into files (`prompts: [{file: …}]`)")
    size = 0
    for place, path in named_texts(plan.platform):
        size += len(plan.texts.get(path.removeprefix("./"), "").encode())
        if size > LIMIT_BYTES:
            message = "with this one the texts that the file names are larger than 1 MiB: no ConfigMap can hold them"
            yield plan.written.problem(place, message, "name it by URL where that is possible, or shorten it")
            return


def _texts(value: Any, place: Place) -> Iterator[tuple[Place, str]]:
    if isinstance(value, dict):
        for key, each in value.items():  # pyright: ignore[reportUnknownVariableType]
            yield from _texts(each, (*place, str(key)))  # pyright: ignore[reportUnknownArgumentType]
    elif isinstance(value, list):
        for index, each in enumerate(value):  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
            yield from _texts(each, (*place, index))
    elif isinstance(value, str):
        yield place, value


# --- Notes ------------------------------------------------------------------------------------------------------------


def notes(plan: ClusterPlan) -> Iterator[Told]:
    """What must be made, and what is otherwise than on one machine."""
    yield Step(message=f"build the image {plan.image.partition('@')[0]}, and push it", shown="podman build")
    size, scaled = size_of(plan), sorted(each.name for each in led(plan))
    if size.follows:
        yield AddOn(name="metrics-server")  # it tells how busy gateways are, by which their number follows
    yield from _kept_by_one(plan)
    yield from _roles(plan)
    if scaled:
        yield Known(
            f"gateways lead the runs of {', '.join(scaled)}: by `cluster.hanok` and the agents' `scale` there are "
            f"{size.fewest} to {size.most}, each busy to {size.percent} % of its processors"
        )
    yield from _not_asked(plan)
    if not plan.platform.gateway.reload:
        yield Known("`gateway.reload` is false: pods take up a changed platform.yaml when they are started anew")


def _not_asked(plan: ClusterPlan) -> Iterator[Known]:
    """Servers that the file names and the cluster has one of its own for, because its block says so."""
    for place, block in SERVERS.items():
        other = plan.written.at(place) is not None and not is_here(plan.written, plan.cluster, place)
        if other and is_asked(plan.cluster, place):
            yield Known(
                f"the cluster has a server of its own, as `cluster.{block}` asks: what `{'.'.join(place)}` names is "
                f"not asked there. To ask it, take `cluster.{block}` out"
            )


def _kept_by_one(plan: ClusterPlan) -> Iterator[Told]:
    """Labels of prompts, and programs of MCP servers."""
    labelled = sorted({agent.prompt for agent in plan.platform.agents if agent.prompt and "@" in agent.prompt})
    if labelled:
        yield After(
            f"labels of prompts ({', '.join(labelled)}) are kept on each gateway's own disk: set them in every pod, "
            "new ones too: `kubectl exec -n hanok hanok-0 -- hanok prompts label …`"
        )
    tools = [tool for _, tool in all_tools(plan.platform) if isinstance(tool, McpTool)]
    if programs := sorted({tool.command[0] for tool in tools if tool.command}):
        yield f"MCP servers that are started ({', '.join(programs)}) are programs of the image: add them to it"


def _roles(plan: ClusterPlan) -> Iterator[Role]:
    """The role of Hanok's pods, where they ask the cloud."""
    if not plan.on_aws:
        return
    account = f"{HANOK}/{NAME}"
    for each in _buckets(plan):
        bucket, _, prefix = each.removeprefix("s3://").partition("/")
        yield asked(plan, NAME, account, f"read {each}", bucket_grants(bucket, prefix, writes=False))
    for name, model in _called(plan):
        yield asked(plan, NAME, account, f"call the model of {name}", [_grant(plan, model.partition("/")[0])])


def _buckets(plan: ClusterPlan) -> list[str]:
    sources = [source.place for base in plan.platform.knowledge for source in base.sources]
    return sorted({each for each in sources if each.startswith("s3://")})


def _called(plan: ClusterPlan) -> list[tuple[str, str]]:
    """Models of Amazon's services, each with its name there."""
    found = [(model.name, each) for model in plan.platform.models for each in model.serve]
    return sorted({(name, each.model) for name, each in found if each.engine == "litellm" and _is_amazons(each.model)})


def _is_amazons(model: str) -> bool:
    return model.startswith(("bedrock/", "sagemaker/"))


def _grant(plan: ClusterPlan, service: str) -> Grant:
    """To call models, those of other regions, too: profiles of Bedrock spread calls over several."""
    account = plan.cluster.account or "*"
    if service == "sagemaker":
        actions = ("sagemaker:InvokeEndpoint", "sagemaker:InvokeEndpointWithResponseStream")
        return Grant(actions=actions, resources=(f"arn:aws:sagemaker:*:{account}:endpoint/*",))
    actions = ("bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream")
    return Grant(
        actions=actions,
        resources=("arn:aws:bedrock:*::foundation-model/*", f"arn:aws:bedrock:*:{account}:inference-profile/*"),
    )
