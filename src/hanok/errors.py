"""Everything that can go wrong, as one tree.

The domain raises meaning; `gateway.http` turns it into an HTTP status and `cli` into an exit code.

    HanokError
    ├── SpecError             platform.yaml cannot be read or does not hold together      (exit 2)
    ├── PlanError             a model, or a file of figures, that nothing can be planned with      (exit 2)
    ├── PreflightError        what preflight was given cannot be looked at                (exit 2)
    ├── SourceError           a source of the GPU monitor tells nothing                   (exit 1)
    ├── StartError            the house cannot start: port taken, engine or extra missing (exit 1)
    ├── KnowledgeError        a knowledge base cannot be ingested as declared             (exit 1)
    │   ├── SourceUnreadable      a source cannot say which documents it has
    │   └── DocumentRefused       one document cannot be taken; the others can
    ├── WebError              another server may not be asked, or does not answer         (exit 1)
    ├── AgentError            an agent, or something it needs, cannot work as declared    (exit 1)
    │   └── ToolUnavailable       where a tool comes from cannot be reached, or is none
    ├── StoreError            the state folder cannot be read or written                  (exit 1)
    ├── RequestError          the caller's mistake                                        (4xx)
    │   ├── Unauthenticated       no key, or one nobody knows                             (401)
    │   ├── Forbidden             a key that does not open this                           (403)
    │   ├── UnknownModel          no such model, or not for this kind of call             (404)
    │   ├── Unknown               no such thing: a path, a file, a batch, a response      (404)
    │   ├── WrongMethod           a path that takes another method                        (405)
    │   ├── BodyTooLarge          more bytes than `gateway.body_limit_mib`                (413)
    │   ├── WrongContentType      something other than JSON                               (415)
    │   ├── IdempotencyReused     the Idempotency-Key of another call                     (422)
    │   ├── NotNow                nobody's mistake: it cannot be told at this moment      (503)
    │   └── OverLimit             more than may be used                                   (429)
    │       ├── BudgetExceeded        a budget has too little left
    │       └── RateLimited           too many calls or tokens a minute, or calls at once
    └── EngineError           an engine did not do its part
        ├── EngineUnreachable     no connection, or none in time                          (503)
        ├── EngineTimeout         no first byte, or the stream fell silent                (504)
        ├── EngineBroken          not HTTP, not JSON, cut short                           (502)
        ├── RunFailed             the agent that was asked as a model came to no end      (502)
        ├── EngineRefused         the engine answered with an error of its own            (its status)
        ├── NoEndpoint            no endpoint of this model is up                         (503)
        └── Overloaded            every endpoint of this model is full, and so its queue  (429)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal


class HanokError(Exception):
    """The root: a message that says what happened, and a hint that says what to do next."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\nhint: {self.hint}" if self.hint else self.message


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing wrong in a spec file. `line` and `column` count from 1; 0 means the file as a whole."""

    file: str
    line: int
    column: int
    path: str
    message: str
    hint: str | None = None

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        text = f"{place} {self.path}: {self.message}" if self.path else f"{place}: {self.message}"
        return f"{text}\n  hint: {self.hint}" if self.hint else text


class SpecError(HanokError):
    """platform.yaml is not a platform. Carries every problem found, in the order of the file."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


class PlanError(HanokError):
    """A model that is not known or not modelled, or figures that cannot be used."""


class PreflightError(HanokError):
    """Something that preflight was given cannot be looked at: no such file, no schemas, a broken certificate."""


class SourceError(HanokError):
    """A source of the GPU monitor tells nothing: no driver, no answer, or one that is not understood."""


class StartError(HanokError):
    """The house cannot start as asked."""


class StoreError(HanokError):
    """The books, or something else in the state folder, cannot be read or written."""


class KeptUnreachable(StoreError):
    """What is kept for callers, as files, batches and responses, cannot be read or written now; calls can be let in."""


class KnowledgeError(HanokError):
    """A knowledge base cannot be ingested as it is declared."""


class SourceUnreadable(KnowledgeError):
    """A source cannot say which documents it has: a folder that is not there, a page that does not answer."""


