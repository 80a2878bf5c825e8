"""Prefill and decode in two places: vLLM servers that hand a prompt's key-value cache on to each other.

One endpoint reads the prompt (`role: prefill`), another makes the answer (`role: decode`) and fetches from the first
what it has computed. The gateway asks the first for one token, and gives what it says of the transfer to the second.
The fields are those of vLLM's KV connectors (`kv_transfer_params`: NIXL, Mooncake). A prompt that cannot be prefilled
elsewhere is prefilled where the answer is made, as if there were no pairs.
"""

from __future__ import annotations

from typing import Any

import msgspec

from hanok.errors import EngineBroken
from hanok.serving.fleet import Endpoint
from hanok.wire import BYTES_PER_TOKEN, ChatRequest

FIELD = "kv_transfer_params"
_ASKED = msgspec.Raw(
    b'{"do_remote_decode":true,"do_remote_prefill":false,"remote_engine_id":null,"remote_block_ids":null,'
    b'"remote_host":null,"remote_port":null}'
)
_ONE = msgspec.Raw(b"1")
_ONLY_FOR_DECODE = frozenset({"stream", "stream_options", "min_tokens", "min_completion_tokens", FIELD})


class _Answer(msgspec.Struct):
    kv_transfer_params: msgspec.Raw = msgspec.Raw(b"")


_decode = msgspec.json.Decoder(_Answer).decode


def prompt_tokens(request: ChatRequest) -> int:
    """About how many tokens the prompt has."""
    return request.prompt_bytes() // BYTES_PER_TOKEN


async def prefill(endpoint: Endpoint, request: ChatRequest) -> msgspec.Raw | None:
    """Have the endpoint read the prompt; what it says of the transfer, if it does. Raises `EngineError`."""
    answer = await endpoint.engine.open(prefill_request(request))
    try:
        body = b"".join([chunk.data async for chunk in answer])
    finally:
        await answer.aclose()
    try:
        said = bytes(_decode(body).kv_transfer_params)
    except (msgspec.DecodeError, RecursionError) as error:
        raise EngineBroken(f"{endpoint.name} answers a prefill with something else: {error}") from None
    return None if said in (b"", b"null", b"{}") else msgspec.Raw(said)


def prefill_request(request: ChatRequest) -> ChatRequest:
    """The same call, of which only the first token is wanted, and its cache kept for another."""
    fields: dict[str, Any] = {name: raw for name, raw in request.fields.items() if name not in _ONLY_FOR_DECODE}
    fields |= {"max_tokens": _ONE, FIELD: _ASKED}
    if "max_completion_tokens" in fields:
        fields["max_completion_tokens"] = _ONE
    return msgspec.structs.replace(
        request, fields=fields, stream=False, wants_usage=False, max_tokens=1, cap_tokens=None
    )


def decode_request(request: ChatRequest, said: msgspec.Raw | None) -> ChatRequest:
    """The same call, which takes over what was prefilled. What callers say of transfers themselves does not count."""
    if said is None and FIELD not in request.fields:
        return request
    fields = {name: raw for name, raw in request.fields.items() if name != FIELD}
    return msgspec.structs.replace(request, fields=fields if said is None else {**fields, FIELD: said})
