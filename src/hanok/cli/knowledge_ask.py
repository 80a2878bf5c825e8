"""`hanok knowledge search`: passages from a knowledge base, in the terminal.

Asked of the running server; when none runs, of a house with nothing but the models that a search asks.
"""

from __future__ import annotations

import asyncio
import json
import re
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from hanok.cli.knowledge_names import chosen
from hanok.cli.state import read_server
from hanok.cli.terminal import FileOption, JsonOption, data, load_to_ask, print_json, talk

if TYPE_CHECKING:
    from hanok.spec import Knowledge, Loaded

SHOWN_CHARACTERS = 700
_FAINT = "bright_black"
NameArgument = Annotated[str, typer.Argument(help="The knowledge base.")]
KOption = Annotated[int | None, typer.Option("-k", min=1, max=100, help="Passages to give; by default as declared.")]
FilterOption = Annotated[
    list[str] | None, typer.Option("--filter", help="Only passages whose metadata has this, as `lang=ko`. Repeatable.")
]
RerankOption = Annotated[
    bool | None, typer.Option("--rerank/--no-rerank", help="Have a model order them, where one is declared.")
]
RewriteOption = Annotated[
    bool | None, typer.Option("--rewrite/--no-rewrite", help="Have the question rewritten, where a model is declared.")
]
WholeOption = Annotated[bool, typer.Option("--whole", help="Show all of each passage, however long.")]


def search(
    name: NameArgument,
    question: Annotated[str, typer.Argument(help="What to look for.")],
    k: KOption = None,
    filters: FilterOption = None,
    rerank: RerankOption = None,
    rewrite: RewriteOption = None,
    whole: WholeOption = False,
    file: FileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find passages in a knowledge base.

    Uses the running server, or starts what it needs for this question.

    Example: `hanok knowledge search docs "how do I set a budget?"`
    """
    if not question.strip():
        raise typer.BadParameter("the question is empty", param_hint="QUESTION")
    loaded = load_to_ask(file)
    base = chosen(loaded, name)
    body = {"query": question, "k": k, "filters": as_filters(filters), "rerank": rerank, "rewrite": rewrite}
    body = {key: value for key, value in body.items() if value is not None}
    if read_server(loaded.state) is None:
        found = asyncio.run(_in_this_process(loaded, base, body))
    else:
        found = _over_http(loaded, base, body)
    if as_json:
        print_json(found)
        return
    for note in found["notes"]:
        talk.print(Text(f"note: {note}", style="yellow"))
    if not found["data"]:
        talk.print("Nothing was found.")
    data.print(Group(*shown(found["data"], question, whole=whole)), soft_wrap=True)


def as_filters(given: list[str] | None) -> dict[str, Any] | None:
    """Pairs `key=value` in OpenAI's form of filters; a value is a number or true or false where it looks like one."""
    if not given:
        return None
    pairs = [each.partition("=") for each in given]
    for key, sign, _ in pairs:
        if not key or not sign:
            raise typer.BadParameter("write it as key=value", param_hint="--filter")
    compared = [{"type": "eq", "key": key, "value": _plain(value)} for key, _, value in pairs]
    return compared[0] if len(compared) == 1 else {"type": "and", "filters": compared}


def _plain(text: str) -> str | int | float | bool:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, bool | int | float) else text


def _over_http(loaded: Loaded, base: Knowledge, body: dict[str, Any]) -> Any:
    from hanok.cli.server import Server

    return Server.open_to_us(loaded).ask("POST", f"/v1/knowledge/{base.name}/search", body)


async def _in_this_process(loaded: Loaded, base: Knowledge, body: dict[str, Any]) -> Any:
    from hanok.assemble import only, running
    from hanok.gateway.knowledge import SearchBody, found_form
    from hanok.knowledge.embedding import embedder_of
    from hanok.wire import ANONYMOUS, json_bytes

    loaded.require()
    embedder = embedder_of(loaded.platform, base).name
    asked = (embedder, base.retrieve.rerank, base.retrieve.rewrite)
    import msgspec

    question = msgspec.json.decode(json_bytes(body), type=SearchBody).question(base.name, ANONYMOUS)
    async with running(only(loaded, *(name for name in asked if name is not None))) as house:
        with talk.status(f"No server runs here; loading {embedder} for this question …"):
            await house.fleet.wait_started([model.name for model in house.loaded.platform.models])
            found = await house.library.search(question)
    return json.loads(json_bytes(found_form(found)))


def shown(hits: list[dict[str, Any]], question: str, *, whole: bool = False) -> Iterator[RenderableType]:
    """Passages for people: where each stands, how well it fits, and what it says, the question's words in it marked."""
    marked = _words_of(question)
    for number, hit in enumerate(hits, start=1):
        line = Text.assemble((f"{number}. ", "bold"), (hit["path"], "bold cyan"))
        if hit["page"]:
            line.append(f" · page {hit['page']}")
        if hit["headings"]:
            line.append(f" · {' › '.join(hit['headings'])}")
        line.append(f"  {hit['score']:.3f}", style=_FAINT)
        yield line
        text = hit["text"] if whole or len(hit["text"]) <= SHOWN_CHARACTERS else f"{hit['text'][:SHOWN_CHARACTERS]} …"
        body = Text(textwrap.indent(text, "   "))
        if marked is not None:
            body.highlight_regex(marked, "bold yellow")
        yield body
        yield Text("")


def _words_of(question: str) -> re.Pattern[str] | None:
    """What of a text to mark: the words that the question is looked up by."""
    from hanok.errors import StartError
    from hanok.knowledge.ranking.terms import terms_of_question

    try:
        terms = dict.fromkeys(terms_of_question(question).split())
    except (ImportError, StartError):
        terms = dict.fromkeys(question.lower().split())
    words = [rf"\b{re.escape(term)}\w*" if term.isascii() else re.escape(term) for term in terms]
    return re.compile("|".join(words), re.IGNORECASE) if words else None
