"""What one agent does when it is asked in A2A's words. Nothing is kept here: a task is a run, wherever it runs."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing, contextmanager, suppress
from dataclasses import replace
from typing import NoReturn, cast

from a2a.server.context import ServerCallContext
from a2a.server.request_handlers.request_handler import RequestHandler
from a2a.types import a2a_pb2 as pb
from a2a.utils.errors import (
    A2AError,
    ExtendedAgentCardNotConfiguredError,
    InternalError,
    InvalidParamsError,
    TaskNotCancelableError,
    TaskNotFoundError,
    UnsupportedOperationError,
)
from a2a.utils.proto_utils import validate_proto_required_fields
from a2a.utils.task import apply_history_length, validate_history_length, validate_page_size

from hanok.agents.agency import Agency
from hanok.agents.values import Event, Order, Run
from hanok.errors import AgentError, EngineError, RequestError, StoreError, Unknown, WebError
from hanok.gateway.a2a.hearing import answers_to, chat_message
from hanok.gateway.a2a.push_client import Pusher
from hanok.gateway.a2a.push_store import MOST_OF_RUN, Push
from hanok.gateway.a2a.telling import CONTEXT, MESSAGE, REST, Telling, Update, changed_at, rests, states_of, task_of
from hanok.gateway.agents.ordering import run_id_for, thread_named
from hanok.wire import Caller

PAGE = 50
CANCEL_S = 10.0
"""How long it is waited for a run to stop before the task is given as it is."""
LONGEST_ID = 256
_HEADER_TEXT = re.compile(r"[\x20-\x7e]{0,4096}")
_log = logging.getLogger(__name__)
Told = pb.Task | Update


class RunHandler(RequestHandler):
    """A2A's request handler for an agent. All raise `A2AError`."""

    def __init__(self, agent: str, *, agency: Agency, pusher: Pusher) -> None:
        self._agent = agent
        self._agency = agency
        self._pusher = pusher

    # messages

    async def on_message_send(self, params: pb.SendMessageRequest, context: ServerCallContext) -> pb.Task:
        """The task when it has ended or waits for somebody, or at once where that is asked for."""
        with _in_their_words():
            run = await self._take(params, context)
            if not params.configuration.return_immediately and not rests(run):
                run = await self._agency.ended(run.id, tenant=run.tenant)
            return apply_history_length(task_of(run), params.configuration)

    async def on_message_send_stream(
        self, params: pb.SendMessageRequest, context: ServerCallContext
    ) -> AsyncGenerator[Told]:
        """The task, then what changes, until it has ended or waits for somebody."""
        with _in_their_words():
            run = await self._take(params, context)
            async with aclosing(self._follow(run)) as told:
                async for each in told:
                    yield apply_history_length(each, params.configuration) if isinstance(each, pb.Task) else each

    async def on_subscribe_to_task(
        self, params: pb.SubscribeToTaskRequest, context: ServerCallContext
    ) -> AsyncGenerator[Told]:
        """The same of a task that is there."""
        with _in_their_words():
            validate_proto_required_fields(params)
            run = await self._find(params.id, context)
            if run.ended:
                raise UnsupportedOperationError(f"the task has ended ({run.state}); get it instead")
            async with aclosing(self._follow(run)) as told:
                async for each in told:
                    yield each

    async def _take(self, params: pb.SendMessageRequest, context: ServerCallContext) -> Run:
        """Begin a run with the message, or give it to the one that waits for it."""
        validate_proto_required_fields(params)
        validate_history_length(params.configuration)
        message, caller = params.message, _caller(context)
        if message.role != pb.Role.ROLE_USER:
            raise InvalidParamsError("message.role: messages to an agent are ROLE_USER's")
        wants_push = params.configuration.HasField("task_push_notification_config")
        config = params.configuration.task_push_notification_config
        if wants_push:
            await self._check(config)
        run = await (self._answer(message, context) if message.task_id else self._begin(message, caller))
        if wants_push:
            await self._keep(config, run, context, seq=0)
        return run

    async def _begin(self, message: pb.Message, caller: Caller) -> Run:
        thread, metadata = None, {"door": "a2a", MESSAGE: _short(message.message_id, "message.messageId")}
        if message.context_id:
            thread, named = await self._thread(_short(message.context_id, "message.contextId"), caller)
            if named:
                metadata[CONTEXT] = message.context_id
        said = (self._agent, message.message_id, message.SerializeToString(deterministic=True).hex())
        run_id = run_id_for(caller, json.dumps(("a2a", *said)).encode())
        given = chat_message(message, id_=f"msg_{run_id.removeprefix('run_')}")
        order = Order(
            agent=self._agent, input=(given,), caller=caller, thread=thread, run_id=run_id, metadata=dict(metadata)
        )
        return await self._agency.start(order)

    async def _thread(self, context_id: str, caller: Caller) -> tuple[str, bool]:
        """The thread of a context, and whether its caller has named it himself."""
        try:
            return (await self._agency.thread(context_id, tenant=caller.tenant)).id, False
        except Unknown:
            thread, _ = await thread_named(self._agency, self._agent, context_id, caller)
            return thread, True

    async def _answer(self, message: pb.Message, context: ServerCallContext) -> Run:
        run, caller = await self._find(message.task_id, context), _caller(context)
        if message.context_id and message.context_id != task_of(run).context_id:
            raise InvalidParamsError(f"message.contextId: the task {run.id} is of another context")
        if run.state != "waiting":
            raise UnsupportedOperationError(
                f"the task is {run.state} and takes no message; send one with its contextId alone for a new task"
            )
        wanted = {id_: request for id_, request in run.wanted.items() if id_ not in run.answers}
        answers = answers_to(message, wanted)
        return await self._agency.answer(run.id, answers, tenant=run.tenant, by=caller.user or caller.key_name)

    async def _follow(self, run: Run) -> AsyncGenerator[Told]:
        """The task as it is now, then its updates. What was told before is only taken in."""
        telling = Telling(run)
        if run.attempt or run.state != "queued":
            async for event in self._agency.events(run.id, tenant=run.tenant, wait=False):
                telling.tell(event)
            run = await self._agency.run(run.id, tenant=run.tenant)
        yield task_of(run, text=telling.text)
        if rests(run):
            return
        events = self._agency.events(run.id, tenant=run.tenant, after=telling.seq)
        async with aclosing(cast("AsyncGenerator[Event]", events)):
            async for event in events:
                for update in telling.tell(event):
                    yield update
        if telling.state not in REST:
            for update in telling.tell_state(await self._agency.run(run.id, tenant=run.tenant)):
                yield update

    # tasks

    async def on_get_task(self, params: pb.GetTaskRequest, context: ServerCallContext) -> pb.Task:
        """The task as it is now."""
        with _in_their_words():
            validate_proto_required_fields(params)
            validate_history_length(params)
            return apply_history_length(task_of(await self._find(params.id, context)), params)

    async def on_list_tasks(self, params: pb.ListTasksRequest, context: ServerCallContext) -> pb.ListTasksResponse:
        """The newest first. `totalSize` counts those of this page and before it, and one more where there are more."""
        with _in_their_words():
            validate_history_length(params)
            if params.HasField("page_size"):
                validate_page_size(params.page_size)
            size = params.page_size or PAGE
            before, seen = _read_token(params.page_token)
            runs = await self._list(params, _caller(context), before, size + 1)
            more, runs = len(runs) > size, runs[:size]
            seen += len(runs)
            tasks = [_listed(run, params) for run in runs if changed_at(run) >= _after(params)]
            token = _make_token(runs[-1].id, seen) if more else ""
            return pb.ListTasksResponse(tasks=tasks, next_page_token=token, page_size=size, total_size=seen + more)

    async def on_cancel_task(self, params: pb.CancelTaskRequest, context: ServerCallContext) -> pb.Task:
        """The task when it has stopped."""
        with _in_their_words():
            validate_proto_required_fields(params)
            run = await self._find(params.id, context)
            if run.ended:
                raise TaskNotCancelableError(f"the task has ended ({run.state})")
            run = await self._agency.cancel(run.id, tenant=run.tenant)
            with suppress(TimeoutError):
                async with asyncio.timeout(CANCEL_S):
                    while not run.ended:
                        run = await self._agency.ended(run.id, tenant=run.tenant)
            return task_of(run)

    async def _find(self, id_: str, context: ServerCallContext) -> Run:
        """The run, where it is the caller's and this agent's. Raises `TaskNotFoundError`."""
        with suppress(Unknown):
            run = await self._agency.run(id_, tenant=_caller(context).tenant)
            if run.agent == self._agent:
                return run
        raise TaskNotFoundError("there is no such task")

    async def _list(self, params: pb.ListTasksRequest, caller: Caller, before: str | None, limit: int) -> list[Run]:
        states = states_of(params.status) if params.status else None
        thread = await self._known_thread(params.context_id, caller) if params.context_id else None
        if states == [] or (params.context_id and thread is None):
            return []
        return await self._agency.runs(
            tenant=caller.tenant, agent=self._agent, thread=thread, states=states, limit=limit, before=before
        )

    async def _known_thread(self, context_id: str, caller: Caller) -> str | None:
        """The thread of a context, where there is one."""
        with suppress(Unknown):
            return (await self._agency.thread(context_id, tenant=caller.tenant)).id
        named = await self._agency.threads(
            tenant=caller.tenant, agent=self._agent, metadata={"session": context_id}, limit=PAGE
        )
        return next((thread.id for thread in named if thread.user == caller.user), None)

    # pushes

    async def on_create_task_push_notification_config(
        self, params: pb.TaskPushNotificationConfig, context: ServerCallContext
    ) -> pb.TaskPushNotificationConfig:
        """Have somebody told of the task from now on."""
        with _in_their_words():
            validate_proto_required_fields(params)
            run = await self._find(params.task_id, context)
            await self._check(params)
            last = 0
            async for event in self._agency.events(run.id, tenant=run.tenant, wait=False):
                last = event.seq
            return await self._keep(params, run, context, seq=last)

    async def on_get_task_push_notification_config(
        self, params: pb.GetTaskPushNotificationConfigRequest, context: ServerCallContext
    ) -> pb.TaskPushNotificationConfig:
        """Who is told of the task, by that id."""
        with _in_their_words():
            validate_proto_required_fields(params)
            run = await self._find(params.task_id, context)
            for push in await self._pusher.of_run(run.id, tenant=run.tenant):
                if push.id == params.id:
                    return _config(push)
            raise TaskNotFoundError(f"nobody is told of the task under {params.id!r}")

    async def on_list_task_push_notification_configs(
        self, params: pb.ListTaskPushNotificationConfigsRequest, context: ServerCallContext
    ) -> pb.ListTaskPushNotificationConfigsResponse:
        """All who are told of the task."""
        with _in_their_words():
            validate_proto_required_fields(params)
            run = await self._find(params.task_id, context)
            pushes = await self._pusher.of_run(run.id, tenant=run.tenant)
            return pb.ListTaskPushNotificationConfigsResponse(configs=[_config(push) for push in pushes])

    async def on_delete_task_push_notification_config(
        self, params: pb.DeleteTaskPushNotificationConfigRequest, context: ServerCallContext
    ) -> None:
        """Tell him no more."""
        with _in_their_words():
            validate_proto_required_fields(params)
            run = await self._find(params.task_id, context)
            await self._pusher.remove(run.id, params.id, tenant=run.tenant)

    async def _check(self, config: pb.TaskPushNotificationConfig) -> None:
        """Raises `InvalidParamsError` for what cannot be sent to."""
        auth = config.authentication
        if not all(_HEADER_TEXT.fullmatch(each) for each in (config.token, auth.scheme, auth.credentials)):
            raise InvalidParamsError("token and credentials of a push must be printable ASCII")
        _short(config.id, "id")
        try:
            await self._pusher.check(config.url)
        except WebError as error:
            raise InvalidParamsError(f"nothing can be pushed there: {error.message}") from None

    async def _keep(
        self, config: pb.TaskPushNotificationConfig, run: Run, context: ServerCallContext, *, seq: int
    ) -> pb.TaskPushNotificationConfig:
        push = Push(
            run=run.id,
            id=config.id or f"push_{secrets.token_hex(8)}",
            tenant=run.tenant,
            agent=run.agent,
            url=config.url,
            token=config.token,
            scheme=config.authentication.scheme,
            credentials=config.authentication.credentials,
            version=context.state["headers"].get("a2a-version") or "0.3",
            seq=seq,
        )
        if not await self._pusher.add(push):
            raise InvalidParamsError(f"at most {MOST_OF_RUN} can be told of a task")
        return _config(push)

    async def on_get_extended_agent_card(
        self, params: pb.GetExtendedAgentCardRequest, context: ServerCallContext
    ) -> NoReturn:
        """There is one card."""
        del params, context
        raise ExtendedAgentCardNotConfiguredError


