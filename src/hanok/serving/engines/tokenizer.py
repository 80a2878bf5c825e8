"""A server's own tokenizer: how many tokens a chat prompt has, told by the engine that would read it.

vLLM counts messages at `/tokenize`. llama.cpp writes messages out at `/apply-template` and tokenizes text at
`/tokenize`. Which of the two a server is, is found by asking once; one that is neither is not asked again.
"""

from __future__ import annotations

from typing import Literal, TypeVar

import msgspec

from hanok.errors import EngineBroken
from hanok.serving.client import Pool
from hanok.wire import Caller, ChatRequest, json_bytes

ANSWER_LIMIT_BYTES = 64 * 1024 * 1024
Speech = Literal["llama.cpp", "vllm", "none"]
_ABSENT = (403, 404, 405, 501)
Form = TypeVar("Form", bound=msgspec.Struct)
_PROMPT_FIELDS = ("messages", "tools", "chat_template_kwargs")


class _Written(msgspec.Struct):
    prompt: str


class _Tokens(msgspec.Struct):
    tokens: list[msgspec.Raw]


class _Count(msgspec.Struct):
    count: int


class Tokenizer:
    """The tokenizer behind `pool`, which reaches the server's root."""

    def __init__(self, pool: Pool, *, endpoint: str, served_name: str) -> None:
        self.pool = pool
        self._endpoint = endpoint
        self._served_name = msgspec.Raw(json_bytes(served_name))
        self._speech: Speech | None = None

    async def count(self, request: ChatRequest) -> int | None:
        """The prompt's tokens, or None where nobody says. Raises `EngineError`."""
        fields = {name: request.fields[name] for name in _PROMPT_FIELDS if name in request.fields}
        if self._speech in (None, "llama.cpp") and (written := await self._write(fields, request.caller)) is not None:
            return await self._count_text(written, request.caller)
        if self._speech in (None, "vllm"):
            return await self._count_messages(fields, request.caller)
        return None

    async def _write(self, fields: dict[str, msgspec.Raw], caller: Caller) -> str | None:
        found = await self._ask("/apply-template", fields, caller)
        return None if found is None else self._read(found, _Written, "llama.cpp").prompt

    async def _count_text(self, text: str, caller: Caller) -> int | None:
        asked = {"content": text, "add_special": True, "parse_special": True}
        found = await self._ask("/tokenize", asked, caller)
        return None if found is None else len(self._read(found, _Tokens, "llama.cpp").tokens)

    async def _count_messages(self, fields: dict[str, msgspec.Raw], caller: Caller) -> int | None:
        found = await self._ask("/tokenize", {**fields, "model": self._served_name}, caller)
        return None if found is None else self._read(found, _Count, "vllm").count

    async def _ask(self, path: str, fields: object, caller: Caller) -> bytes | None:
        response = await self.pool.request("POST", path, json_bytes(fields), caller=caller)
        body = await response.whole(ANSWER_LIMIT_BYTES)
        if path == "/tokenize" and self._speech is None and response.status in _ABSENT:
            self._speech = "none"
        return body if response.status == 200 else None

    def _read(self, body: bytes, form: type[Form], speech: Speech) -> Form:
        try:
            found = msgspec.json.decode(body, type=form)
        except msgspec.DecodeError as error:
            raise EngineBroken(f"{self._endpoint} counts tokens in a way that nobody understands: {error}") from None
        self._speech = speech
        return found
