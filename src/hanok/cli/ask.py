"""`hanok ask` and `hanok chat`: talk to a model from the terminal.

Both hold a `ModelPath`: the running server reached over HTTP, or, when none runs, a house started for this question.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Annotated, Any

import typer

from hanok.cli.knowledge_answer import answer_question
from hanok.cli.state import own_secret, read_server
from hanok.cli.terminal import FileOption, JsonOption, load_to_ask, print_json, talk
from hanok.cli.typed import next_line
from hanok.errors import EngineRefused, StartError
from hanok.spec import Loaded
from hanok.wire import ChatRequest, ModelPath
from hanok.wire.forms import read_error_message, read_stream_text, read_whole_text

ModelOption = Annotated[str | None, typer.Option("--model", "-m", help="The model to ask; by default the first.")]
SystemOption = Annotated[str | None, typer.Option("--system", help="What the model is told about its task.")]
KnowledgeOption = Annotated[
    str | None, typer.Option("--knowledge", help="Answer from the documents of this knowledge base.")
]
MaxTokensOption = Annotated[int | None, typer.Option("--max-tokens", min=1, help="The most tokens to answer with.")]


def ask(
    question: Annotated[str, typer.Argument(help="What to ask; `-` reads it from stdin.")],
    model: ModelOption = None,
    stream: Annotated[bool, typer.Option("--stream/--no-stream", help="Print the answer as it comes.")] = True,
    system: SystemOption = None,
    max_tokens: MaxTokensOption = None,
    knowledge: KnowledgeOption = None,
    file: FileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask a model one question; with `--knowledge`, to be answered from documents.

    Uses the running server, or starts what it needs for this question.

    Example: `hanok ask "What is the capital of France?"`
    """
    if knowledge is not None:
        told = [{"role": "system", "content": system}] if system else None
        body = {"model": model, "max_tokens": max_tokens, "messages": told}
        answer_question(load_to_ask(file), knowledge, question, body, stream=stream, as_json=as_json)
        return
    text = sys.stdin.read() if question == "-" else question
    if not text.strip():
        raise typer.BadParameter("the question is empty", param_hint="QUESTION")
    messages = [{"role": "system", "content": system}] if system else []
    messages.append({"role": "user", "content": text})
    asyncio.run(_ask(load_to_ask(file), model, messages, max_tokens, stream and not as_json, as_json))


def chat(
    model: ModelOption = None, system: SystemOption = None, max_tokens: MaxTokensOption = None, file: FileOption = None
) -> None:
    """Talk with a model. Ctrl-C ends an answer, Ctrl-D the chat; `/new` begins afresh.

    Example: `hanok chat --model local`
    """
    try:
        asyncio.run(_chat(load_to_ask(file), model, system, max_tokens))
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


async def _ask(
    loaded: Loaded,
    model: str | None,
    messages: list[dict[str, Any]],
    max_tokens: int | None,
    stream: bool,
    as_json: bool,
) -> None:
    name = _chosen(loaded, model)
    async with connected(loaded, name) as models:
        if stream:
            async for piece in _pieces(models, name, messages, max_tokens):
                sys.stdout.write(piece)
                sys.stdout.flush()
            sys.stdout.write("\n")
            return
        request = ChatRequest.ask(name, messages, max_tokens=max_tokens)
        with _plain_errors():
            answer = await models.open(request)
            chunk = await answer.__anext__()
            await answer.aclose()
    if as_json:
        usage = chunk.usage
        tokens = {"prompt": usage.prompt_tokens, "completion": usage.completion_tokens} if usage else None
        print_json({"model": name, "answer": read_whole_text(chunk.data), "tokens": tokens})
    else:
        print(read_whole_text(chunk.data))


async def _chat(loaded: Loaded, model: str | None, system: str | None, max_tokens: int | None) -> None:
    name = _chosen(loaded, model)
    opening = [{"role": "system", "content": system}] if system else []
    messages = list(opening)
    _on_interrupt(_whole_chat())
    async with connected(loaded, name) as models:
        talk.print(
            f"Talking with [bold]{name}[/]. Ctrl-C ends an answer, Ctrl-D the chat, /new begins afresh.",
            highlight=False,
        )
        while True:
            try:
                said = (await next_line()).strip()
            except EOFError:
                talk.print()
                return
            if said == "/new":
                messages = list(opening)
            elif said:
                messages.append({"role": "user", "content": said})
                if answer := await _say_until_stopped(_pieces(models, name, messages, max_tokens)):
                    messages.append({"role": "assistant", "content": answer})
                else:
                    messages.pop()


