"""Pydantic's findings in plain words, with the nearest key that exists."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, cast

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from hanok.spec.checks import Finding, quoted
from hanok.spec.tree.agents import AGENT_NAME, FUNCTION, PROMPT_NAME, PROMPT_REF
from hanok.spec.tree.tools import HOST, POINTER, TEMPLATE_URL, TOOL_NAME

_HINTS = {"engine": "for example `engine: openai`", "type": "for example `type: http`"}
_SHORT_NAME = "letters, digits, _ and - (at most 64), beginning with a letter or"
_SHAPES = {
    AGENT_NAME: f"must be a name of {_SHORT_NAME} digit",
    TOOL_NAME: f"must be a name of {_SHORT_NAME} _",
    PROMPT_NAME: "must be a name of letters, digits and . _ - (at most 64), beginning with a letter or digit",
    PROMPT_REF: "must be a prompt's name, and perhaps which of its versions, as `research@production`",
    FUNCTION: "must be a module and a function in it, as `my_agents:build`",
    HOST: "must be a host without scheme and path, as `api.example.com` or `*.example.com`",
    POINTER: "must be a JSON pointer, as `/results`",
    TEMPLATE_URL: "must be a URL that begins with http:// or https://, with a host that has no {} in it",
}
"""What fits a pattern, in words."""


def explain(tree: type[BaseModel], detail: Mapping[str, Any]) -> Finding:
    """Turn one entry of `ValidationError.errors()` about `tree` into a finding at its place in the file."""
    location: tuple[str | int, ...] = tuple(detail["loc"])
    kind = str(detail["type"])
    context: Mapping[str, Any] = detail.get("ctx", {})
    given: Any = detail.get("input")
    block, field, place, wanted = _descend(tree, location)
    about = field.description if field else None
    if kind == "extra_forbidden":
        return _unknown_key(block, (*place, str(location[-1])))
    if kind == "missing":
        return Finding(place=place, message=f"{location[-1]!r} is missing here", hint=about, missing=True)
    if kind in ("union_tag_not_found", "union_tag_invalid"):
        return _which(list(_models(wanted)), cast("dict[str, Any]", given) if isinstance(given, dict) else {}, place)
    if kind == "literal_error" and isinstance(given, str):
        near = difflib.get_close_matches(given, [str(each) for each in typing.get_args(wanted)], n=1)
        about = f"did you mean {near[0]!r}?" if near else about
    message = _plain(kind, str(detail["msg"]), context, wanted, place)
    return Finding(place=place, message=message, hint=_advice(message, given, about))


def _which(blocks: list[type[BaseModel]], given: Mapping[str, Any], place: tuple[str | int, ...]) -> Finding:
    """Of several blocks it is not said which is meant, or none of that name is there."""
    key = _tag_key(blocks[0])
    if given.get(key) is None:
        near = difflib.get_close_matches(key, given, n=1) if key not in given else []
        if near:
            message, hint = f"unknown key {quoted(near[0])}", f"did you mean {key!r}?"
            return Finding(place=(*place, near[0]), message=message, hint=hint, at_key=True)
        return Finding(place=(*place, key), message=f"{key!r} is missing here", hint=_HINTS[key])
    tag, tags = str(given[key]), [str(_tag(block)) for block in blocks]
    near = difflib.get_close_matches(tag, tags, n=1, cutoff=0.5)
    hint = (f"did you mean {near[0]!r}? " if near else "") + f"{key}s: {', '.join(tags)}"
    return Finding(place=(*place, key), message=f"no {key} is called {quoted(tag)}", hint=hint)


def _unknown_key(block: type[BaseModel] | None, place: tuple[str | int, ...]) -> Finding:
    name = str(place[-1])
    known = [field.alias or name for name, field in block.model_fields.items()] if block else []
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known keys here: {', '.join(known)}"
    message, instead = f"unknown key {quoted(name)}", near[0] if near else None
    return Finding(place=place, message=message, hint=hint, at_key=True, instead=instead)


def _advice(message: str, given: object, about: str | None) -> str | None:
    if given is None:
        return "write a value here, or take it out"
    if message == "must be text" and not isinstance(given, dict | list):
        return "put it in quotes, so that it is read as text"
    return about


def _plain(kind: str, message: str, context: Mapping[str, Any], wanted: Any, place: tuple[str | int, ...]) -> str:
    words = {
        "too_short": _too_short(context) if context.get("field_type") == "Value" else "must not be empty",  # a secret
        "string_too_short": _too_short(context),
        "finite_number": "must be a finite number",
        "greater_than": f"must be more than {_number(context.get('gt'))}",
        "greater_than_equal": f"must be at least {_number(context.get('ge'))}",
        "less_than": f"must be less than {_number(context.get('lt'))}",
        "less_than_equal": f"must be at most {_number(context.get('le'))}",
        "literal_error": "must be " + " or ".join(repr(each) for each in typing.get_args(wanted)),
    }
    if kind in words:
        return words[kind]
    if kind == "string_pattern_mismatch":
        if shape := _SHAPES.get(str(context.get("pattern"))):
            return shape
        if "https?" in str(context.get("pattern")):
            return "must be a URL that begins with http:// or https://, with a host and a path and nothing else"
        return "must be a name of letters, digits and . _ : / - (at most 128), beginning with a letter or digit"
    if _is_union(wanted) and not any(_models(wanted)):
        return "must be text, a number, or true or false"
    for beginning, text in (
        ("string_", "must be text"),
        ("int_", "must be a whole number"),
        ("float_", "must be a number"),
        ("bool_", "must be true or false"),
        ("dict_", "must be a mapping of keys"),
        ("model_", "must be a mapping of keys"),
    ):
        if kind.startswith(beginning):
            return text
    if kind == "list_type":
        blocks = place[-1:] == ("serve",)
        return "must be a mapping of keys, or a list of them" if blocks else "must be a list"
    return "must be a whole number" if kind == "number_type" and wanted is int else message[0].lower() + message[1:]


def _too_short(context: Mapping[str, Any]) -> str:
    least = context.get("min_length")
    return f"must have at least {least} characters" if isinstance(least, int) and least > 1 else "must not be empty"


def _number(value: object) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def _descend(
    tree: type[BaseModel], location: tuple[str | int, ...]
) -> tuple[type[BaseModel] | None, FieldInfo | None, tuple[str | int, ...], Any]:
    """The block of the last step, the last field on the way, the place without tags of unions, and the type there.

    For a key that is unknown the place is that of the block.
    """
    here: Any = tree
    owner: type[BaseModel] | None = tree
    field: FieldInfo | None = None
    place: tuple[str | int, ...] = ()
    for step in location:
        models = list(_models(here))
        tagged = next((model for model in models if _tag(model) == step), None)
        if len(models) > 1:
            if tagged is None:
                break
            here = owner = tagged
            continue
        if models:
            here = owner = models[0]
            field = _field(owner, str(step))
            if field is None:
                break
            here = _bare(field.annotation)
        elif _is_union(here):  # of plain types: the step names one of them
            break
        else:
            here = _value(here)
        place = (*place, step)
    return owner, field, place, _bare(here)


def _field(block: type[BaseModel], key: str) -> FieldInfo | None:
    return next((field for name, field in block.model_fields.items() if (field.alias or name) == key), None)


def _value(annotation: Any) -> Any:
    arguments = typing.get_args(annotation)
    return arguments[-1] if arguments else None


def _bare(annotation: Any) -> Any:
    """A type without `| None` and what annotates it."""
    if typing.get_origin(annotation) is typing.Annotated:
        return _bare(typing.get_args(annotation)[0])
    choices = [each for each in typing.get_args(annotation) if each is not type(None)]
    return _bare(choices[0]) if _is_union(annotation) and len(choices) == 1 else annotation


def _is_union(annotation: Any) -> bool:
    return typing.get_origin(annotation) in (typing.Union, types.UnionType)


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


def _tag_key(model: type[BaseModel]) -> str:
    return "engine" if "engine" in model.model_fields else "type"


def _tag(model: type[BaseModel]) -> str | None:
    field = model.model_fields.get(_tag_key(model))
    arguments = cast("tuple[str, ...]", typing.get_args(field.annotation)) if field else ()
    return arguments[0] if arguments else None
