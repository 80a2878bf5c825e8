"""What a call brings that decides where it may go, and where it rather goes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol, TypeVar

import msgspec

from hanok.routing.router import Prompt
from hanok.spec import HeaderRule
from hanok.wire import ChatRequest, TaskRequest


class Features(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Of one call: the tags that an endpoint must have, its team, what keeps calls together, and whether it streams.

    `session` is the session that the caller names, else the user, else the key; `named` when the caller names one.
    Lines of a batch have a session for the books, but are no conversation: each is one by itself. `prompt` is there
    where it counts.
    """

    tags: frozenset[str] = frozenset()
    team: str | None = None
    session: str = ""
    named: bool = False
    stream: bool = False
    prompt: Prompt | None = None


class HasTerms(Protocol):
    """What says whom an endpoint is for."""

    @property
    def weight(self) -> float: ...

    @property
    def tags(self) -> frozenset[str]: ...

    @property
    def teams(self) -> frozenset[str]: ...

    @property
    def role(self) -> str | None: ...


Candidate = TypeVar("Candidate", bound=HasTerms)


def features_of(
    request: ChatRequest | TaskRequest, rules: Sequence[HeaderRule] = (), prompt: Prompt | None = None
) -> Features:
    """The features of a request to a model with these rules."""
    caller, tags = request.caller, request.options.tags
    if rules and request.options.headers:
        tags = tags.union(*(rule.tags for rule in rules if rule.fits(request.options.headers)))
    alone = request.options.batch
    return Features(
        tags=tags,
        team=caller.team,
        session=caller.request_id if alone else caller.session or caller.user or caller.key_id,
        named=caller.session is not None and not alone,
        stream=isinstance(request, ChatRequest) and request.stream,
        prompt=prompt,
    )


def open_to(
    features: Features, candidates: Sequence[Candidate], *, role: Literal["prefill", "decode"] = "decode"
) -> list[Candidate]:
    """The endpoints that may take the call: with all of its tags, and not kept for other teams.

    One without weight takes only calls with tags. One that only prefills takes none by itself: it has another `role`.
    """
    tags, team = features.tags, features.team
    return [
        each
        for each in candidates
        if (tags <= each.tags if tags else each.weight > 0)
        and (not each.teams or team in each.teams)
        and (each.role == "prefill") == (role == "prefill")
    ]


def by_preference(candidates: Sequence[Candidate]) -> tuple[Sequence[Candidate], ...]:
    """Those to be asked first, and those to be asked when none of them can be: a team's own endpoints come first."""
    own = [each for each in candidates if each.teams]
    if not own or len(own) == len(candidates):
        return (candidates,)
    return own, [each for each in candidates if not each.teams]
