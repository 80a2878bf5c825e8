"""What refers to what: checks that no single value can answer for."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass

from hanok.spec.tree import Model, Platform

EMBEDDERS = ("sentence-encoder",)
CHAT_ONLY = ("llamacpp", "script", "litellm")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something wrong at a place of the tree; `at_key` when the key itself is at fault, not its value."""

    place: tuple[str | int, ...]
    message: str
    hint: str | None = None
    at_key: bool = False


def check_references(platform: Platform) -> list[Finding]:
    """Duplicate names, references to nothing, cycles of fallbacks, engines that cannot do a model's type."""
    return [
        *_duplicates(platform),
        *_unknown_fallbacks(platform),
        *_cycles(platform),
        *_unfit_engines(platform),
    ]


def _duplicates(platform: Platform) -> Iterator[Finding]:
    first: dict[str, int] = {}
    for index, model in enumerate(platform.models):
        if model.name in first:
            yield Finding(
                place=("models", index, "name"),
                message=f"the name {model.name!r} is taken by models[{first[model.name]}]",
                hint="several endpoints of one model go into its `serve` list",
            )
        first.setdefault(model.name, index)


def _unknown_fallbacks(platform: Platform) -> Iterator[Finding]:
    names = [model.name for model in platform.models]
    for index, model in enumerate(platform.models):
        for position, fallback in enumerate(model.fallbacks):
            target = platform.model(fallback)
            place = ("models", index, "fallbacks", position)
            if target is None:
                near = difflib.get_close_matches(fallback, names, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"declared models: {', '.join(names)}"
                yield Finding(place=place, message=f"no model is called {fallback!r}", hint=hint)
            elif target.type != model.type:
                message = f"{fallback!r} is a model for {target.type}, {model.name!r} for {model.type}"
                yield Finding(place=place, message=message)


def _cycles(platform: Platform) -> Iterator[Finding]:
    reported: set[frozenset[str]] = set()
    for index, model in enumerate(platform.models):
        cycle = _cycle_from(platform, model)
        if cycle and frozenset(cycle) not in reported:
            reported.add(frozenset(cycle))
            path = " → ".join([*cycle, cycle[0]])
            yield Finding(
                place=("models", index, "fallbacks"),
                message=f"fallbacks go in a circle: {path}",
                hint="take one of these fallbacks out",
            )


def _cycle_from(platform: Platform, start: Model) -> list[str] | None:
    def search(model: Model, path: list[str]) -> list[str] | None:
        for name in model.fallbacks:
            if name == start.name:
                return path
            target = platform.model(name)
            if target and name not in path and (found := search(target, [*path, name])):
                return found
        return None

    return search(start, [start.name])


def _unfit_engines(platform: Platform) -> Iterator[Finding]:
    for index, model in enumerate(platform.models):
        for position, endpoint in enumerate(model.serve):
            place = ("models", index, "serve", position, "engine")
            if endpoint.engine in EMBEDDERS and model.type == "chat":
                hint = "add `type: embedding` to the model"
                yield Finding(place=place, message=f"engine {endpoint.engine!r} makes vectors, not text", hint=hint)
            if endpoint.engine in CHAT_ONLY and model.type == "embedding":
                hint = f"use `engine: {EMBEDDERS[0]}` or `engine: openai`"
                yield Finding(place=place, message=f"engine {endpoint.engine!r} makes text, not vectors", hint=hint)
