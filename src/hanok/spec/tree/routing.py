"""Which endpoint takes a call, how long it may take, and what is tried when it fails."""

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from hanok.spec.tree.values import Number, Tag, Tree, Whole


class Timeouts(Tree):
    """How long to wait for an engine."""

    connect_s: Number = Field(default=5.0, gt=0, description="Seconds to connect.")
    first_byte_s: Number = Field(
        default=600.0,
        gt=0,
        description="Seconds until an answer begins; unstreamed answers begin when they are complete.",
    )
    idle_s: Number = Field(default=120.0, gt=0, description="Seconds a begun answer may fall silent.")
    total_s: Number | None = Field(
        default=None,
        gt=0,
        description="Seconds a call may take in all, waiting, retries and its whole answer included.",
    )


class Fallbacks(Tree):
    """Models to try, in order, by what went wrong. A list alone means `error`."""

    error: list[str] = Field(default=[], description="When no endpoint of this model answers.")
    context_window: list[str] = Field(default=[], description="When the prompt is too long for this model.")
    content_policy: list[str] = Field(default=[], description="When a content filter refuses the prompt.")
    budget: list[str] = Field(default=[], description="When the budget does not pay for this model; cheaper ones.")

    def all(self) -> tuple[str, ...]:
        """Every model named here, once."""
        return tuple(dict.fromkeys([*self.error, *self.context_window, *self.content_policy, *self.budget]))


class Queue(Tree):
    """Calls that wait while every endpoint of a model is full (`max_in_flight`); teams take turns."""

    length: Whole = Field(default=100, ge=0, description="Calls that may wait; more are refused with 429.")
    wait_s: Number = Field(default=30.0, gt=0, description="Seconds a call may wait; then it is refused with 429.")


class Breaker(Tree):
    """Leaves a failing endpoint alone for a while, then tries it with one call."""

    failures: Whole = Field(default=5, ge=1, description="Failures in a row that open it.")
    cooldown_s: Number = Field(
        default=10.0, gt=0, description="Seconds without calls; doubles with each probe that fails, up to 16 times."
    )


class Hedge(Tree):
    """Asks a second endpoint when the first is slow, and takes whichever answers first. Costs double work: opt in."""

    after_s: Number = Field(gt=0, description="Seconds without a first byte after which a second endpoint is asked.")


Policy = Literal["least-busy", "weighted", "round-robin", "latency", "cost", "session", "prefix"]


class HeaderRule(Tree):
    """Calls with this header are treated as if they asked for these tags."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{1,64}$", to_lower=True)] = Field(
        description="The header's name, in any case."
    )
    value: str | None = Field(default=None, description="The header's value; by default any.")
    tags: list[Tag] = Field(min_length=1, max_length=16, description="The tags that an endpoint must have.")

    def fits(self, headers: Iterable[tuple[str, str]]) -> bool:
        """Whether one of these headers stands for the tags; their names are in lower case."""
        return any(name == self.name and self.value in (None, value) for name, value in headers)


class Routing(Tree):
    """Which of a model's endpoints takes a call. A word alone is the policy."""

    policy: Policy = Field(
        default="least-busy",
        description="`least-busy`: fewest running calls. `weighted`: by `weight`. `round-robin`: in turn. `latency`: "
        "soonest first token lately. `cost`: cheapest with room. `session`: calls of a session stay together. "
        "`prefix`: soonest first token by what each prompt cache should hold.",
    )
    headers: list[HeaderRule] = Field(default=[], max_length=16, description="Headers that stand for tags.")
    explore_every: Whole = Field(
        default=20,
        ge=0,
        description="Under `latency`, one in so many calls goes to the endpoint not heard of for longest; 0: none.",
    )
    overload: Whole = Field(
        default=8,
        ge=1,
        description="Under `session`, an endpoint with so many more calls than the least busy one is passed over.",
    )
    cache_tokens: Whole = Field(
        default=250_000,
        ge=0,
        description="Under `prefix`, tokens that an endpoint's prompt cache holds, where its metrics do not tell.",
    )
    load_every_s: Number = Field(
        default=1.0,
        gt=0,
        le=60,
        description="Seconds between two looks at the endpoints' own metrics, under `prefix`, `session` and `cost`.",
    )
    prefill_tokens: Whole = Field(
        default=512,
        ge=0,
        description="With prefill endpoints: prompts with fewer new tokens than this are not sent to them.",
    )
