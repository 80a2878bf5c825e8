"""What people answer, held against what was asked of them before the run hears of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from hanok.agents.calls import read_call
from hanok.errors import RequestError


def check_answer(wanted: Mapping[str, Any], answer: Mapping[str, Any], id_: str) -> None:
    """Raises `RequestError` where an answer does not fit what is wanted."""
    kind = wanted.get("kind")
    if kind == "approval" and not isinstance(answer.get("approve"), bool):
        raise _refused(id_, f'{id_!r} wants {{"approve": true}} or false')
    if kind == "question" and not isinstance(answer.get("text"), str):
        raise _refused(id_, f'{id_!r} wants {{"text": …}}')
    if kind == "interrupt" and "value" not in answer:
        raise _refused(id_, f'{id_!r} wants {{"value": …}}')


def edited(wanted: Mapping[str, Any], answer: Mapping[str, Any], id_: str) -> dict[str, Any] | None:
    """The arguments that a person puts in the place of a model's, if any. Raises `RequestError` for what no call of a
    model may have, either."""
    given = answer.get("arguments")
    if wanted.get("kind") != "approval" or not answer.get("approve") or given is None:
        return None
    if not isinstance(given, dict):
        raise not_fitting(wanted, id_, "they must be an object")
    read = read_call({"function": {"arguments": json.dumps(given)}}, id_)
    if read.problem is not None:
        raise not_fitting(wanted, id_, read.problem)
    return read.arguments


def not_fitting(wanted: Mapping[str, Any], id_: str, problem: str) -> RequestError:
    """Arguments that the tool does not take."""
    message = f"the arguments do not fit {wanted.get('tool')!r}: {problem}; the run waits on"
    return _refused(f"{id_}.arguments", message)


def _refused(place: str, message: str) -> RequestError:
    return RequestError(message, param=f"answers.{place}", code="invalid_answer")
