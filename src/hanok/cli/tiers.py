"""`hanok tiers explain`: which tier a text is of, why, and what its model costs beside the dearest."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from rich.markup import escape

from hanok.cli.ask import connected
from hanok.cli.terminal import FileOption, JsonOption, data, load_to_ask, print_json
from hanok.errors import StartError
from hanok.ledger import PriceList
from hanok.routing.tiers import Verdict
from hanok.spec import Auto, Loaded
from hanok.wire import BYTES_PER_TOKEN, NANO, ChatRequest, Usage

tiers = typer.Typer(help="Names whose model is picked by each request's tier.", no_args_is_help=True)


@tiers.callback()
def _group() -> None:
    pass


@tiers.command("explain")
def explain(
    text: Annotated[str, typer.Argument(help="What a user might ask; `-` reads it from stdin.")],
    name: Annotated[str | None, typer.Option("--name", help="The declared name; by default the first.")] = None,
    answer_tokens: Annotated[int, typer.Option(min=0, help="Tokens of the answer, for its price.")] = 300,
    file: FileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the tier of a request, why, its model, and what it costs beside the model compared to.

    Rules decide without a model; other classifiers ask theirs, at the running server or started for this.

    Example: `hanok tiers explain "Summarize this article in three sentences."`
    """
    loaded = load_to_ask(file)
    auto = _declared(loaded, name)
    said = sys.stdin.read() if text == "-" else text
    verdict = asyncio.run(_judge(loaded, auto, ChatRequest.ask(auto.name, [{"role": "user", "content": said}])))
    usage = Usage(prompt_tokens=len(said.encode()) // BYTES_PER_TOKEN, completion_tokens=answer_tokens)
    found = _Explained(auto=auto, verdict=verdict, usage=usage, prices=_prices(loaded))
    if as_json:
        print_json(found.form())
    else:
        _show(found)


@dataclass(frozen=True, kw_only=True)
class _Explained:
    """A verdict, and what the call would cost."""

    auto: Auto
    verdict: Verdict
    usage: Usage
    prices: PriceList

    @property
    def model(self) -> str:
        return self.auto.model_of(self.verdict.tier)

    @property
    def compared_to(self) -> str:
        return self.auto.compared_to or self.auto.complex

    def usd(self, model: str) -> float:
        return self.prices.rate(model).cost_nano_usd(self.usage) / NANO

    def form(self) -> dict[str, Any]:
        return {
            "name": self.auto.name,
            "tier": self.verdict.tier,
            "model": self.model,
            "classifier": self.verdict.classifier,
            "reasons": [{"reason": reason, "weight": weight} for reason, weight in self.verdict.reasons],
            "cost_usd": self.usd(self.model),
            "compared_to": self.compared_to,
            "compared_cost_usd": self.usd(self.compared_to),
            "saved_usd": self.usd(self.compared_to) - self.usd(self.model),
        }


def _show(found: _Explained) -> None:
    verdict, form = found.verdict, found.form()
    data.print(f"[bold]{verdict.tier.upper()}[/] → {escape(found.model)}, by {verdict.classifier}", highlight=False)
    for reason, weight in verdict.reasons or (("nothing in it calls for more", 0.0),):
        data.print(f"  {weight:+g}  {escape(reason)}" if weight else f"  {escape(reason)}", highlight=False)
    cost = f"about ${form['cost_usd']:.6f}; {found.compared_to} would cost ${form['compared_cost_usd']:.6f}"
    data.print(escape(cost), highlight=False)


async def _judge(loaded: Loaded, auto: Auto, request: ChatRequest) -> Verdict:
    from hanok.gateway import Sorter

    if auto.classifier == "rules":
        return await Sorter(auto, _Nothing()).judge(request)
    async with connected(loaded, auto.classifier_model or "") as models:
        sorter = Sorter(auto, models)
        if not sorter.is_ready:
            await sorter.learn()
        return await sorter.judge(request)


class _Nothing:
    """No models: the rules ask none."""

    async def open(self, request: ChatRequest) -> Any:
        raise NotImplementedError(request)

    async def perform(self, request: Any) -> Any:
        raise NotImplementedError(request)


def _declared(loaded: Loaded, name: str | None) -> Auto:
    autos = {auto.name: auto for auto in loaded.platform.tiers}
    if not autos:
        raise StartError(
            "no tiers are declared",
            hint="see docs/tiers.md: `tiers: [{name: auto, simple: …, moderate: …, complex: …}]`",
        )
    found = next(iter(autos.values())) if name is None else autos.get(name)
    if found is None:
        raise StartError(f"no tiers are called {name!r}", hint=f"declared: {', '.join(autos)}")
    return found


def _prices(loaded: Loaded) -> PriceList:
    from hanok.assemble import prices

    return prices(loaded)
