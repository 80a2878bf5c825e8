"""`hanok up` with several workers: start the engines and the workers, start again what dies, speak for all.

The supervisor answers no calls. It keeps what there is once only: the port, the engine processes, the key of this
machine, the sums of everyone's metrics. Workers are whole processes, so one that dies takes only its own calls along.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Iterable

import msgspec

from hanok.assemble import engines_running
from hanok.cli.channel import (
    Ask,
    Begin,
    Channel,
    Everyones,
    Listening,
    Look,
    Message,
    Mine,
    Post,
    States,
    Stop,
    Tell,
    Took,
    Workers,
)
from hanok.cli.listen import bind
from hanok.cli.serve import greet, show_loading, stop_on_signals
from hanok.cli.state import RunningServer, forget_server, key_at_start, write_server
from hanok.cli.terminal import talk
from hanok.errors import StartError, StoreError
from hanok.ledger import Ledger
from hanok.serving import LAUNCHED, Fleet
from hanok.spec import Loaded
from hanok.spec.load import read
from hanok.telemetry import Metrics, Sums

BACKOFF_S = (0.0, 0.2, 1.0, 2.0, 5.0, 10.0)
SHORT_LIFE_S = 30.0
TELL_LIMIT_S = 1.0
ENDING_S = 15.0
_log = logging.getLogger(__name__)


async def supervise(loaded: Loaded, host: str, port: int, *, log_level: str, log_json: bool) -> None:
    """Serve with `gateway.workers` processes until a signal. Raises `StartError` and `StoreError`."""
    text = read(loaded.file)
    secret, fresh = _take_left_books(loaded)
    metrics = Metrics()
    async with engines_running(loaded, metrics) as (fleet, ports):
        post = Post(
            number=0, orders=-1, file=str(loaded.file), host=host, port=port, log_level=log_level, log_json=log_json
        )
        crew = _Supervisor(loaded, fleet, post, Begin(text=text, now=text, ports=ports), metrics)
        stopping = stop_on_signals(crew.kill)
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, crew.reload)
        with bind(host, port, shared=True):
            try:
                await _start_or_stop(crew, stopping)
                if not stopping.is_set():
                    running_server = RunningServer(process_id=os.getpid(), host=host, port=port)
                    write_server(loaded.state, running_server)
                    greet(loaded, running_server, secret, tell=fresh and not log_json)
                    loading = asyncio.create_task(show_loading(fleet))
                    await stopping.wait()
                    loading.cancel()
            finally:
                await crew.stop()
                forget_server(loaded.state)


async def _start_or_stop(crew: _Supervisor, stopping: asyncio.Event) -> None:
    """Return when all workers take calls, or when a signal came first. Raises `StartError`."""
    starting = asyncio.create_task(crew.start())
    stopped = asyncio.create_task(stopping.wait())
    await asyncio.wait([starting, stopped], return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if starting.done():
        starting.result()
    starting.cancel()


def _take_left_books(loaded: Loaded) -> tuple[str, bool]:
    """Take what dead processes left into the ledger, before others start, and give this machine's key."""
    with Ledger.of(loaded) as ledger:
        ledger.start()
        return key_at_start(loaded, ledger)


async def _cancel(tasks: Iterable[asyncio.Task[None]]) -> None:
    cancelled = list(tasks)
    for task in cancelled:
        task.cancel()
    await asyncio.gather(*cancelled, return_exceptions=True)


class _Worker:
    """One worker process, from its start to its end. `name` is never another's."""

    def __init__(self, number: int, name: str, process: asyncio.subprocess.Process, channel: Channel) -> None:
        self.number = number
        self.name = name
        self.process = process
        self.channel = channel
        self.listening = asyncio.Event()
        self.has_listened = False
        self.ended = asyncio.Event()
        self.told: asyncio.Future[None] | None = None


