"""What refers to what: checks that no single value can answer for."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from hanok.spec.tree import Auto, Fallbacks, ModelType, Platform

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
_REDIS = ("redis://", "rediss://", "unix://")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something wrong at a place of the tree; `at_key` when the key itself is at fault, not its value.

    `instead` is the key that an unknown key was meant to be: that it is `missing` then is no second mistake.
    """

    place: tuple[str | int, ...]
    message: str
    hint: str | None = None
    at_key: bool = False
    instead: str | None = None
    missing: bool = False


def quoted(text: str) -> str:
    """What stands in the file, as a message shows it: in quotes, and not at any length."""
    return repr(text if len(text) <= 60 else f"{text[:59]}…")


def check_references(platform: Platform) -> list[Finding]:
    """Duplicate names, references to nothing, cycles of fallbacks, engines that cannot do a model's type."""
    return [
        *_duplicates("models", platform.models, "several endpoints of one model go into its `serve` list"),
        *_duplicates("teams", platform.teams, "put what both say into one team"),
        *_duplicates("users", platform.users, "put what both say into one user"),
        *_unknown_fallbacks(platform),
        *(finding for kind in FALLBACK_KINDS for finding in _cycles(platform, kind)),
        *_unfit_engines(platform),
        *_unfit_routing(platform),
        *_unfit_roles(platform),
        *_unfit_tiers(platform),
        *_unknown_in_scopes(platform),
        *_unfit_budgets(platform),
        *_repeated_budgets(platform),
        *_unfit_limits(platform),
        *_unfit_books(platform),
        *_unfit_exports(platform),
        *_unfit_caches(platform),
        *_unfit_deploys(platform),
    ]


def _duplicates(block: str, named: Sequence[Any], hint: str) -> Iterator[Finding]:
    first: dict[str, int] = {}
    for index, each in enumerate(named):
        if each.name in first:
            message = f"the name {quoted(each.name)} is taken by {block}[{first[each.name]}]"
            yield Finding(place=(block, index, "name"), message=message, hint=hint)
        first.setdefault(each.name, index)


def _unknown_fallbacks(platform: Platform) -> Iterator[Finding]:
    types = {model.name: model.type for model in reversed(platform.models)}
    for index, model in enumerate(platform.models):
        for kind in FALLBACK_KINDS:
            for position, fallback in enumerate(getattr(model.fallbacks, kind)):
                place = ("models", index, "fallbacks", kind, position)
                if fallback not in types:
                    yield _unknown("model", fallback, [each.name for each in platform.models], place)
                elif types[fallback] != model.type:
                    kinds = f"{types[fallback]}, {quoted(model.name)} for {model.type}"
                    message = f"{quoted(fallback)} is a model for {kinds}"
                    yield Finding(place=place, message=message, hint=f"name a model for {model.type}, or take it out")


def _unknown(what: str, name: str, declared: Sequence[str], place: tuple[str | int, ...]) -> Finding:
    near = difflib.get_close_matches(name, declared, n=1)
    known = ", ".join(declared) or "none"
    hint = f"did you mean {quoted(near[0])}?" if near else f"declared {what}s: {known}"
    return Finding(place=place, message=f"no {what} is called {quoted(name)}", hint=hint)


def _cycles(platform: Platform, kind: str) -> Iterator[Finding]:
    """One finding for each fallback that closes a circle, in time linear in the number of fallbacks."""
    after: dict[str, list[str]] = {model.name: getattr(model.fallbacks, kind) for model in reversed(platform.models)}
    index = {model.name: position for position, model in reversed(list(enumerate(platform.models)))}
    done: set[str] = set()
    for start in (model.name for model in platform.models):
        path = {start: iter(after[start])} if start not in done else {}
        while path:
            name = next(reversed(path))
            step = next((each for each in path[name] if each in after and each not in done), None)
            if step is None:
                done.add(name)
                del path[name]
            elif step in path:
                circle = list(path)[list(path).index(step) :]
                first = min(circle, key=index.__getitem__)
                circle = circle[circle.index(first) :] + circle[: circle.index(first)]
                shown = " → ".join([*circle[:8], *(["…"] if len(circle) > 8 else []), circle[0]])
                yield Finding(
                    place=("models", index[first], "fallbacks", kind),
                    message=f"fallbacks go in a circle: {shown}",
                    hint="take one of these fallbacks out",
                )
            else:
                path[step] = iter(after[step])


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
                    yield _unknown("team", team, teams, (*place, "serve", position, "teams", each))
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


