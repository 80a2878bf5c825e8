"""What a Python tool takes, read from the text of its function, which is not run for that.

Annotations become a JSON Schema: `str`, `int`, `float`, `bool`, `list`, `dict`, their items, `Literal`, and `| None`.
"""

from __future__ import annotations

import ast
import json
import warnings
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

_PLAIN = {"str": "string", "int": "integer", "float": "number", "bool": "boolean", "list": "array", "dict": "object"}
_OPEN = ("Any", "object")
Function = ast.FunctionDef | ast.AsyncFunctionDef


class NoSignature(ValueError):
    """What is wrong with the code, at which of its lines (from 1; 0 where it is none), and what to do."""

    def __init__(self, message: str, *, line: int = 0, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.line = line
        self.hint = hint


class NoFunction(NoSignature):
    """There is no function of that name."""


@dataclass(frozen=True, kw_only=True)
class Signature:
    """A function: its name, its docstring, the JSON Schema of its arguments, and whether it must be awaited."""

    name: str
    description: str
    parameters: dict[str, Any]
    awaited: bool = False


def read_signature(code: str, function: str | None = None, *, annotated: bool = True) -> Signature:
    """The function of that name, or the last that is defined; its annotations only where they count.

    Raises `NoSignature`, `NoFunction`.
    """
    found = _chosen(_parsed(code), function)
    description = ast.get_docstring(found) or ""
    awaited = isinstance(found, ast.AsyncFunctionDef)
    return Signature(
        name=found.name, description=description, parameters=_parameters(found, annotated), awaited=awaited
    )


def _parsed(code: str) -> ast.Module:
    try:
        with warnings.catch_warnings():  # of odd escapes in texts
            warnings.simplefilter("ignore")
            return ast.parse(code)
    except SyntaxError as error:
        raise NoSignature(f"is not Python: {error.msg}", line=error.lineno or 0) from None
    except (ValueError, RecursionError, MemoryError) as error:  # null characters, or nested without end
        raise NoSignature(f"is not Python: {str(error) or 'nested too deeply'}") from None


def _chosen(module: ast.Module, name: str | None) -> Function:
    functions = {each.name: each for each in module.body if isinstance(each, Function)}
    if not functions:
        raise NoSignature("defines no function", hint="begin with `def calculate(expression: str) -> float:`")
    if name is None:
        return list(functions.values())[-1]
    if name not in functions:
        near = get_close_matches(name, functions, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"it defines {', '.join(functions)}"
        raise NoFunction(f"defines no function {name!r}", hint=hint)
    return functions[name]


def _parameters(function: Function, annotated: bool) -> dict[str, Any]:
    given = function.args
    if each := next(iter((*given.posonlyargs, *([given.vararg] if given.vararg else ()))), None):
        message = f"the argument {each.arg!r} cannot be given by its name, as all arguments of tools are"
        raise NoSignature(message, line=each.lineno, hint="take it without `/` and `*`")
    defaults = _defaults(given)
    named = (*given.args, *given.kwonlyargs)
    properties = {each.arg: (_schema(each) if annotated else {}) | defaults.get(each.arg, {}) for each in named}
    needed = [name for name in properties if name not in defaults]
    more = given.kwarg is not None
    return {"type": "object", "properties": properties, "required": needed, "additionalProperties": more}


def _defaults(given: ast.arguments) -> dict[str, dict[str, Any]]:
    """By arguments that have one: `{"default": …}` where JSON can say it, else nothing."""
    last = given.args[len(given.args) - len(given.defaults) :]
    pairs = [*zip(last, given.defaults, strict=True), *zip(given.kwonlyargs, given.kw_defaults, strict=True)]
    return {each.arg: _as_json(default) for each, default in pairs if default is not None}


def _as_json(default: ast.expr) -> dict[str, Any]:
    try:
        value = ast.literal_eval(default)
        return {} if value is None else {"default": json.loads(json.dumps(value, allow_nan=False))}
    except (ValueError, TypeError):
        return {}


def _schema(argument: ast.arg) -> dict[str, Any]:
    annotation = argument.annotation
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):  # in quotes
        annotation = _expression(annotation.value, argument)
    return {} if annotation is None else _of(annotation, argument)


def _expression(text: str, argument: ast.arg) -> ast.expr:
    try:
        return ast.parse(text, mode="eval").body
    except SyntaxError:
        raise _odd(ast.Constant(text), argument) from None


def _of(annotation: ast.expr, argument: ast.arg) -> dict[str, Any]:
    match annotation:
        case ast.Name(id=name) if name in _PLAIN:
            return {"type": _PLAIN[name]}
        case ast.Name(id=name) if name in _OPEN:
            return {}
        case ast.Constant(value=None):
            return {"type": "null"}
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _either(_of(left, argument), _of(right, argument))
        case ast.Subscript(value=ast.Name(id="Optional"), slice=item):
            return _either(_of(item, argument), {"type": "null"})
        case ast.Subscript(value=ast.Name(id="list"), slice=item):
            return {"type": "array", "items": _of(item, argument)}
        case ast.Subscript(value=ast.Name(id="dict"), slice=ast.Tuple(elts=[ast.Name(id="str"), item])):
            return {"type": "object", "additionalProperties": _of(item, argument)}
        case ast.Subscript(value=ast.Name(id="Literal"), slice=choices):
            return {"enum": _choices(choices, argument)}
        case _:
            raise _odd(annotation, argument)


def _either(left: dict[str, Any], right: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [*left.get("anyOf", [left]), *right.get("anyOf", [right])]} if left and right else {}


def _choices(choices: ast.expr, argument: ast.arg) -> list[Any]:
    try:
        found: object = ast.literal_eval(choices)
        return json.loads(json.dumps(found if isinstance(found, tuple) else [found]))
    except (ValueError, TypeError):
        raise _odd(choices, argument) from None


def _odd(annotation: ast.expr, argument: ast.arg) -> NoSignature:
    shown = ast.unparse(annotation)[:60]
    hint = "use str, int, float, bool, list[…], dict[str, …], Literal[…] or Any, or write `parameters`"
    return NoSignature(
        f"the argument {argument.arg!r} is a `{shown}`, which JSON cannot carry", line=argument.lineno, hint=hint
    )
