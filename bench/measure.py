"""What is measured of one gateway, and how: the same requests for all, one measure after the other, several rounds.

The idea that keeps it simple: every figure comes from one run of load.py as a process of its own, and a run with
wrong answers gives a reason instead of a figure. All figures are kept; the median is taken at the end.
"""

import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median

from launch import Gateway, Launch, Place, clean_env
from load import PATH, Report, Target, request_body
from processes import Child, ChildFailed, cpu_by_process, free_port, on_core, rss_mib, running

HERE = Path(__file__).resolve().parent
MEASURES = (
    *("rps_32", "cpu_us_request", "p50_ms", "p99_ms"),
    *("steady_per_s", "gap_p99_ms", "delay_p99_ms", "cpu_us_chunk", "chunks_per_s"),
    *("rss_mib", "ready_s"),
)
ERRORS_ALLOWED = 0.001
READY_PATIENCE = 240.0
CONNECTIONS = 32
STREAMS = 200
STEADY_STREAMS = 500
INTERVAL_MS = 15.0  # between two chunks of a steady stream; 500 of them are 33,333 chunks a second
EXPORT_PATIENCE = 10.0


class MeasureFailed(Exception):
    """A measure without a figure. The text is the reason."""


@dataclass(frozen=True)
class Plan:
    """How long and how often."""

    starts: int = 3  # of every gateway
    rounds: int = 2  # of every measure, after each start
    stream_rounds: int = 2  # a slow gateway takes long to get 200 streams going
    seconds: float = 4.0  # of one round
    before: float = 0.5  # seconds of load at the begin of a round that do not count
    warm: float = 4.0  # seconds of load after a start that do not count: caches fill, compilers compile
    patience: float = 35.0  # seconds answers under way may take after a round
    first_answer: float = 30.0  # seconds to wait for the first whole steady stream
    chunks: int = 50  # content chunks of a streamed answer
    steady_chunks: int = 200  # of one at a steady pace

    @property
    def steps(self) -> int:
        """Of one start, for the progress bar: the start, warming up, four measures."""
        return 2 + 2 * self.rounds + 2 * self.stream_rounds

    @property
    def steady_seconds(self) -> float:
        """How long a steady stream takes."""
        return (self.steady_chunks + 4) * INTERVAL_MS / 1000


@dataclass(frozen=True)
class Cores:
    gateway: int | None  # None: any
    load: int | None  # also the engine's, the collector's, and this program's

    @property
    def shared(self) -> bool:
        return self.gateway == self.load

    def step_aside(self) -> None:
        """Keeps this program too off the gateway's core."""
        if self.load is not None:
            os.sched_setaffinity(0, {self.load})


def choose_cores() -> Cores:
    if not hasattr(os, "sched_setaffinity"):
        raise SystemExit("the benchmark pins processes to cores, which needs Linux")
    mine = sorted(os.sched_getaffinity(0))
    return Cores(gateway=mine[0], load=mine[1] if len(mine) > 1 else mine[0])


@dataclass
class Figures:
    """All that was found out about one gateway."""

    samples: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    failed: dict[str, str] = field(default_factory=dict[str, str])  # measure: reason
    notes: list[str] = field(default_factory=list[str])

    def add(self, measure: str, value: float) -> None:
        self.samples.setdefault(measure, []).append(value)

    def medians(self) -> dict[str, float]:
        """A measure that failed in one round has no figure, even if others went well."""
        return {name: median(self.samples[name]) for name in MEASURES if name in self.samples.keys() - self.failed}


@dataclass(frozen=True)
class Subject:
    """What is being measured: a gateway that runs, or the engine itself."""

    name: str
    target: Target
    figures: Figures
    folder: Path | None = None  # where it runs
    child: Child | None = None  # None: the engine itself

    def check(self) -> None:
        if self.child is not None:
            self.child.check()

    def cpu_by_process(self) -> dict[int, float]:
        return cpu_by_process(self.child.process.pid) if self.child else {}

    def cpu_seconds(self) -> float:
        """What all its processes have computed so far."""
        return sum(self.cpu_by_process().values())


