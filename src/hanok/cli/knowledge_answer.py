"""`hanok knowledge ask`, and `hanok ask --knowledge`: answers from documents in the terminal, with their sources.

Asked of the running server; when none runs, of a house with nothing but the models that it takes.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from hanok.cli.knowledge_ask import FilterOption, KOption, NameArgument, as_filters
from hanok.cli.knowledge_names import chosen
from hanok.cli.state import read_server
from hanok.cli.terminal import FileOption, JsonOption, data, load_to_ask, print_json, talk
from hanok.errors import StartError

if TYPE_CHECKING:
    from hanok.spec import Knowledge, Loaded

ModelOption = Annotated[str | None, typer.Option("--model", "-m", help="The model to answer; by default as declared.")]
MaxTokensOption = Annotated[int | None, typer.Option("--max-tokens", min=1, help="The most tokens to answer with.")]
Event = tuple[str, Any]
"""The event's name, and what it says."""


def ask(
    name: NameArgument,
    question: Annotated[str, typer.Argument(help="What to ask; `-` reads it from stdin.")],
    model: ModelOption = None,
    k: KOption = None,
    filters: FilterOption = None,
    max_tokens: MaxTokensOption = None,
    stream: Annotated[bool, typer.Option("--stream/--no-stream", help="Print the answer as it comes.")] = True,
    file: FileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask a knowledge base: an answer from its documents, each sentence with its source.

    Uses the running server, or starts what it needs for this question.

    Example: `hanok knowledge ask docs "how do budgets work?"`
    """
    body = {"model": model, "k": k, "filters": as_filters(filters), "max_tokens": max_tokens}
    answer_question(load_to_ask(file), name, question, body, stream=stream, as_json=as_json)


def answer_question(
    loaded: Loaded, name: str, question: str, body: dict[str, Any], *, stream: bool = True, as_json: bool = False
) -> None:
    """Ask, and show what comes: the text on stdout as it comes, its sources below. `body` is of the HTTP call."""
    base = chosen(loaded, name)
    text = sys.stdin.read() if question == "-" else question
    if not text.strip():
        raise typer.BadParameter("the question is empty", param_hint="QUESTION")
    given = {key: value for key, value in body.items() if value is not None}
    body = {"question": text.strip(), "stream": True, **given}
    asyncio.run(_show(loaded, base, body, stream=stream and not as_json, as_json=as_json))


async def _show(loaded: Loaded, base: Knowledge, body: dict[str, Any], *, stream: bool, as_json: bool) -> None:
    form: dict[str, Any] = {}
    async with aclosing(_events(loaded, base, body)) as events:
        async for name, said in events:
            if name == "delta" and stream:
                sys.stdout.write(said["text"])
                sys.stdout.flush()
            elif name == "answer":
                form = said
            elif name == "error":
                raise StartError(said.get("error", {}).get("message", "the answer broke off"))
    if not form:
        raise StartError("the answer broke off")
    if as_json:
        print_json(form)
        return
    sys.stdout.write("\n" if stream else f"{form['answer']}\n")
    _show_sources(form)


def _show_sources(form: dict[str, Any]) -> None:
    """Where each cited passage stands; on stderr what has no source."""
    for note in form["notes"]:
        talk.print(Text(f"note: {note}", style="yellow"))
    if form["citations"]:
        data.print()
    for each in form["citations"]:
        line = Text.assemble((f"[{each['index']}] ", "bold"), (each["path"], "cyan"))
        if each["page"]:
            line.append(f" · page {each['page']}")
        if each["headings"]:
            line.append(f" · {' › '.join(each['headings'])}")
        line.append(f" · characters {each['start']}–{each['end']}")
        data.print(line, soft_wrap=True)
    if uncited := sum(sentence["cited"] is False for sentence in form["sentences"]):
        told = "1 sentence has" if uncited == 1 else f"{uncited} sentences have"
        talk.print(Text(f"{told} no source in the documents: marked [uncited]", style="yellow"))


async def _events(loaded: Loaded, base: Knowledge, body: dict[str, Any]) -> AsyncGenerator[Event]:
    if read_server(loaded.state) is None:
        async with aclosing(_in_this_process(loaded, base, body)) as events:
            async for event in events:
                yield event
        return
    for event in _over_http(loaded, base, body):
        yield event


def _over_http(loaded: Loaded, base: Knowledge, body: dict[str, Any]) -> Iterator[Event]:
    from hanok.cli.server import Server

    yield from Server.open_to_us(loaded).events(f"/v1/knowledge/{base.name}/answer", body)


async def _in_this_process(loaded: Loaded, base: Knowledge, body: dict[str, Any]) -> AsyncGenerator[Event]:
    from hanok.assemble import only, running
    from hanok.gateway.bodies import decode_body
    from hanok.gateway.knowledge_answers import AnswerBody, AnswerWriter
    from hanok.knowledge.embedding import embedder_of
    from hanok.wire import ANONYMOUS, NO_OPTIONS, json_bytes

    loaded.require()
    first = loaded.platform.first("chat")
    answers = body.get("model") or base.answer.model or (first.name if first else "")
    if not answers:
        raise StartError("no chat model is declared that could answer", hint="declare one under `models`")
    needed = (answers, embedder_of(loaded.platform, base).name, base.retrieve.rerank, base.retrieve.rewrite)
    asked = decode_body(json_bytes({**body, "model": answers}), AnswerBody).asked(base.name, ANONYMOUS, NO_OPTIONS)
    async with running(only(loaded, *(name for name in needed if name is not None))) as house:
        with talk.status(f"No server runs here; loading {answers} for this question …"):
            await house.fleet.wait_started([model.name for model in house.loaded.platform.models])
        answer = await house.informed.answer(asked, AnswerWriter())
        async with aclosing(_pieces(answer)) as pieces:
            async for piece in pieces:
                for event in read_events(piece):
                    yield event


async def _pieces(answer: Any) -> AsyncGenerator[bytes]:
    try:
        async for chunk in answer:
            yield chunk.data
    finally:
        await answer.aclose()


def read_events(events: bytes) -> Iterator[Event]:
    """The events in whole server-sent events."""
    for event in events.split(b"\n\n"):
        parts = [line.partition(b": ") for line in event.split(b"\n")]
        fields = {name: value for name, _, value in parts}
        if b"data" in fields:
            yield fields.get(b"event", b"error").decode(), json.loads(fields[b"data"])
