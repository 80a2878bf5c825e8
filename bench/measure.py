"""What is measured of one gateway, and how: the same requests for all, one measure after the other, several rounds.

The idea that keeps it simple: every figure comes from one run of load.py as a process of its own, and a run with
wrong answers gives a reason instead of a figure. All figures are kept; the median is taken at the end.
"""

import http.client
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from load import PATH, Report, request_body
from processes import Child, ChildFailed, free_port, on_core, rss_mib, running
from rivals import Gateway, Launch, Place, clean_env

HERE = Path(__file__).resolve().parent
MEASURES = ("rps_32", "p50_ms", "p99_ms", "chunks_per_s", "rss_mib", "ready_s")
ERRORS_ALLOWED = 0.001
READY_PATIENCE = 240.0
CONNECTIONS = 32
STREAMS = 200


class MeasureFailed(Exception):
    """A measure without a figure. The text is the reason."""


@dataclass(frozen=True)
class Plan:
    """How long and how often."""

    starts: int  # of every gateway
    rounds: int  # of every measure, after each start
    stream_rounds: int  # a slow gateway takes long to get 200 streams going
    seconds: float  # of one round
    before: float  # seconds of load at the begin of a round that do not count
    warm: float  # seconds of load after a start that do not count: caches fill, compilers compile
    patience: float  # seconds answers under way may take after a round
    chunks: int  # content chunks of a streamed answer

    @property
    def steps(self) -> int:
        """Of one start, for the progress bar: the start, warming up, three measures."""
        return 2 + 2 * self.rounds + self.stream_rounds


@dataclass(frozen=True)
class Cores:
    gateway: int
    load: int  # also the engine's, and this program's

    @property
    def shared(self) -> bool:
        return self.gateway == self.load


@dataclass
class Figures:
    """All that was found out about one gateway."""

    samples: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    failed: dict[str, str] = field(default_factory=dict[str, str])  # measure: reason

    def add(self, measure: str, value: float) -> None:
        self.samples.setdefault(measure, []).append(value)

    def medians(self) -> dict[str, float]:
        """A measure that failed in one round has no figure, even if others went well."""
        return {name: median(self.samples[name]) for name in MEASURES if name in self.samples.keys() - self.failed}