@dataclass(frozen=True)
class Bench:
    """What all measurements of a run share."""

    plan: Plan
    cores: Cores
    engine_port: int
    collector_port: int
    step: Callable[[str], None]  # tells the progress bar what comes next
    engines: Figures = field(default_factory=Figures)  # gap_p99_ms and delay_p99_ms without any gateway

    # -- one round

    def load(self, target: Target, *options: str) -> tuple[Report, Report | None]:
        command = [sys.executable, str(HERE / "load.py"), "--port", str(target.port), "--path", target.path]
        command += ["--model", target.model, *(f"--header={name}: {value}" for name, value in target.headers.items())]
        command += ["--patience", str(self.plan.patience), "--chunks", str(self.plan.chunks), *options]
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

    def checked_load(self, target: Target, *options: str) -> tuple[Report, Report | None]:
        """A round whose answers were right and came from the engine."""
        asked_before = asked(self.engine_port)
        report, beside = self.load(
            target, "--seconds", str(self.plan.seconds), "--warmup", str(self.plan.before), *options
        )
        if report.errors > ERRORS_ALLOWED * report.answers:
            raise MeasureFailed(f"{report.errors} errors, {report.answers} answers; the first: {report.first_error}")
        answers = report.answers + (beside.answers if beside else 0)
        if asked(self.engine_port) - asked_before < 0.99 * answers:
            raise MeasureFailed("it gave answers without asking the engine")
        return report, beside

    # -- the measures

    def throughput(self, subject: Subject) -> None:
        computed = subject.cpu_seconds()
        report, _ = self.checked_load(subject.target, "--connections", str(CONNECTIONS))
        subject.figures.add("rps_32", report.per_s)
        if subject.child is not None:
            subject.figures.add("cpu_us_request", 1e6 * (subject.cpu_seconds() - computed) / report.answers)

    def latency(self, subject: Subject) -> None:
        """What is added to the engine's own; of the engine itself the whole."""
        beside_options = ("--beside-port", str(self.engine_port)) if subject.child else ()
        report, beside = self.checked_load(subject.target, "--connections", "1", *beside_options)
        subject.figures.add("p50_ms", report.p50_ms - (beside.p50_ms if beside else 0.0))
        subject.figures.add("p99_ms", report.p99_ms - (beside.p99_ms if beside else 0.0))

    def streaming(self, subject: Subject) -> None:
        report, _ = self.checked_load(subject.target, "--connections", str(STREAMS), "--stream")
        subject.figures.add("chunks_per_s", report.events_per_s)

    def steady(self, subject: Subject) -> None:
        """As many streams as begin evenly over the time one takes, so that at every moment equally many chunks come."""
        computed = subject.cpu_seconds()
        report, _ = self.checked_load(
            subject.target,
            *("--slowly", "--connections", str(STEADY_STREAMS), "--chunks", str(self.plan.steady_chunks)),
            *("--spread", str(self.plan.steady_seconds), "--first-answer", str(self.plan.first_answer)),
        )
        if report.events_per_s <= 0:
            raise MeasureFailed("no chunk arrived in the time measured")
        subject.figures.add("steady_per_s", report.events_per_s)
        if subject.child is not None:
            subject.figures.add("cpu_us_chunk", 1e6 * (subject.cpu_seconds() - computed) / report.events)
        for measure, value in (("gap_p99_ms", report.gap_p99_ms), ("delay_p99_ms", report.delay_p99_ms)):
            if subject.child is None:
                self.engines.add(measure, value)
            engines = self.engines.medians().get(measure, 0.0) if subject.child else 0.0
            subject.figures.add(measure, value - engines)

    def warm_up(self, subject: Subject) -> None:
        self.step(f"{subject.name}: warming up")
        self.load(subject.target, "--connections", str(CONNECTIONS), "--seconds", "0", "--warmup", str(self.plan.warm))

    def all_measures(self, subject: Subject) -> None:
        """Streams last: a slow gateway may still be busy with cut-off ones when the next round begins."""
        steps = (
            ("rps_32", ("rps_32", "cpu_us_request"), self.throughput, self.plan.rounds),
            ("latency", ("p50_ms", "p99_ms"), self.latency, self.plan.rounds),
            ("streams", ("chunks_per_s",), self.streaming, self.plan.stream_rounds),
            (
                "steady",
                ("steady_per_s", "gap_p99_ms", "delay_p99_ms", "cpu_us_chunk"),
                self.steady,
                self.plan.stream_rounds,
            ),
        )
        self.warm_up(subject)
        for title, measures, measure, rounds in steps:
            for _ in range(rounds):
                self.step(f"{subject.name}: {title}")
                try:
                    measure(subject)
                except MeasureFailed as failure:
                    subject.figures.failed.update(dict.fromkeys(measures, str(failure)))
                subject.check()

    # -- one start

    def direct(self, figures: Figures) -> None:
        self.step("direct: starting")
        self.all_measures(Subject("direct", Target(self.engine_port), figures))

    def gateway(self, gateway: Gateway, installed: Path, figures: Figures) -> None:
        """Starts the gateway, measures all, ends it."""
        self.step(f"{gateway.name}: starting")
        with self.started(gateway, installed, figures) as subject:
            exported = self.exports()
            self.all_measures(subject)
            assert subject.child is not None
            figures.add("rss_mib", rss_mib(subject.child.process.pid))
            if gateway.exports:
                figures.notes[:] = [self.told_about_spans(subject, exported)]

    @contextmanager
    def started(self, gateway: Gateway, installed: Path, figures: Figures) -> Generator[Subject]:
        """The gateway, from its first good answer on."""
        with tempfile.TemporaryDirectory(prefix=f"bench-{gateway.name}-") as name:
            folder = Path(name)
            place = Place(folder, installed, free_port(), self.engine_port, self.collector_port)
            launch = gateway.launch(place)
            env = clean_env(folder) | launch.env
            with running(launch.command, self.cores.gateway, folder, env, folder / "gateway.log") as child:
                target = launch.target(found_port(launch, place, child))
                if gateway.ready_path is not None:
                    ready = replace(target, path=gateway.ready_path)
                    wait_until(lambda: http_status("GET", ready) == 200, child)
                wait_until(lambda: http_status("POST", target) == 200, child)
                figures.add("ready_s", time.perf_counter() - child.started)
                yield Subject(gateway.name, target, figures, folder, child)

    def exports(self) -> dict[str, int]:
        """What the collector has seen."""
        return json.loads(fetch(Target(self.collector_port, "/stats")))

    def told_about_spans(self, subject: Subject, before: dict[str, int]) -> str:
        """For the table; a gateway that was to export and did not has done less than it should have."""
        begun = time.perf_counter()
        while self.exports()["requests"] == before["requests"]:
            if time.perf_counter() - begun > EXPORT_PATIENCE:
                raise MeasureFailed("it sent no spans to the collector")
            time.sleep(0.05)
        now = self.exports()
        lines = fetch(replace(subject.target, path="/metrics")).splitlines()
        dropped = sum(float(line.split()[-1]) for line in lines if line.startswith("hanok_spans_dropped_total"))
        exports, mib = now["requests"] - before["requests"], (now["bytes"] - before["bytes"]) / 2**20
        return f"{subject.name}'s spans: {exports:,} exports, {mib:,.0f} MiB, {dropped:,.0f} dropped"


