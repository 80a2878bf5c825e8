"""What one replica can do and what it costs: as the planner reckons it, or as somebody measured it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

from hanok.gpu.speed import Roofline

FAR_TOKENS = 4096


class Pace(Protocol):
    """How fast one replica is."""

    def prompt_s(self, tokens: int) -> float:
        """Seconds to read a prompt of so many tokens, alone."""
        ...

    def pieces(self, tokens: int) -> int:
        """Steps in which it is read; every call that is being answered gets a token in each."""
        ...

    def step_s(self, calls: int, tokens: float) -> float:
        """Seconds in which each of so many calls gets a token; they have so many tokens together."""
        ...


@dataclass(frozen=True, kw_only=True)
class Steady:
    """A replica of which measurements are known: each token of a prompt and each step takes as long as any other."""

    prompt_token_s: float
    step: float
    chunk_tokens: int = 8192

    def prompt_s(self, tokens: int) -> float:
        return tokens * self.prompt_token_s

    def pieces(self, tokens: int) -> int:
        return math.ceil(tokens / self.chunk_tokens)

    def step_s(self, calls: int, tokens: float) -> float:  # noqa: ARG002 - a Pace
        return self.step


@dataclass(frozen=True)
class Reckoned:
    """A replica as the planner's roofline has it. A step costs what its number of calls does, and each token kept."""

    roofline: Roofline
    most_calls: int
    _prompts: dict[int, float] = field(default_factory=dict[int, float], compare=False, repr=False)
    """Seconds by tokens, for all replays: a trace has the same lengths again and again."""

    @cached_property
    def _by_calls(self) -> list[float]:
        return [0.0, *(self.roofline.step_s(calls, 1) for calls in range(1, self.most_calls + 1))]

    @cached_property
    def _token_s(self) -> float:
        many = min(64, self.most_calls)
        more = self.roofline.step_s(many, FAR_TOKENS) - self.roofline.step_s(many, 1)
        return more / (many * (FAR_TOKENS - 1))

    @cached_property
    def _chunk_tokens(self) -> int:
        return self.roofline.chunk_tokens

    def prompt_s(self, tokens: int) -> float:
        if (known := self._prompts.get(tokens)) is None:
            known = self._prompts[tokens] = self.roofline.prompt_s(tokens)
        return known

    def pieces(self, tokens: int) -> int:
        return math.ceil(tokens / self._chunk_tokens)

    def step_s(self, calls: int, tokens: float) -> float:
        return self._by_calls[calls] + self._token_s * tokens


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """One replica on its machine.

    `kv_tokens` fit into its cache; a call may have `context_tokens`. A node of `replicas_a_node` replicas takes
    `node_start_s` until it is there, an engine on it `load_s` until it answers. A replica that takes several nodes has
    `nodes_a_replica`. Prices are USD an hour of one node; spot's from lowest to highest.
    """

    title: str
    pace: Pace
    kv_tokens: int
    context_tokens: int
    most_calls: int = 256
    node_start_s: float = 90.0
    load_s: float = 60.0
    gpus: int = 1
    replicas_a_node: int = 1
    nodes_a_replica: int = 1
    usd_hour: float | None = None
    spot_usd_hour: tuple[float, float] | None = field(default=None)

    def nodes(self, replicas: int) -> int:
        """Nodes that so many replicas take."""
        return math.ceil(replicas / self.replicas_a_node) * self.nodes_a_replica
