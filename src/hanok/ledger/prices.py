"""What tokens cost: the declared price, else LiteLLM's map, else nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from hanok.spec import LiteLLMEndpoint, Model, OpenAIEndpoint
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


class PriceList:
    """The rate of every declared model, looked up once at start."""

    def __init__(self, rates: Mapping[str, Rate]) -> None:
        self._rates = dict(rates)
        self._of_lines = {name: _of_lines(rate) for name, rate in rates.items() if rate.batch != 1.0}

    @classmethod
    def of(cls, models: list[Model], known: Mapping[str, Rate]) -> PriceList:
        """Rates of the declared `models`; `known` are those of LiteLLM's map, by its names."""
        return cls({model.name: _rate(model, known) for model in models})

    def rate(self, model: str) -> Rate:
        return self._rates.get(model, FREE)

    def rate_of_lines(self, model: str) -> Rate:
        """What a line of a batch costs."""
        return self._of_lines.get(model) or self.rate(model)


def _of_lines(rate: Rate) -> Rate:
    share = rate.batch
    return replace(
        rate,
        input=rate.input * share,
        output=rate.output * share,
        cached_input=rate.cached_input * share,
        cache_write=None if rate.cache_write is None else rate.cache_write * share,
    )


def _rate(model: Model, known: Mapping[str, Rate]) -> Rate:
    if price := model.price:
        cached = price.input if price.cached_input is None else price.cached_input
        return Rate(
            input=price.input / _MILLION,
            output=price.output / _MILLION,
            cached_input=cached / _MILLION,
            cache_write=None if price.cache_write is None else price.cache_write / _MILLION,
            batch=price.batch,
        )
    for endpoint in model.serve:
        if isinstance(endpoint, OpenAIEndpoint | LiteLLMEndpoint):
            name = endpoint.model or model.name
            found = known.get(name) or known.get(name.rpartition("/")[2])
            if found:
                return found
    return FREE