def found_port(launch: Launch, place: Place, child: Child) -> int:
    if launch.port_file is None:
        return place.port
    wait_until(launch.port_file.exists, child)
    return int(launch.port_file.read_text())


def http_status(method: str, target: Target) -> int | None:
    """None: nobody answers (yet)."""
    connection = http.client.HTTPConnection("127.0.0.1", target.port, timeout=30)
    try:
        body = request_body(stream=False, model=target.model) if method == "POST" else None
        connection.request(method, target.path, body, target.headers | {"Content-Type": "application/json"})
        response = connection.getresponse()
        response.read()
        return response.status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def fetch(target: Target) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", target.port, timeout=10)
    try:
        connection.request("GET", target.path, headers=target.headers)
        return connection.getresponse().read().decode()
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
    return int(json.loads(fetch(Target(engine_port, "/stats"))).get(f"POST {PATH}", 0))


@contextmanager
def fake_engine(cores: Cores, plan: Plan) -> Generator[int]:
    """Runs the engine; gives its port."""
    options = (
        "--chunks",
        str(plan.chunks),
        "--slow-chunks",
        str(plan.steady_chunks),
        "--interval-ms",
        str(INTERVAL_MS),
    )
    with server("fake_engine.py", "/health", cores, *options) as port:
        yield port


@contextmanager
def collector(cores: Cores) -> Generator[int]:
    """Runs the collector of spans; gives its port."""
    with server("collector.py", "/stats", cores) as port:
        yield port


@contextmanager
def server(program: str, health_path: str, cores: Cores, *options: str) -> Generator[int]:
    """One of this folder's own servers, on the load generator's core."""
    with tempfile.TemporaryDirectory(prefix="bench-server-") as name:
        folder, port = Path(name), free_port()
        command = [sys.executable, str(HERE / program), "--port", str(port), *options]
        with running(command, cores.load, folder, clean_env(folder), folder / "server.log") as child:
            wait_until(lambda: http_status("GET", Target(port, health_path)) == 200, child)
            yield port
