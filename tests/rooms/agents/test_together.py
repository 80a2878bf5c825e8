"""What goes on beside one another ends together; a conversation is measured once, message by message."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hanok.agents import measuring
from hanok.agents.measuring import Length
from hanok.assemble.agents import Wing
from hanok.telemetry import Metrics
from hanok.wire import json_bytes


@pytest.mark.parametrize("ends", ["agency", "memory"])
def test_what_agents_do_and_what_they_remember_end_with_one_another(ends: str) -> None:
    class Life:
        def __init__(self, name: str) -> None:
            self.name = name
            self.living = False

        async def live(self) -> None:
            self.living = True
            try:
                if self.name == ends:
                    raise RuntimeError(f"{self.name} broke")
                await asyncio.Event().wait()
            finally:
                self.living = False

    async def live() -> None:
        parts: Any = {"models": None, "library": None, "admission": None, "keys": None}
        wing = Wing(**parts, serves=lambda: True, metrics=Metrics(), tell=lambda _: None)
        agency, memory = Life("agency"), Life("memory")
        vars(wing).update(agency=agency, _memory=memory)
        wing._built.set()  # pyright: ignore[reportPrivateUsage]
        with pytest.raises(RuntimeError, match=f"{ends} broke"):
            await wing.live()
        assert not agency.living
        assert not memory.living

    asyncio.run(live())


def test_each_message_of_a_conversation_is_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[int] = []

    def count(message: Any) -> bytes:
        encoded.append(1)
        return json_bytes(message)

    monkeypatch.setattr(measuring, "json_bytes", count)
    messages = [{"id": f"m{number}", "content": "word " * number} for number in range(400)]
    length = Length()
    grown = [length.tokens(messages[:end], 0) for end in range(1, 401)]
    assert len(encoded) == 400
    assert grown[-1] == Length().tokens(messages, 0) == sum(len(json_bytes(each)) for each in messages) // 4
    assert length.tokens(messages, 200) == Length().tokens(messages[200:], 0), "what was summed up counts no more"
    changed = [*messages[:-1], {"id": "m399", "content": "another"}]
    assert length.tokens(changed, 200) == Length().tokens(changed[200:], 0)