@contextmanager
def _in_their_words() -> Generator[None]:
    """What goes wrong within, as an error of A2A's. Nobody is told more than his part in it."""
    try:
        yield
    except A2AError:
        raise
    except Unknown as error:
        raise TaskNotFoundError(error.message) from None
    except RequestError as error:
        raise InvalidParamsError(error.message) from None
    except AgentError as error:
        raise InternalError(str(error)) from None
    except (EngineError, StoreError) as error:
        raise InternalError(error.message) from None
    except Exception:  # noqa: BLE001 - whatever it was, callers are told that it is ours
        _log.exception("a call of A2A failed")
        raise InternalError("Hanok failed; its log says how") from None


def _caller(context: ServerCallContext) -> Caller:
    return cast("Caller", context.state["caller"])


def _short(id_: str, name: str) -> str:
    if len(id_) > LONGEST_ID or not id_.isprintable():
        raise InvalidParamsError(f"{name}: at most {LONGEST_ID} printable characters")
    return id_


def _listed(run: Run, params: pb.ListTasksRequest) -> pb.Task:
    run = run if params.include_artifacts else replace(run, answer=None)
    return apply_history_length(task_of(run), params)


def _after(params: pb.ListTasksRequest) -> float:
    """Unix seconds."""
    return params.status_timestamp_after.ToMilliseconds() / 1000 if params.HasField("status_timestamp_after") else 0.0


def _config(push: Push) -> pb.TaskPushNotificationConfig:
    config = pb.TaskPushNotificationConfig(id=push.id, task_id=push.run, url=push.url, token=push.token)
    if push.scheme:
        config.authentication.CopyFrom(pb.AuthenticationInfo(scheme=push.scheme, credentials=push.credentials))
    return config


def _make_token(last: str, seen: int) -> str:
    return urlsafe_b64encode(json.dumps((last, seen)).encode()).decode()


def _read_token(token: str) -> tuple[str | None, int]:
    """The run after which to go on, and how many there were. Raises `InvalidParamsError`."""
    if not token:
        return None, 0
    try:
        last, seen = json.loads(urlsafe_b64decode(token))
        return str(last), max(0, min(int(seen), 2**31 - 1000))
    except (ValueError, TypeError, OverflowError, RecursionError):
        raise InvalidParamsError("pageToken: not one that was given here") from None
