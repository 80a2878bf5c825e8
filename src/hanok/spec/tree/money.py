"""What tokens cost, and what may be used of money, tokens and calls."""

from typing import Literal

from pydantic import Field

from hanok.spec.tree.values import Number, Tree, Whole


class Price(Tree):
    """What tokens cost, in US dollars per million."""

    input: Number = Field(default=0.0, ge=0, description="USD per million prompt tokens.")
    output: Number = Field(default=0.0, ge=0, description="USD per million completion tokens.")
    cached_input: Number | None = Field(
        default=None, ge=0, description="USD per million prompt tokens read from a cache; by default as `input`."
    )
    cache_write: Number | None = Field(
        default=None,
        ge=0,
        description="USD per million prompt tokens written to the provider's prompt cache; by default as `input`.",
    )
    batch: Number = Field(default=1.0, ge=0, le=1, description="Share of these prices that lines of batches cost.")


Period = Literal["day", "month", "ever"]
Unit = Literal["usd", "tokens"]


class Allowance(Tree):
    """An amount of dollars or tokens, or both, for a while."""

    usd: Number | None = Field(default=None, ge=0, le=1e9, description="US dollars.")
    tokens: Whole | None = Field(default=None, ge=0, le=10**15, description="Tokens, prompt and completion together.")
    per: Period = Field(default="ever", description="`day` and `month` begin at midnight UTC; `ever` does not end.")
    soft: Number = Field(
        default=0.8, gt=0, le=1, description="The softer line, as a share: beyond it a warning header is sent."
    )
    downgrade_to: str | None = Field(
        default=None,
        description="A cheaper model that calls go to beyond the softer line, instead of the one asked for.",
    )


class Budget(Allowance):
    """What may be spent: a hard limit, reserved before each call."""

    of: Literal["key", "team", "user", "model", "session", "run"] = Field(description="What it is kept for.")
    name: str | None = Field(default=None, description="Only for the one of that name; by default for each one.")


class Rates(Tree):
    """How much a minute, and how much at once."""

    requests_per_minute: Whole | None = Field(default=None, ge=1, description="Calls a minute.")
    tokens_per_minute: Whole | None = Field(default=None, ge=1, description="Tokens a minute, prompt and completion.")
    concurrent: Whole | None = Field(default=None, ge=1, description="Calls at once.")


class Limit(Rates):
    """A rate limit."""

    of: Literal["key", "team", "user", "model"] = Field(description="What it is kept for.")
    name: str | None = Field(default=None, description="Only for the one of that name; by default for each one.")