@dataclass(frozen=True)
class Bench:
    """What all measurements of a run share."""

    plan: Plan
    cores: Cores
    engine_port: int
    step: Callable[[str], None]  # tells the progress bar what comes next

    # -- one round

    def load(self, port: int, headers: dict[str, str], *options: str) -> tuple[Report, Report | None]:
        command = [sys.executable, str(HERE / "load.py"), "--port", str(port), *options]
        command += [f"--header={name}: {value}" for name, value in headers.items()]
        command += ["--patience", str(self.plan.patience), "--chunks", str(self.plan.chunks)]
        limit = self.plan.seconds + self.plan.warm + self.plan.patience + 60
        with on_core(self.cores.load):
            try:
                done = subprocess.run(
                    command, capture_output=True, text=True, timeout=limit, start_new_session=True, check=False
                )
            except subprocess.TimeoutExpired:
                raise MeasureFailed(f"the load generator did not end within {limit:.0f} s") from None
        if done.returncode != 0:
            raise MeasureFailed("the load generator failed: " + "".join(done.stderr.strip().splitlines()[-1:]))
        said = json.loads(done.stdout)
        beside = said.pop("beside", None)
        return Report(**said), Report(**beside) if beside else None

    def checked_load(self, port: int, headers: dict[str, str], *options: str) -> tuple[Report, Report | None]:
        """A round whose answers were right and came from the engine."""
        asked_before = asked(self.engine_port)
        report, beside = self.load(
            port, headers, "--seconds", str(self.plan.seconds), "--warmup", str(self.plan.before), *options
        )
        if report.errors > ERRORS_ALLOWED * report.answers:
            raise MeasureFailed(f"{report.errors} errors, {report.answers} answers; the first: {report.first_error}")
        answers = report.answers + (beside.answers if beside else 0)
        if asked(self.engine_port) - asked_before < 0.99 * answers:
            raise MeasureFailed("it gave answers without asking the engine")
        return report, beside

    # -- the measures

    def throughput(self, port: int, headers: dict[str, str], figures: Figures) -> None:
        report, _ = self.checked_load(port, headers, "--connections", str(CONNECTIONS))
        figures.add("rps_32", report.per_s)

    def added_latency(self, port: int, headers: dict[str, str], figures: Figures) -> None:
        report, beside = self.checked_load(port, headers, "--connections", "1", "--beside-port", str(self.engine_port))
        assert beside is not None
        figures.add("p50_ms", report.p50_ms - beside.p50_ms)
        figures.add("p99_ms", report.p99_ms - beside.p99_ms)

    def own_latency(self, port: int, headers: dict[str, str], figures: Figures) -> None:
        report, _ = self.checked_load(port, headers, "--connections", "1")
        figures.add("p50_ms", report.p50_ms)
        figures.add("p99_ms", report.p99_ms)

    def streaming(self, port: int, headers: dict[str, str], figures: Figures) -> None:
        report, _ = self.checked_load(port, headers, "--connections", str(STREAMS), "--stream")
        figures.add("chunks_per_s", report.events_per_s)

    def all_measures(
        self, name: str, port: int, headers: dict[str, str], figures: Figures, check: Callable[[], None]
    ) -> None:
        """Streams last: a slow gateway may still be busy with cut-off ones when the next round begins."""
        latency = self.own_latency if port == self.engine_port else self.added_latency
        steps = (
            ("rps_32", ("rps_32",), self.throughput, self.plan.rounds),
            ("latency", ("p50_ms", "p99_ms"), latency, self.plan.rounds),
            ("streams", ("chunks_per_s",), self.streaming, self.plan.stream_rounds),
        )
        self.step(f"{name}: warming up")
        self.load(port, headers, "--connections", str(CONNECTIONS), "--seconds", "0", "--warmup", str(self.plan.warm))
        for title, measures, measure, rounds in steps:
            for _ in range(rounds):
                self.step(f"{name}: {title}")
                try:
                    measure(port, headers, figures)
                except MeasureFailed as failure:
                    figures.failed.update(dict.fromkeys(measures, str(failure)))
                check()

    # -- one start

    def direct(self, figures: Figures) -> None:
        self.step("direct: starting")
        self.all_measures("direct", self.engine_port, {}, figures, lambda: None)

    def gateway(self, gateway: Gateway, installed: Path, figures: Figures) -> None:
        """Starts the gateway, measures all, ends it."""
        self.step(f"{gateway.name}: starting")
        with tempfile.TemporaryDirectory(prefix=f"bench-{gateway.name}-") as name:
            folder = Path(name)
            place = Place(folder, installed, free_port(), self.engine_port)
            launch = gateway.launch(place)
            env = clean_env(folder) | launch.env
            with running(launch.command, self.cores.gateway, folder, env, folder / "gateway.log") as child:
                wait_until(lambda: http_status(place.port, "GET", gateway.ready_path, launch) == 200, child)
                wait_until(lambda: http_status(place.port, "POST", PATH, launch) == 200, child)
                figures.add("ready_s", time.perf_counter() - child.started)
                self.all_measures(gateway.name, place.port, launch.headers, figures, child.check)
                figures.add("rss_mib", rss_mib(child.process.pid))


def http_status(port: int, method: str, path: str, launch: Launch) -> int | None:
    """None: nobody answers (yet)."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        body = request_body(stream=False) if method == "POST" else None
        connection.request(method, path, body, launch.headers | {"Content-Type": "application/json"})
        response = connection.getresponse()
        response.read()
        return response.status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def wait_until(true: Callable[[], bool], child: Child) -> None:
    begun = time.perf_counter()
    while not true():
        child.check()
        if time.perf_counter() - begun > READY_PATIENCE:
            raise ChildFailed(f"it was not ready after {READY_PATIENCE:.0f} s")
        time.sleep(0.02)


def asked(engine_port: int) -> int:
    """How many completions the engine was asked for so far."""
    connection = http.client.HTTPConnection("127.0.0.1", engine_port, timeout=10)
    try:
        connection.request("GET", "/stats")
        return int(json.loads(connection.getresponse().read()).get(f"POST {PATH}", 0))
    finally:
        connection.close()


@contextmanager
def fake_engine(cores: Cores, chunks: int) -> Generator[int]:
    """Runs the engine; gives its port."""
    with tempfile.TemporaryDirectory(prefix="bench-engine-") as name:
        folder, port = Path(name), free_port()
        command = [sys.executable, str(HERE / "fake_engine.py"), "--port", str(port), "--chunks", str(chunks)]
        with running(command, cores.load, folder, clean_env(folder), folder / "engine.log") as child:
            nothing = Launch(command=[], headers={})
            wait_until(lambda: http_status(port, "GET", "/health", nothing) == 200, child)
            yield port
