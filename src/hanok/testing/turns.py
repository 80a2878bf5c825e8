"""What a model says in a test, turn by turn; the same words as in platform.yaml (docs/engines.md, `script`)."""

from __future__ import annotations

from typing import Any

from hanok.spec import ScriptEndpoint

Turn = dict[str, Any]
"""A turn as platform.yaml has it: `{"say": …}`, `{"call": …}`, `{"json": …}`, `{"error": …}` with its conditions."""


def say(text: str) -> Turn:
    """An answer in words."""
    return {"say": text}


def call(name: str, /, **arguments: Any) -> Turn:
    """A call of a tool. Turns of several calls at once are written as platform.yaml has them."""
    return {"call": [{"name": name, "arguments": arguments}]}


def structured(value: Any) -> Turn:
    """A structured answer: any value, said as JSON."""
    return {"json": value}


def fail(status: int, message: str | None = None) -> Turn:
    """The model fails with this HTTP status, 400 to 599. In an `ordered` script it needs a condition."""
    return {"error": status} if message is None else {"error": status, "say": message}


def given(turn: Turn, /, **conditions: Any) -> Turn:
    """The turn, only under these conditions: `when` (text in the last message), `tool` (whose result came last),
    `system` (text in what the model is told), `schema` (the form that is asked for), `after` (answers given before),
    `times` (at most), and `delay_ms` before it begins."""
    return {**turn, **conditions}


def script(*turns: Turn | str, ordered: bool = True, delay_ms: float = 0.0) -> ScriptEndpoint:
    """A model that says this; a text stands for `say`. `ordered` finds the place in it by the conversation itself, so
    that it holds after a crash; `delay_ms` is waited before each word. Raises `pydantic.ValidationError`."""
    said = [say(turn) if isinstance(turn, str) else turn for turn in turns]
    return ScriptEndpoint.model_validate({"engine": "script", "turns": said, "ordered": ordered, "delay_ms": delay_ms})
