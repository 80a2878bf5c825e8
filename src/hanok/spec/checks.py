"""What refers to what: checks that no single value can answer for."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass

from hanok.spec.tree import Platform

EMBEDDERS = ("sentence-encoder",)
CHAT_ONLY = ("llamacpp", "script", "litellm")


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
                message=f"the name {quoted(model.name)} is taken by models[{first[model.name]}]",
                hint="several endpoints of one model go into its `serve` list",
            )
        first.setdefault(model.name, index)


def _unknown_fallbacks(platform: Platform) -> Iterator[Finding]:
    types = {model.name: model.type for model in reversed(platform.models)}
    for index, model in enumerate(platform.models):
        for position, fallback in enumerate(model.fallbacks):
            place = ("models", index, "fallbacks", position)
            if fallback not in types:
                near = difflib.get_close_matches(fallback, types, n=1)
                declared = ", ".join(each.name for each in platform.models)
                hint = f"did you mean {quoted(near[0])}?" if near else f"declared models: {declared}"
                yield Finding(place=place, message=f"no model is called {quoted(fallback)}", hint=hint)
            elif types[fallback] != model.type:
                kinds = f"{types[fallback]}, {quoted(model.name)} for {model.type}"
                message = f"{quoted(fallback)} is a model for {kinds}"
                yield Finding(place=place, message=message, hint=f"name a model for {model.type}, or take it out")


def _cycles(platform: Platform) -> Iterator[Finding]:
    """One finding for each fallback that closes a circle, in time linear in the number of fallbacks."""
    after = {model.name: model.fallbacks for model in reversed(platform.models)}
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
                    place=("models", index[first], "fallbacks"),
                    message=f"fallbacks go in a circle: {shown}",
                    hint="take one of these fallbacks out",
                )
            else:
                path[step] = iter(after[step])


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