def _unfit_tiers(platform: Platform) -> Iterator[Finding]:
    taken = {model.name: f"models[{index}]" for index, model in enumerate(platform.models)}
    for index, auto in enumerate(platform.tiers):
        place = ("tiers", index)
        if auto.name in taken:
            message = f"the name {quoted(auto.name)} is taken by {taken[auto.name]}"
            yield Finding(place=(*place, "name"), message=message, hint="give it another name, such as `auto`")
        taken.setdefault(auto.name, f"tiers[{index}]")
        for key in ("simple", "moderate", "complex", "compared_to"):
            if (name := getattr(auto, key)) is not None:
                yield from _unfit_model(platform, name, "chat", (*place, key))
        yield from _unfit_classifier(platform, auto, place)


def _unfit_model(platform: Platform, name: str, kind: str, place: tuple[str | int, ...]) -> Iterator[Finding]:
    model = platform.model(name)
    if model is not None and model.type != kind:
        message = f"{quoted(name)} is a model for {model.type}"
        yield Finding(place=place, message=message, hint=f"name a model for {kind}")
    elif model is None and any(name == auto.name for auto in platform.tiers):
        message = f"{quoted(name)} is itself a name whose model is picked"
        yield Finding(place=place, message=message, hint="name a model here")
    elif model is None:
        yield _unknown("model", name, [each.name for each in platform.models if each.type == kind], place)


def _unfit_classifier(platform: Platform, auto: Auto, place: tuple[str | int, ...]) -> Iterator[Finding]:
    rules = auto.rules
    if rules.complex_from < rules.moderate_from:
        message = f"must be at least `moderate_from`, which is {rules.moderate_from}"
        yield Finding(place=(*place, "rules", "complex_from"), message=message)
    for position, cue in enumerate(rules.cues):
        if not cue.words and cue.pattern is None:
            yield Finding(place=(*place, "rules", "cues", position), message="says no `words` and no `pattern`")
    kind = {"examples": "embedding", "model": "chat"}.get(auto.classifier)
    if kind is None:
        return
    if auto.classifier_model is None:
        message = f"the classifier `{auto.classifier}` needs a model for {kind}"
        yield Finding(place=(*place, "classifier"), message=message, hint="name it as `classifier_model`")
    else:
        yield from _unfit_model(platform, auto.classifier_model, kind, (*place, "classifier_model"))


def _unknown_in_scopes(platform: Platform) -> Iterator[Finding]:
    models = platform.names()
    teams = [team.name for team in platform.teams]
    for block, named in (("teams", platform.teams), ("users", platform.users)):
        for index, each in enumerate(named):
            for position, pattern in enumerate(each.models):
                if not any(fnmatchcase(model, pattern) for model in models):
                    yield _unknown("model", pattern, models, (block, index, "models", position))
    for index, user in enumerate(platform.users):
        if user.team is not None and user.team not in teams:
            yield _unknown("team", user.team, teams, ("users", index, "team"))


def _unfit_budgets(platform: Platform) -> Iterator[Finding]:
    models = [model.name for model in platform.models]
    for index, budget in enumerate(platform.budgets):
        place = ("budgets", index)
        if budget.usd is None and budget.tokens is None:
            yield Finding(place=place, message="limits nothing", hint="add `usd`, or `tokens`, or both")
        if budget.name is not None and budget.of in ("session", "run"):
            message = f"a {budget.of} is not known by name before it begins"
            yield Finding(place=(*place, "name"), message=message, hint="take `name` out: it holds for each one")
        elif budget.name is not None:
            yield from _unknown_subject(platform, budget.of, budget.name, (*place, "name"))
        if budget.downgrade_to is not None and budget.downgrade_to not in models:
            yield _unknown("model", budget.downgrade_to, models, (*place, "downgrade_to"))


def _repeated_budgets(platform: Platform) -> Iterator[Finding]:
    """Two amounts for the same thing: one would be lost, or both be counted."""
    first: dict[tuple[str, str | None, str, str], int] = {}
    for index, budget in enumerate(platform.budgets):
        for unit in ("usd", "tokens"):
            if getattr(budget, unit) is None:
                continue
            before = first.setdefault((budget.of, budget.name, budget.per, unit), index)
            if before != index:
                message = f"budgets[{before}] says the same thing already, per {budget.per} in {unit}"
                yield Finding(place=("budgets", index, unit), message=message, hint="keep one of them")


