"""What tokens cost: that of the endpoint that answers, else its model's, else LiteLLM's map's, else nothing.

Which endpoint answers is not known when a call is let in. So each model has its `Tariff`: what is reserved is reserved
at the dearest, what is charged is charged at that of the endpoint that answered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from hanok.spec import LiteLLMEndpoint, Model, OpenAIEndpoint, Price
from hanok.wire import Usage
from hanok.wire.charge import NANO

_MILLION = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """USD per token, by kind; a token written to a prompt cache costs `input` where `cache_write` is None.

    `source` says where the figures are from: `declared`, `litellm` or `none`.
    """

    input: float
    output: float
    cached_input: float
    cache_write: float | None = None
    source: str = "declared"
    batch: float = 1.0
    """The share of it that lines of batches cost."""

    @property
    def output_nano_usd(self) -> float:
        """Nano-dollars a completion token."""
        return self.output * NANO

    def cost_nano_usd(self, usage: Usage) -> int:
        """The cost of `usage`, in nano-dollars. Tokens read from or written to a cache are part of the prompt's."""
        read, written = usage.cached_tokens, usage.cache_write_tokens
        fresh = max(0, usage.prompt_tokens - read - written)
        dollars = fresh * self.input + read * self.cached_input + usage.completion_tokens * self.output
        if written:
            dollars += written * (self.input if self.cache_write is None else self.cache_write)
        return round(dollars * NANO)

    def uncached_nano_usd(self, prompt_tokens: int, completion_tokens: int) -> int:
        """What so many tokens cost in nano-dollars where no prompt cache is read or written."""
        return round((prompt_tokens * self.input + completion_tokens * self.output) * NANO)


FREE = Rate(input=0.0, output=0.0, cached_input=0.0, source="none")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tariff:
    """What one model's tokens cost: `own`, but for endpoints that have a rate `at` them; `most` is what no one passes.

    `own` is also what the model is compared by where nobody was asked.
    """

    own: Rate
    most: Rate
    at: Mapping[str, Rate] = field(default_factory=dict[str, Rate])

    @classmethod
    def of(cls, own: Rate, at: Mapping[str, Rate]) -> Tariff:
        return cls(own=own, most=_each(max, [own, *at.values()]) if at else own, at=at)

    def of_lines(self) -> Tariff:
        """What lines of batches cost."""
        return Tariff.of(_of_lines(self.own), {name: _of_lines(rate) for name, rate in self.at.items()})

    def where(self, endpoint: str) -> Rate:
        """What tokens cost at an endpoint."""
        return self.at.get(endpoint, self.own)


NO_TARIFF = Tariff.of(FREE, {})


class PriceList:
    """The rates of every declared model, looked up once at start."""

    def __init__(self, rates: Mapping[str, Rate], at: Mapping[str, Mapping[str, Rate]] | None = None) -> None:
        """`at` are the rates of endpoints that have their own, by their names, of each model that has such."""
        at = at or {}
        self._rates = {name: Tariff.of(rate, at.get(name, {})) for name, rate in rates.items()}
        self._of_lines = {name: each.of_lines() for name, each in self._rates.items() if _differ_for_lines(each)}

    @classmethod
    def of(
        cls, models: Iterable[Model], known: Mapping[str, Rate], at: Mapping[str, Price | None] | None = None
    ) -> PriceList:
        """Tariff of the declared `models`; `known` are those of LiteLLM's map, by its names.

        `at` is what is declared of endpoints as they are called; by default they are called by their places.
        """
        models = list(models)
        declared = prices_by_place(models) if at is None else at
        rates_at: dict[str, dict[str, Rate]] = {}
        for name, price in declared.items():
            if price is not None:
                rates_at.setdefault(name.rpartition("#")[0], {})[name] = _declared(price)
        return cls({model.name: _rate(model, known) for model in models}, rates_at)

    def rate(self, model: str) -> Rate:
        """What the model's tokens cost where its endpoints do not say otherwise."""
        return self.tariff(model).own

    def tariff(self, model: str) -> Tariff:
        return self._rates.get(model, NO_TARIFF)

    def tariff_of_lines(self, model: str) -> Tariff:
        """What a line of a batch costs."""
        return self._of_lines.get(model) or self.tariff(model)


def prices_by_place(models: Iterable[Model]) -> dict[str, Price | None]:
    """What is declared of each endpoint, by the name that it has at start."""
    return {
        f"{model.name}#{number}": endpoint.price
        for model in models
        for number, endpoint in enumerate(model.serve, start=1)
    }


def _differ_for_lines(tariff: Tariff) -> bool:
    return any(rate.batch != 1.0 for rate in (tariff.own, *tariff.at.values()))


def _of_lines(rate: Rate) -> Rate:
    share = rate.batch
    return replace(
        rate,
        input=rate.input * share,
        output=rate.output * share,
        cached_input=rate.cached_input * share,
        cache_write=None if rate.cache_write is None else rate.cache_write * share,
    )


def _each(pick: Callable[[Iterable[float]], float], rates: list[Rate]) -> Rate:
    """The lowest or the highest of each kind of token."""
    return Rate(
        input=pick(rate.input for rate in rates),
        output=pick(rate.output for rate in rates),
        cached_input=pick(rate.cached_input for rate in rates),
        cache_write=pick(rate.input if rate.cache_write is None else rate.cache_write for rate in rates),
    )


def _declared(price: Price) -> Rate:
    cached = price.input if price.cached_input is None else price.cached_input
    return Rate(
        input=price.input / _MILLION,
        output=price.output / _MILLION,
        cached_input=cached / _MILLION,
        cache_write=None if price.cache_write is None else price.cache_write / _MILLION,
        batch=price.batch,
    )


def _rate(model: Model, known: Mapping[str, Rate]) -> Rate:
    if model.price:
        return _declared(model.price)
    own = [_declared(endpoint.price) for endpoint in model.serve if endpoint.price]
    if own and len(own) == len(model.serve):  # nobody is charged by it: what the model costs at least, to compare by
        return _each(min, own)
    for endpoint in model.serve:
        if isinstance(endpoint, OpenAIEndpoint | LiteLLMEndpoint) and endpoint.price is None:
            name = endpoint.model or model.name
            found = known.get(name) or known.get(name.rpartition("/")[2])
            if found:
                return found
    return FREE