async def _say_until_stopped(pieces: AsyncIterator[str]) -> str:
    """Print an answer as it comes; Ctrl-C ends it, and what came by then is the answer."""
    said: list[str] = []
    saying = asyncio.ensure_future(_say(pieces, said))
    _on_interrupt(saying)
    try:
        await asyncio.wait([saying])
    finally:
        _on_interrupt(_whole_chat())
        saying.cancel()
    if not saying.cancelled():
        saying.result()
    sys.stdout.write("\n")
    return "".join(said)


def _whole_chat() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None
    return task


def _on_interrupt(task: asyncio.Future[Any]) -> None:
    """Let Ctrl-C end this task. The loop hears of signals by a pipe, so that none is missed as it begins to wait."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, task.cancel)


async def _say(pieces: AsyncIterator[str], said: list[str]) -> None:
    async for piece in pieces:
        said.append(piece)
        sys.stdout.write(piece)
        sys.stdout.flush()


async def _pieces(
    models: ModelPath, name: str, messages: list[dict[str, Any]], max_tokens: int | None
) -> AsyncIterator[str]:
    """The answer's text, as it comes."""
    request = ChatRequest.ask(name, messages, stream=True, max_tokens=max_tokens)
    with _plain_errors():
        answer = await models.open(request)
        try:
            async for chunk in answer:
                for text in read_stream_text(chunk.data):
                    yield text
        finally:
            await answer.aclose()


@contextlib.contextmanager
def _plain_errors() -> Any:
    """The message inside an engine's error envelope, rather than the envelope."""
    try:
        yield
    except EngineRefused as error:
        raise StartError(read_error_message(error.refusal.body) or error.message) from error


def _chosen(loaded: Loaded, model: str | None) -> str:
    names = [each.name for each in loaded.platform.models if each.type == "chat"]
    names += [each.name for each in loaded.platform.tiers]
    if model is None and names:
        return names[0]
    if model not in names:
        known = ", ".join(names) or "none"
        raise StartError(f"no chat model is called {model!r}", hint=f"chat models here: {known}")
    return model


@contextlib.asynccontextmanager
async def connected(loaded: Loaded, model: str) -> AsyncGenerator[ModelPath]:
    """A way to this model: at the running server, or in this process."""
    server = read_server(loaded.state)
    if server is not None:
        async with over_http(loaded, server.url, model) as models:
            yield models
        return
    async with _in_this_process(loaded, model) as models:
        yield models


@contextlib.asynccontextmanager
async def over_http(loaded: Loaded, url: str, model: str) -> AsyncGenerator[ModelPath]:
    """A way to this model at a running server, with this machine's own key."""
    from hanok.serving.client import Pool
    from hanok.serving.engines.openai import OpenAIEngine
    from hanok.spec import Timeouts

    secret = await asyncio.to_thread(own_secret, loaded)
    pool = Pool(f"{url}/v1", timeouts=Timeouts(), headers={"authorization": f"Bearer {secret}"})
    engine = OpenAIEngine(pool, model=model, endpoint="hanok", served_name=model)
    try:
        yield engine
    finally:
        await engine.aclose()


def _needed(loaded: Loaded, model: str) -> tuple[str, ...]:
    """The models that a call to this name may go to, fallbacks aside."""
    return next((auto.models() for auto in loaded.platform.tiers if auto.name == model), (model,))


@contextlib.asynccontextmanager
async def _in_this_process(loaded: Loaded, model: str) -> AsyncGenerator[ModelPath]:
    from hanok.assemble import only, running

    loaded.require()
    async with running(only(loaded, model)) as house:
        with talk.status(f"No server runs here; loading {model} for this question …"):
            await house.fleet.wait_started(_needed(loaded, model))
        yield house.informed
