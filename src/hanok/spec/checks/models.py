"""What models say of one another, of their engines and of their endpoints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from hanok.spec.checks.findings import Finding, as_circle, circles, duplicates, quoted, unknown
from hanok.spec.tree import Fallbacks, ModelType, Platform

FALLBACK_KINDS = tuple(Fallbacks.model_fields)
ENGINE_TYPES: Mapping[str, tuple[ModelType, ...]] = {
    "llamacpp": ("chat", "embedding", "rerank"),
    "script": ("chat",),
    "echo": ("chat",),
    "sentence-encoder": ("embedding", "rerank"),
}
"""What an engine can do, where it cannot do everything."""
PAIRED = ("vllm", "openai")
WEIGHING = ("weighted", "session")


def check_models(platform: Platform) -> Iterator[Finding]:
    """Fallbacks, engines, routing and roles of every model."""
    yield from duplicates("models", platform.models, "several endpoints of one model go into its `serve` list")
    yield from _unknown_fallbacks(platform)
    for kind in FALLBACK_KINDS:
        yield from _cycles(platform, kind)
    yield from _unfit_engines(platform)
    yield from _unfit_routing(platform)
    yield from _unfit_roles(platform)


def _unknown_fallbacks(platform: Platform) -> Iterator[Finding]:
    types = {model.name: model.type for model in reversed(platform.models)}
    for index, model in enumerate(platform.models):
        for kind in FALLBACK_KINDS:
            for position, fallback in enumerate(getattr(model.fallbacks, kind)):
                place = ("models", index, "fallbacks", kind, position)
                if fallback not in types:
                    yield unknown("model", fallback, [each.name for each in platform.models], place)
                elif types[fallback] != model.type:
                    kinds = f"{types[fallback]}, {quoted(model.name)} for {model.type}"
                    message = f"{quoted(fallback)} is a model for {kinds}"
                    yield Finding(place=place, message=message, hint=f"name a model for {model.type}, or take it out")


def _cycles(platform: Platform, kind: str) -> Iterator[Finding]:
    """One finding for each fallback that closes a circle."""
    index = {model.name: position for position, model in reversed(list(enumerate(platform.models)))}
    after = {model.name: getattr(platform.models[index[model.name]].fallbacks, kind) for model in platform.models}
    for circle in circles(after):
        yield Finding(
            place=("models", index[circle[0]], "fallbacks", kind),
            message=f"fallbacks go in a circle: {as_circle(circle)}",
            hint="take one of these fallbacks out",
        )


def _unfit_engines(platform: Platform) -> Iterator[Finding]:
    for index, model in enumerate(platform.models):
        for position, endpoint in enumerate(model.serve):
            types = ENGINE_TYPES.get(endpoint.engine, (model.type,))
            if model.type not in types:
                place = ("models", index, "serve", position, "engine")
                message = f"engine {endpoint.engine!r} cannot serve a model for {model.type}, only for {_either(types)}"
                able = [f"`engine: {name}`" for name, can in ENGINE_TYPES.items() if model.type in can]
                hint = f"write `type: {types[0]}`, or use {_either([*able, '`engine: openai`'])}"
                yield Finding(place=place, message=message, hint=hint)


def _either(words: Sequence[str]) -> str:
    return " or ".join(words)


def _unfit_routing(platform: Platform) -> Iterator[Finding]:
    """Options of routing that cannot do what they are for."""
    teams = [team.name for team in platform.teams]
    for index, model in enumerate(platform.models):
        place, routing = ("models", index), model.routing
        if routing.policy == "prefix" and model.type != "chat":
            message = f"vectors have no prompt cache, so {quoted(model.name)} gains nothing from policy 'prefix'"
            yield Finding(place=(*place, "routing", "policy"), message=message, hint="use `least-busy`")
        if routing.policy == "cost" and not any(endpoint.price for endpoint in model.serve):
            message = "policy 'cost' has nothing to compare: no endpoint has a price"
            yield Finding(place=(*place, "routing", "policy"), message=message, hint="add `price` to endpoints")
        for position, rule in enumerate(routing.headers):
            if not any(set(rule.tags) <= set(endpoint.tags) for endpoint in model.serve):
                message = f"no endpoint of {quoted(model.name)} has the tags {', '.join(rule.tags)}"
                yield Finding(place=(*place, "routing", "headers", position, "tags"), message=message)
        if all(endpoint.weight == 0 for endpoint in model.serve):
            message = f"every endpoint of {quoted(model.name)} has weight 0, so that nobody answers its calls"
            yield Finding(place=(*place, "serve", 0, "weight"), message=message, hint="give one of them a weight")
        for position, endpoint in enumerate(model.serve):
            for each, team in enumerate(endpoint.teams):
                if team not in teams:
                    yield unknown("team", team, teams, (*place, "serve", position, "teams", each))
            if endpoint.weight not in (0, 1) and routing.policy not in WEIGHING:
                message = f"policy {routing.policy!r} does not look at weights"
                hint = "use `routing: weighted`, or take the weight out (0 takes an endpoint out of any policy)"
                yield Finding(place=(*place, "serve", position, "weight"), message=message, hint=hint)


def _unfit_roles(platform: Platform) -> Iterator[Finding]:
    """Prefill without decode, decode without prefill, and engines that can do neither for another."""
    for index, model in enumerate(platform.models):
        roles = [endpoint.role for endpoint in model.serve]
        for position, endpoint in enumerate(model.serve):
            place = ("models", index, "serve", position, "role")
            if endpoint.role and (endpoint.engine not in PAIRED or model.type != "chat"):
                message = f"engine {endpoint.engine!r} cannot hand prompts on to another endpoint"
                yield Finding(place=place, message=message, hint=f"roles are for {' and '.join(PAIRED)} and for text")
        lone = "prefill" if set(roles) == {"prefill"} else "decode" if set(roles) == {"decode"} else None
        if lone:
            message = f"every endpoint of {quoted(model.name)} has the role {lone!r}"
            hint = "give another endpoint the other role, or take the roles out"
            yield Finding(place=("models", index, "serve", 0, "role"), message=message, hint=hint)
