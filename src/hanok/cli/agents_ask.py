"""Asking the person at the terminal what a run wants: whether a tool may be used, or the answer to a question."""

from __future__ import annotations

import asyncio
import json
import signal
from typing import Any

import typer
from rich.text import Text

from hanok.cli.agents_reach import Form
from hanok.cli.terminal import talk
from hanok.cli.typed import next_line

_CHOICES = "[bold]y[/]es, [bold]n[/]o, or [bold]e[/]dit the arguments"


async def ask_person(run: Form) -> dict[str, Form] | None:
    """Answers to all that the run wants, by the requests' ids; None where the person leaves with Ctrl-C or Ctrl-D."""
    task = asyncio.ensure_future(_ask_all(run))
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, task.cancel)
    try:
        await asyncio.wait([task])
    finally:
        loop.remove_signal_handler(signal.SIGINT)
    try:
        return task.result()
    except (asyncio.CancelledError, EOFError):
        talk.print()
        return None


async def _ask_all(run: Form) -> dict[str, Form]:
    answers: dict[str, Form] = {}
    for request in run["wanted"]:
        ask = _ask_approval if request["kind"] == "approval" else _ask_question
        answers[request["id"]] = await ask(run, request)
    return answers


async def _ask_question(run: Form, request: Form) -> Form:
    asked = str(request.get("question") or json.dumps(request.get("value"), ensure_ascii=False))
    talk.print(Text.assemble(("? ", "yellow"), (run["agent"], "bold"), f" asks: {asked}"), highlight=False)
    said = (await _typed()).strip()
    return {"text": said} if request["kind"] == "question" else {"value": _as_json(said)}


async def _ask_approval(run: Form, request: Form) -> Form:
    arguments: dict[str, Any] = request.get("arguments") or {}
    head = Text.assemble(("? ", "yellow"), (run["agent"], "bold"), " wants to use ", (request["tool"], "bold"))
    talk.print(head, highlight=False)
    for name, value in arguments.items():
        talk.print(Text(f"    {name}: {json.dumps(value, ensure_ascii=False)}"), highlight=False)
    while True:
        talk.print(f"  Let it? {_CHOICES}", highlight=False)
        match (await _typed()).strip().lower()[:1]:
            case "y":
                return {"approve": True}
            case "n":
                return await _refusal()
            case "e":
                edited = await asyncio.to_thread(_edit, arguments)
                if edited is not None:
                    return {"approve": True, "arguments": edited}
            case _:
                continue


async def _refusal() -> Form:
    reason = (await _typed("Why not? (the agent is told; may be empty) ")).strip()
    return {"approve": False, **({"reason": reason} if reason else {})}


async def _typed(asks: str = "") -> str:
    talk.print(f"  {asks}› ", end="", highlight=False)
    return await next_line("")


def _edit(arguments: dict[str, Any]) -> dict[str, Any] | None:
    """The arguments as a person's editor gives them back; None where nothing was saved or it is no JSON object."""
    import click

    said = click.edit(json.dumps(arguments, ensure_ascii=False, indent=2) + "\n", extension=".json")
    if said is None:
        return None
    try:
        return parse_arguments(said)
    except typer.BadParameter as error:
        talk.print(Text(f"  {error.message}", style="red"), highlight=False)
        return None


def parse_arguments(text: str) -> dict[str, Any]:
    """A JSON object. Raises `BadParameter`."""
    value = _as_json(text)
    if not isinstance(value, dict):
        raise typer.BadParameter('write the arguments as a JSON object, as {"path": "/tmp/x"}')
    return value  # pyright: ignore[reportUnknownVariableType]


def _as_json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
