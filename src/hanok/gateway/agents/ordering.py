"""From what a caller sends to a run: threads by names of his own, and orders that are not begun twice."""

from __future__ import annotations

import dataclasses
from hashlib import blake2b

from hanok.agents.agency import Agency
from hanok.agents.values import Order, Run, Thread
from hanok.errors import IdempotencyReused, RequestError, Unknown
from hanok.gateway.agents.bodies import without_ids
from hanok.gateway.http import Call
from hanok.wire import Caller

IDEMPOTENCY_HEADER = b"idempotency-key"
LONGEST_KEY = 255


async def begin(agency: Agency, order: Order, *, once: bytes | None) -> Run:
    """Start the run, or find the one that the same order with this idempotency key has begun.

    Raises as `Agency.start`, and `IdempotencyReused` where the key was another order's.
    """
    if once is None:
        return await agency.start(order)
    order = dataclasses.replace(order, run_id=run_id_for(order.caller, once))
    run = await agency.start(order)
    if run.agent != order.agent or without_ids(run.input) != without_ids(order.input):
        message = "this Idempotency-Key was used for another run; use a new one for each"
        raise IdempotencyReused(message, code="idempotency_key_reused")
    return run


def idempotency_key(call: Call) -> bytes | None:
    """Raises `RequestError` where it is too long."""
    given = call.headers.get(IDEMPOTENCY_HEADER)
    if given is not None and len(given) > LONGEST_KEY:
        message = f"Idempotency-Key: at most {LONGEST_KEY} bytes"
        raise RequestError(message, param="Idempotency-Key", code="invalid_value")
    return given or None


def run_id_for(caller: Caller, once: bytes) -> str:
    """The id of the run that this caller's key stands for."""
    return f"run_{_digest(b'run', caller.tenant.encode(), caller.key_id.encode(), once)}"


async def thread_named(agency: Agency, agent: str, name: str, caller: Caller) -> tuple[str, bool]:
    """The thread of this name, each tenant's and agent's own, and whether it was made now."""
    user = caller.user or ""
    id_ = f"thread_{_digest(b'thread', caller.tenant.encode(), user.encode(), agent.encode(), name.encode())}"
    try:
        await agency.thread(id_, tenant=caller.tenant)
    except Unknown:
        made = Thread(id=id_, tenant=caller.tenant, user=caller.user, agent=agent, metadata={"session": name})
        await agency.add_thread(made)
        return id_, True
    return id_, False


def _digest(*parts: bytes) -> str:
    digest = blake2b(digest_size=16)
    for part in parts:
        digest.update(len(part).to_bytes(8))
        digest.update(part)
    return digest.hexdigest()
