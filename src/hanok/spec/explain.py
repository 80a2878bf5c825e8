"""Pydantic's findings in plain words, with the nearest key that exists."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, cast

from pydantic import BaseModel

from hanok.spec.checks import Finding

_WORDS = {"str": "text", "int": "a whole number", "float": "a number", "bool": "true or false", "list": "a list"}


def explain(tree: type[BaseModel], detail: Mapping[str, Any]) -> Finding:
    """Turn one entry of `ValidationError.errors()` about `tree` into a finding at its place in the file."""
    location: tuple[str | int, ...] = tuple(detail["loc"])
    kind = str(detail["type"])
    context: Mapping[str, Any] = detail.get("ctx", {})
    block, place = _descend(tree, location)
    if kind == "extra_forbidden":
        known = list(block.model_fields) if block else []
        name = str(location[-1])
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known keys here: {', '.join(known)}"
        return Finding(place=(*place, name), message=f"unknown key {name!r}", hint=hint, at_key=True)
    if kind == "missing":
        name = str(location[-1])
        return Finding(place=place, message=f"{name!r} is missing here", hint=_describe(block, name))
    if kind == "union_tag_invalid":
        tags = [tag.strip(" '") for tag in str(context.get("expected_tags", "")).split(",")]
        tag = str(context.get("tag", ""))
        near = difflib.get_close_matches(tag, tags, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}? " if near else ""
        hint += f"engines: {', '.join(tags)}"
        return Finding(place=(*place, "engine"), message=f"no engine is called {tag!r}", hint=hint)
    if kind == "union_tag_not_found":
        return Finding(place=place, message="'engine' is missing here", hint="for example `engine: openai`")
    return Finding(place=place, message=_plain(kind, str(detail["msg"]), context), hint=None)


def _plain(kind: str, message: str, context: Mapping[str, Any]) -> str:
    if kind == "string_pattern_mismatch":
        if "https?" in str(context.get("pattern")):
            return "must be a URL that begins with http:// or https://, with a host and a path and nothing else"
        return "must be a name of letters, digits and . _ : / - (at most 128), beginning with a letter or digit"
    if kind == "too_short":
        return "must not be empty"
    if kind.endswith("_type"):
        wanted = kind.removesuffix("_type").replace("string", "str").replace("model", "mapping")
        return f"must be {_WORDS.get(wanted, 'a mapping of keys' if wanted in ('dict', 'mapping') else wanted)}"
    return message[0].lower() + message[1:]


def _describe(block: type[BaseModel] | None, name: str) -> str | None:
    field = block.model_fields.get(name) if block else None
    return field.description if field else None


def _descend(
    tree: type[BaseModel], location: tuple[str | int, ...]
) -> tuple[type[BaseModel] | None, tuple[str | int, ...]]:
    """The block that holds the last step, and the place without union tags (and, for keys, without the key)."""
    block: Any = tree
    place: tuple[str | int, ...] = ()
    owner: type[BaseModel] | None = tree
    for index, step in enumerate(location):
        models = list(_models(block))
        tagged = next((model for model in models if _tag(model) == step), None)
        if len(models) > 1 and tagged:
            block = owner = tagged
            continue
        if isinstance(block, type) and issubclass(block, BaseModel):
            owner = block
            field = block.model_fields.get(str(step))
            if field is None:
                return owner, place if index == len(location) - 1 else (*place, *location[index:])
            block = field.annotation
            if index == len(location) - 1 and field.is_required() is False:
                return owner, (*place, step)
        elif isinstance(step, int):
            arguments = typing.get_args(block)
            block = arguments[0] if arguments else None
        place = (*place, step)
    return owner, place


def _models(annotation: Any) -> Iterable[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        return
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        yield from _models(typing.get_args(annotation)[0])
    elif origin in (typing.Union, types.UnionType):
        for argument in typing.get_args(annotation):
            yield from _models(argument)


def _tag(model: type[BaseModel]) -> str | None:
    field = model.model_fields.get("engine")
    arguments = cast("tuple[str, ...]", typing.get_args(field.annotation)) if field else ()
    return arguments[0] if arguments else None