class DocumentRefused(KnowledgeError):
    """One document cannot be taken, and why; nothing else stops. `code` is the reason in a word for machines."""

    def __init__(self, message: str, *, code: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.code = code


class WebError(HanokError):
    """Another server may not be asked, or does not answer as it must: `url`, and `why`, a message without it.

    `code` is the reason in a word for machines: `forbidden_address`, `forbidden_header`, `moved`, `unreachable`,
    `timeout`, `too_large` or `unreadable`. `sent` says whether a server may have got the request.
    """

    def __init__(self, url: str, why: str, *, code: str, hint: str | None = None, sent: bool = False) -> None:
        super().__init__(f"{url} {why}", hint=hint)
        self.url = url
        self.why = why
        self.code = code
        self.sent = sent


class AgentError(HanokError):
    """An agent cannot work as it is declared: its graph cannot be loaded, its prompt cannot be read."""


class ToolUnavailable(AgentError):
    """Where tools come from cannot be reached, or does not have them: an MCP server, an OpenAPI document."""


class RequestError(HanokError):
    """The caller's mistake. `param` is the JSON path of the offending field, `code` a word for machines."""

    status = 400
    type = "invalid_request_error"

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.param = param
        self.code = code


class Unauthenticated(RequestError):
    status = 401
    type = "authentication_error"


class Forbidden(RequestError):
    status = 403
    type = "permission_error"


class UnknownModel(RequestError):
    status = 404


class Unknown(RequestError):
    status = 404


class WrongMethod(RequestError):
    """`allow` are the methods that the path takes, `instead` what else to do."""

    status = 405

    def __init__(self, path: str, allow: str, instead: str = "") -> None:
        super().__init__(f"{path} takes {allow}{'; ' if instead else ''}{instead}", code="method_not_allowed")
        self.allow = allow


class BodyTooLarge(RequestError):
    status = 413


class WrongContentType(RequestError):
    status = 415


class OverLimit(RequestError):
    """More than may be used. `detail` tells the account in JSON's terms; `retry_after_s` when it may be different."""

    status = 429
    reason = "over_limit"

    def __init__(self, message: str, *, detail: Mapping[str, Any], retry_after_s: float | None = None) -> None:
        super().__init__(message, code=self.reason)
        self.detail = detail
        self.retry_after_s = retry_after_s


class BudgetExceeded(OverLimit):
    type = "insufficient_quota"
    reason = "budget_exceeded"


class RateLimited(OverLimit):
    type = "rate_limit_error"
    reason = "rate_limit_exceeded"


class IdempotencyReused(RequestError):
    status = 422


class NotNow(RequestError):
    """What is asked for cannot be told at this moment, though nobody made a mistake. Ask again."""

    status = 503
    type = "server_error"


class Draining(NotNow):
    """The house is shutting down and begins nothing new."""


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """An engine's own error answer, kept as it came: HTTP status, body bytes, headers worth passing on."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


class EngineError(HanokError):
    """An engine did not do its part. `retryable` says whether another endpoint may do better.

    `retry_after_s` is when to come back, in seconds, where that is known.
    """

    status = 502
    type = "engine_error"
    code = "engine_error"
    retryable = True
    retry_after_s: float | None = None


class EngineUnreachable(EngineError):
    status = 503
    code = "engine_unreachable"


class EngineTimeout(EngineError):
    status = 504
    code = "engine_timeout"


class EngineBroken(EngineError):
    status = 502
    code = "engine_broken"


class RunFailed(EngineError):
    """An agent that was asked as a model came to no answer: its run failed, or was called off by somebody."""

    code = "run_failed"
    retryable = False


class EngineRefused(EngineError):
    """The engine answered with an error status. Client mistakes (400, 404, 413, 422 …) are not retried."""

    code = "engine_refused"

    def __init__(self, message: str, *, refusal: Refusal) -> None:
        super().__init__(message)
        self.refusal = refusal
        self.status = refusal.status
        self.retryable = refusal.status in (401, 403, 408, 409, 429) or refusal.status >= 500


class NoEndpoint(EngineError):
    """No endpoint of the model can be asked now: none is up, or all have failed so often that they are left alone."""

    status = 503
    code = "no_endpoint"

    def __init__(self, message: str, *, hint: str | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s


class Overloaded(EngineError):
    """Every endpoint of the model is full, and the queue is too (`queue_full`) or was too slow (`queue_timeout`); or
    too many runs wait already (`queue_full`)."""

    status = 429
    type = "overloaded_error"

    def __init__(self, message: str, *, code: Literal["queue_full", "queue_timeout"], retry_after_s: float) -> None:
        super().__init__(message)
        self.code = code
        self.retry_after_s = retry_after_s