def _unfit_limits(platform: Platform) -> Iterator[Finding]:
    for index, limit in enumerate(platform.limits):
        if limit.requests_per_minute is None and limit.tokens_per_minute is None and limit.concurrent is None:
            hint = "add `requests_per_minute`, `tokens_per_minute` or `concurrent`"
            yield Finding(place=("limits", index), message="limits nothing", hint=hint)
        if limit.name is not None:
            yield from _unknown_subject(platform, limit.of, limit.name, ("limits", index, "name"))


def _unknown_subject(platform: Platform, of: str, name: str, place: tuple[str | int, ...]) -> Iterator[Finding]:
    """Teams and models are declared here; keys are in the ledger, and users may be named by callers."""
    declared = {"team": [team.name for team in platform.teams], "model": [model.name for model in platform.models]}
    if of in declared and name not in declared[of]:
        yield _unknown(of, name, declared[of], place)


def _unfit_books(platform: Platform) -> Iterator[Finding]:
    books = platform.ledger
    for name, secret, schemes in (
        ("database", books.database, ("postgresql://", "postgres://")),
        ("redis", books.redis, _REDIS),
    ):
        if secret is not None and not secret.get_secret_value().startswith(schemes):
            yield Finding(place=("ledger", name), message=f"must begin with {' or '.join(schemes)}")
    if platform.gateway.workers > 1 and books.redis is None and (platform.budgets or platform.limits):
        yield Finding(
            place=("gateway", "workers"),
            message="several workers cannot agree on budgets and limits by themselves",
            hint="name a Redis or Valkey server as `ledger: {redis: redis://…}`, or use one worker",
        )


def _unfit_exports(platform: Platform) -> Iterator[Finding]:
    needs: dict[str, Callable[[Any], bool]] = {
        "langfuse": lambda export: export.public_key is None or export.secret_key is None,
        "langsmith": lambda export: export.secret_key is None,
    }
    for index, export in enumerate(platform.telemetry.export):
        if export.to in needs and needs[export.to](export):
            keys = "`public_key` and `secret_key`" if export.to == "langfuse" else "`secret_key`"
            yield Finding(place=("telemetry", "export", index), message=f"{export.to} needs {keys}")


def _unfit_caches(platform: Platform) -> Iterator[Finding]:
    cache = platform.cache
    if cache.store == "redis" and cache.redis is None and platform.ledger.redis is None:
        hint = "name the server as `redis: redis://…` here or in `ledger`, or use `store: memory`"
        yield Finding(place=("cache", "store"), message="no Redis or Valkey server is named", hint=hint)
    if cache.redis is not None and not cache.redis.get_secret_value().startswith(_REDIS):
        yield Finding(place=("cache", "redis"), message=f"must begin with {' or '.join(_REDIS)}")
    types = {model.name: model.type for model in reversed(platform.models)}
    for index, model in enumerate(platform.models):
        if model.cache is None or model.cache.semantic is None:
            continue
        place = ("models", index, "cache", "semantic")
        embedder = model.cache.semantic.embedder
        if model.type != "chat":
            message = f"{quoted(model.name)} is for {model.type}: only questions in text are compared"
            yield Finding(place=place, message=message, hint="take `semantic` out")
        if embedder not in types:
            embedders = [name for name, kind in types.items() if kind == "embedding"]
            yield _unknown("model", embedder, embedders, (*place, "embedder"))
        elif types[embedder] != "embedding":
            message = f"{quoted(embedder)} is a model for {types[embedder]}, not for embedding"
            hint = "name a model with `type: embedding`"
            yield Finding(place=(*place, "embedder"), message=message, hint=hint)


def _unfit_deploys(platform: Platform) -> Iterator[Finding]:
    """Plans for models that no GPU of yours serves, or for calls that are longer than the context."""
    for index, model in enumerate(platform.models):
        deploy, place = model.deploy, ("models", index, "deploy")
        if deploy is None:
            continue
        if deploy.weights is None and not any(endpoint.engine == "vllm" for endpoint in model.serve):
            message = f"nothing says which weights {quoted(model.name)} has"
            hint = "name them, as `weights: Qwen/Qwen3-32B`, or serve it with `engine: vllm`"
            yield Finding(place=place, message=message, hint=hint)
        tokens = deploy.load.prompt_tokens + deploy.load.output_tokens
        if deploy.load.model_fields_set & {"prompt_tokens", "output_tokens"} and tokens > deploy.context_tokens:
            message = f"a usual call has {tokens} tokens, more than `context_tokens`, {deploy.context_tokens}"
            yield Finding(place=(*place, "load"), message=message, hint="raise `context_tokens`, or shorten the calls")