class _Supervisor:
    """The workers, and what they are told."""

    def __init__(self, loaded: Loaded, fleet: Fleet, post: Post, begin: Begin, metrics: Metrics) -> None:
        self._loaded = loaded
        self._fleet = fleet
        self._post = post
        self._begin = begin
        self._drain_s = loaded.platform.gateway.drain_s
        self._metrics = metrics
        self._sums = Sums()
        self._workers: dict[int, _Worker] = {}
        self._starts = 0
        self._one_at_a_time = asyncio.Lock()
        self._asking: set[_Worker] = set()
        self._wanted = asyncio.Event()
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []
        self._hearing: set[asyncio.Task[None]] = set()
        metrics.watch("hanok_workers", "Workers that take calls now.", [], lambda: {(): float(len(self._listening()))})

    async def start(self) -> None:
        """Return when all workers take calls. Raises `StartError` when one cannot: the first goes ahead."""
        await self._start_first_time(1)
        others = range(2, self._loaded.platform.gateway.workers + 1)
        await asyncio.gather(*(self._start_first_time(number) for number in others))
        self._tasks = [asyncio.create_task(self._keep(number)) for number in self._workers]
        self._tasks.append(asyncio.create_task(self._pass_on_states()))
        self._tasks.append(asyncio.create_task(self._collect()))

    async def stop(self) -> None:
        """Let running calls end, then all workers; kill who takes too long."""
        self._stopping = True
        await _cancel(self._tasks)
        drain_s = self._drain_s
        talk.print(f"Stopping: running calls have up to {drain_s:g} s to end (Ctrl-C again to quit at once).")
        workers = list(self._workers.values())
        self._tell(workers, Stop())
        ends = [asyncio.create_task(each.process.wait()) for each in workers]
        if ends:
            await asyncio.wait(ends, timeout=drain_s + ENDING_S)
        self.kill()
        await asyncio.gather(*ends)
        await _cancel(self._hearing)

    def reload(self) -> None:
        """Have the workers look at platform.yaml."""
        self._tell(self._workers.values(), Look())

    def kill(self) -> None:
        """End whoever still runs, at once."""
        for worker in self._workers.values():
            if worker.process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    worker.process.kill()

    # starting, and starting again

    async def _start_first_time(self, number: int) -> None:
        worker = await self._start_one(number)
        if worker.process.returncode is not None:
            raise StartError(f"worker {number} ended before it took calls (exit code {worker.process.returncode})")

    async def _keep(self, number: int) -> None:
        """Start this worker again whenever it ends."""
        failures, begun = 0, time.monotonic()
        while True:
            worker = self._workers[number]
            code = await worker.process.wait()
            await worker.ended.wait()
            if self._stopping:
                return
            lived = worker.has_listened and time.monotonic() - begun > SHORT_LIFE_S
            failures = 0 if lived else failures + 1
            how = f"signal {-code}" if code < 0 else f"exit code {code}"
            _log.error("worker %d ended (%s); starting it again", number, how)
            self._metrics.worker_restarted(str(number))
            await asyncio.sleep(BACKOFF_S[min(failures - 1, len(BACKOFF_S) - 1)] if failures else 0.0)
            begun = time.monotonic()
            await self._start_again(number)

    async def _start_again(self, number: int) -> None:
        """One at a time, each after the books that the dead left were taken: so nobody reads them half taken."""
        async with self._one_at_a_time:
            try:
                await asyncio.to_thread(_take_left_books, self._loaded)
            except StoreError as error:
                _log.error("what worker %d left cannot be taken yet: %s", number, error)
            try:
                await self._start_one(number)
            except OSError as error:
                _log.error("worker %d cannot be started: %s", number, error)

    async def _start_one(self, number: int) -> _Worker:
        """Start a worker; return when it takes calls, or has ended."""
        ours, its = socket.socketpair()
        with its:
            post = msgspec.structs.replace(self._post, number=number, orders=its.fileno())
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "hanok.cli.worker", msgspec.json.encode(post).decode()),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=[its.fileno()],
                start_new_session=True,  # a Ctrl-C is for us to pass on
            )
        self._starts += 1
        worker = _Worker(number, f"{number}.{self._starts}", process, await Channel.over(ours))
        self._workers[number] = worker
        worker.channel.send(self._begin)
        worker.channel.send(self._states())
        hearing = asyncio.create_task(self._hear(worker))
        self._hearing.add(hearing)
        hearing.add_done_callback(self._hearing.discard)
        listening = asyncio.create_task(worker.listening.wait())
        ended = asyncio.create_task(worker.process.wait())
        await asyncio.wait([listening, ended], return_when=asyncio.FIRST_COMPLETED)
        listening.cancel()
        ended.cancel()
        return worker

    # what workers say

    async def _hear(self, worker: _Worker) -> None:
        try:
            async for message in worker.channel.messages():
                self._take(worker, message)
        finally:
            worker.channel.close()
            worker.listening.clear()
            self._sums.end(worker.name)
            self._told(worker)
            worker.ended.set()
            self._tell_who_runs()

    def _take(self, worker: _Worker, message: Message) -> None:
        match message:
            case Listening():
                worker.listening.set()
                worker.has_listened = True
                self._tell_who_runs()
            case Mine():
                self._sums.take(worker.name, message.families)
                self._told(worker)
            case Took():
                self._keep_text(worker, message)
            case Ask():
                self._asking.add(worker)
                self._wanted.set()
            case _:
                _log.error("worker %d says something unheard of: %s", worker.number, type(message).__name__)

    def _keep_text(self, worker: _Worker, took: Took) -> None:
        """Later workers begin by it, and the others look at the file too: they may not follow it, or not yet."""
        self._drain_s = took.drain_s
        if took.text != self._begin.now:
            self._begin = msgspec.structs.replace(self._begin, now=took.text)
            self._tell([each for each in self._workers.values() if each is not worker], Look())

    def _told(self, worker: _Worker) -> None:
        if worker.told is not None and not worker.told.done():
            worker.told.set_result(None)

    # what workers are told

    async def _collect(self) -> None:
        """Collect everyone's metrics whenever somebody asks; who asks meanwhile waits for the next time."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            asking, self._asking = self._asking, set()
            workers = self._listening()
            for worker in workers:
                worker.told = asyncio.get_running_loop().create_future()
            self._tell(workers, Tell())
            told = [worker.told for worker in workers if worker.told is not None]
            if told:
                await asyncio.wait(told, timeout=TELL_LIMIT_S)  # who says nothing is counted as he last said
            self._tell(asking, Everyones(self._sums.render(self._metrics.families()).decode()))

    async def _pass_on_states(self) -> None:
        while True:
            await self._fleet.changed()
            self._tell(self._workers.values(), self._states())

    def _states(self) -> States:
        launched = [each for each in self._fleet.endpoints if each.kind in LAUNCHED]
        return States({each.name: (each.state, each.reason) for each in launched})

    def _tell_who_runs(self) -> None:
        declared = self._loaded.platform.gateway.workers
        self._tell(self._workers.values(), Workers(declared=declared, running=len(self._listening())))

    def _tell(self, workers: Iterable[_Worker], message: Message) -> None:
        for worker in workers:
            worker.channel.send(message)

    def _listening(self) -> list[_Worker]:
        return [worker for worker in self._workers.values() if worker.listening.is_set()]
