"""The desk for A2A: `/a2a`. Lets calls in, and has the application behind it answer them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any

from hanok.agents.agency import Agency
from hanok.gateway.a2a.paths import BELOW, CARDS, agent_below, is_card, no_such_agent
from hanok.gateway.a2a.push_client import Pusher
from hanok.gateway.asgi import App, AsgiDesk, Receive, Scope, Send
from hanok.gateway.http import Call
from hanok.gateway.reception import Reception
from hanok.spec import Agent


class A2a(AsgiDesk):
    """The desk. With `open_cards` cards are shown without a key; `url` is where callers reach the house."""

    def __init__(
        self,
        agents: Sequence[Agent],
        *,
        agency: Agency,
        reception: Reception,
        pusher: Pusher,
        open_cards: bool = True,
        url: str | None = None,
    ) -> None:
        self._names = [agent.name for agent in agents]
        self._reception = reception
        self._open_cards = open_cards
        asks: Set[str] = frozenset((*self._names, "message:send", "message:stream"))
        app = _when_asked(agents, agency=agency, pusher=pusher, url=url)
        super().__init__(app, paths=(BELOW, *CARDS), admit=self._let_in, asks=asks)

    def _let_in(self, call: Call) -> Mapping[str, Any]:
        """Raises `Unauthenticated`, and `Unknown` for an agent that is not open, or not there."""
        if self._open_cards and is_card(call.path):
            agent_below(call.path, self._names)
            return {}
        key = self._reception.find_key(call)
        name = agent_below(call.path, self._names)
        if name not in self._reception.agents(key):
            raise no_such_agent(name)
        return {"caller": self._reception.caller(call, key)}


def _when_asked(agents: Sequence[Agent], *, agency: Agency, pusher: Pusher, url: str | None) -> App:
    """The application, imported and made for its first call: it takes longer than everything else of a gateway."""
    made: list[App] = []

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            raise RuntimeError("it has no beginning or end")
        if not made:
            from hanok.gateway.a2a.application import Application

            made.append(Application(agents, agency=agency, pusher=pusher, url=url))
        await made[0](scope, receive, send)

    return answer
