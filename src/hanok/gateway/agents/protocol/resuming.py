"""`command: {resume: …}`: what a client says to an interrupt, as an answer to what a run wants of a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from hanok.agents.values import Run
from hanok.errors import RequestError
from hanok.gateway.agents.forms import wanted_form

_Json = dict[str, Any]
_YES, _NO = ("approve", "accept", "yes"), ("reject", "ignore", "deny", "no")


def read_resume(resume: object, run: Run) -> dict[str, _Json]:
    """Answers by the ids of what the run wants: one for all, or each its own. Raises `RequestError`.

    An approval is `true`, `false`, `{"approve": …}`, or as LangChain's clients say it: `{"type": "accept" | "edit" |
    "reject", "args": …}`, or `{"decisions": [...]}` in the order of the interrupts.
    """
    wanted = wanted_form(run)
    if isinstance(resume, dict):
        told = cast("_Json", resume)
        if told and told.keys() <= {each["id"] for each in wanted}:
            return {each["id"]: _answer(told[each["id"]], each) for each in wanted if each["id"] in told}
        decisions = told.get("decisions")
        if isinstance(decisions, list) and len(listed := cast("list[Any]", decisions)) == len(wanted):
            return {each["id"]: _answer(said, each) for each, said in zip(wanted, listed, strict=True)}
    return {each["id"]: _answer(cast("object", resume), each) for each in wanted}


def _answer(said: object, request: Mapping[str, Any]) -> _Json:
    match request.get("kind"):
        case "approval":
            return _approval(said)
        case "question":
            told = cast("_Json", said) if isinstance(said, dict) else {"text": said}
            text = told.get("text", told.get("args"))
            return {"text": text if isinstance(text, str) else str(text)}
        case _:
            return {"value": said}


def _approval(said: object) -> _Json:
    if isinstance(said, bool):
        return {"approve": said}
    told = cast("_Json", said) if isinstance(said, dict) else {"type": said}
    if isinstance(told.get("approve"), bool):
        return {name: told[name] for name in ("approve", "reason", "arguments") if name in told}
    kind = told.get("type")
    if kind in _YES:
        return {"approve": True}
    if kind in _NO:
        reason = told.get("message") or told.get("args")
        return {"approve": False, **({"reason": reason} if isinstance(reason, str) else {})}
    if kind == "edit" and (arguments := _edited(told)) is not None:
        return {"approve": True, "arguments": arguments}
    message = 'an approval is answered with true, false, or {"approve": true, "arguments": {…}}'
    raise RequestError(message, param="command.resume", code="invalid_value")


def _edited(told: _Json) -> _Json | None:
    """The arguments that take the place of the model's."""
    for given in (told.get("edited_action"), told.get("args")):
        if isinstance(given, dict):
            inner = cast("_Json", given)
            found = inner.get("args", inner)
            return cast("_Json", found) if isinstance(found, dict) else None
    return None


def single(runs: Sequence[Run]) -> Run:
    """The run that waits. Raises `RequestError` where none does."""
    if not runs:
        message = "nothing on this thread waits for an answer"
        raise RequestError(message, param="command.resume", code="not_wanted")
    return runs[0]
