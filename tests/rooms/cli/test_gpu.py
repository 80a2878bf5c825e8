"""`hanok gpu` as a user runs it: on pipes, on a terminal, with sources that answer and sources that do not."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import shutil
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pynvml
import pytest

from tests.conftest import free_port
from tests.exporters import Exporter, answer, dcgm, exporter, gpu, scraped, vllm
from tests.generated import ROOT
from tests.journeys.test_hanok_up import hanok

POD = {"namespace": "llm", "pod": "vllm-0", "container": "vllm"}


def has_gpus() -> bool:
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return False
    return True


@pytest.fixture
def served() -> Iterator[Exporter]:
    with exporter({"/metrics": dcgm(gpu(0, labels=POD), gpu(1, GPU_UTIL=0, GPU_TEMP=91))}) as known:
        yield known


def test_once_prints_a_table_that_no_pipe_cuts(tmp_path: Path, served: Exporter) -> None:
    served.pages["/engine"] = vllm()
    seen = hanok(tmp_path, "gpu", "top", "--once", "--dcgm", served.url, "--vllm", f"{served.url}/engine")
    assert seen.returncode == 0, seen.stderr
    assert "2 GPUs · used 48% · memory 70 of 80 GiB · 603 W · 4 requests running, 2 waiting" in seen.stdout
    assert "1 hot · 1 idle" in seen.stdout
    assert re.search(r"≈ \$2\.8\d of \$5\.49 an hour idle \(estimate: on demand, us-east-1, ", seen.stdout)
    first, second = (line.split() for line in seen.stdout.splitlines() if line.startswith("node-1"))
    assert first[:10] == ["node-1", "0", "A100-SXM4-40GB", "97%", "█████░", "35/40", "40%", "52%", "61°", "302/400"]
    assert first[10:] == ["1410", "0.08", "ok", "vllm-0"]
    assert second[-3:] == ["hot", "idle", "–"]
    assert "Qwen/Qwen3-32B" in seen.stdout
    assert "\x1b" not in seen.stdout


def test_json_is_one_object_with_units_in_its_names(tmp_path: Path, served: Exporter) -> None:
    seen = hanok(tmp_path, "gpu", "top", "--json", "--dcgm", served.url, "--dcgm", "127.0.0.1:1")
    told = json.loads(seen.stdout)
    busy, hot = told["gpus"]
    assert (busy["utilization"], busy["memory_used_mib"], busy["marks"]) == (0.97, 36000, [])
    assert busy["pods"] == [{"namespace": "llm", "name": "vllm-0", "container": "vllm"}]
    assert (busy["instance_type"], busy["instance_type_exact"]) == ("p4d.24xlarge", False)
    assert (hot["marks"], hot["temperature_c"]) == (["hot", "idle"], 91)
    assert hot["idle_usd_hour"] == hot["usd_hour"] == pytest.approx(2.7447, abs=0.001)
    assert told["totals"]["marks"] == {"hot": 1, "idle": 1}
    assert told["faults"] == [
        {"source": "127.0.0.1:1", "fault": "connection refused: nothing listens there", "hint": None}
    ]


def test_following_prints_a_line_for_each_look(tmp_path: Path, served: Exporter) -> None:
    command = [
        sys.executable,
        "-m",
        "hanok",
        "gpu",
        "top",
        "--json",
        "--follow",
        "--every",
        "0.2",
        "--dcgm",
        served.url,
    ]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [json.loads(process.stdout.readline()) for _ in range(3)]
        process.terminate()
    assert [len(line["gpus"]) for line in lines] == [2, 2, 2]


@pytest.mark.parametrize(
    ("fail_on", "code"), [(["hot"], 3), (["idle", "full"], 3), (["full", "xid", "throttled"], 0), ([], 0)]
)
def test_a_script_can_ask_for_marks(tmp_path: Path, served: Exporter, fail_on: list[str], code: int) -> None:
    flags = [word for mark in fail_on for word in ("--fail-on", mark)]
    assert hanok(tmp_path, "gpu", "top", "--once", "--dcgm", served.url, *flags).returncode == code


def test_a_script_is_not_told_that_all_is_well_where_a_source_was_silent(tmp_path: Path, served: Exporter) -> None:
    seen = hanok(tmp_path, "gpu", "top", "--once", "--dcgm", served.url, "--dcgm", "127.0.0.1:1", "--fail-on", "full")
    assert (seen.returncode, "not judged" in seen.stderr) == (1, True)


def test_thresholds_and_instance_types_come_from_flags(tmp_path: Path, served: Exporter) -> None:
    flags = ["--hot-from", "95", "--busy-above", "98", "--instance-type", "p4d.24xlarge"]
    told = json.loads(hanok(tmp_path, "gpu", "top", "--json", "--dcgm", served.url, *flags).stdout)
    assert [each["marks"] for each in told["gpus"]] == [["under-used"], ["idle"]]
    assert told["totals"]["guessed"] == 0


def test_prometheus_is_asked_with_the_token(tmp_path: Path, served: Exporter) -> None:
    (tmp_path / "token").write_text("abc\n")
    served.pages["/api/v1/query"] = answer(*scraped(gpu(0, labels=POD)))
    flags = ["--prometheus", served.url, "--bearer-file", "token"]
    told = json.loads(hanok(tmp_path, "gpu", "top", "--json", *flags).stdout)
    assert [each["pods"][0]["name"] for each in told["gpus"]] == ["vllm-0"]
    assert {given for _, given in served.asked} == {"Bearer abc"}


def test_without_any_source_it_says_what_is_missing_and_what_works_without(tmp_path: Path) -> None:
    if has_gpus():
        pytest.skip("this machine has GPUs")
    seen = hanok(tmp_path, "gpu", "top")
    assert seen.returncode == 1
    assert "no source tells of a GPU: nvml: no NVIDIA driver here" in seen.stderr
    assert "--dcgm or --prometheus" in seen.stderr


def test_when_nobody_answers_it_says_why_of_each(tmp_path: Path, served: Exporter) -> None:
    served.pages["/metrics"] = b"<html>"
    port = free_port()
    seen = hanok(tmp_path, "gpu", "list", "--dcgm", served.url, "--prometheus", f"127.0.0.1:{port}")
    assert seen.returncode == 1
    assert "tells of no GPU" in seen.stderr
    assert f"127.0.0.1:{port}: connection refused" in seen.stderr


@pytest.mark.parametrize(
    "flags",
    [
        ["--dcgm", "ftp://x"],
        ["--vllm", "http://me:secret@x"],
        ["--instance-type", "p9.huge"],
        ["--every", "0"],
        ["--fail-on", "cold"],
    ],
)
def test_wrong_input_is_refused(tmp_path: Path, flags: list[str]) -> None:
    seen = hanok(tmp_path, "gpu", "top", "--once", *flags)
    assert (seen.returncode, "secret" in seen.stderr) == (2, False)


def test_a_list_says_what_gpus_are_and_marks_prices_that_are_guessed(tmp_path: Path, served: Exporter) -> None:
    served.pages["/metrics"] = dcgm(gpu(0), gpu(1, labels={"GPU_I_ID": "7", "GPU_I_PROFILE": "1g.5gb"}))
    lines = hanok(tmp_path, "gpu", "list", "--dcgm", served.url).stdout.splitlines()
    assert lines[1].split()[:5] == ["node-1", "0", "A100-SXM4-40GB", "a100-40gb", "40"]
    assert lines[1].split()[5:] == ["2.74", "p4d.24xlarge?", "GPU-00000000-cafe"]
    assert lines[2].split()[1:6] == ["1/7", "1g.5gb", "A100-SXM4-40GB", "a100-40gb", "40"]


_LIBRARY = """
from tests.nvml import MIB, Device, FakeNvml

_driver = FakeNvml(
    devices=[Device(uuid="GPU-0", processes=[(7, 60000 * MIB)]), Device(lost="GPU is lost")],
    names={7: "VLLM::EngineCore"},
)


def __getattr__(name):
    return getattr(_driver, name)
"""


def test_this_machine_is_shown_without_a_flag_with_processes_the_engine_on_it_and_a_lost_gpu(
    tmp_path: Path, served: Exporter
) -> None:
    (tmp_path / "pynvml.py").write_text(_LIBRARY)  # stands before the real one: the working folder is looked in first
    served.pages["/metrics"] = vllm(running=9)
    environment = {**os.environ, "PYTHONPATH": f"{os.environ.get('PYTHONPATH', '')}{os.pathsep}{ROOT}"}
    told = json.loads(hanok(tmp_path, "gpu", "top", "--json", "--vllm", served.url, env=environment).stdout)
    whole, lost = told["gpus"]
    assert (whole["name"], whole["accelerator"], whole["source"]) == ("NVIDIA H100 80GB HBM3", "h100", "nvml")
    assert whole["processes"] == [{"pid": 7, "name": "VLLM::EngineCore", "memory_mib": 60000.0}]
    assert whole["engines"] == [served.url.removeprefix("http://")]
    assert (lost["index"], lost["marks"], lost["trouble"]) == ("1", ["lost"], "GPU is lost")


@pytest.mark.skipif(not (shutil.which("cc") and sys.platform == "linux"), reason="no C compiler")
def test_nvidias_own_library_is_asked_as_it_wants_to_be(tmp_path: Path) -> None:
    library = tmp_path / "libnvidia-ml.so.1"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, ROOT / "tests" / "nvml.c"], check=True, timeout=60)
    environment = {**os.environ, "LD_LIBRARY_PATH": str(tmp_path)}
    told = json.loads(hanok(tmp_path, "gpu", "top", "--json", env=environment).stdout)
    whole, part, lost = told["gpus"]
    assert (whole["uuid"], whole["utilization"], whole["memory_bandwidth"]) == ("GPU-aaaa", 0.93, 0.41)
    assert (whole["memory_used_mib"], whole["memory_total_mib"], whole["temperature_c"]) == (1000, 81559, 64)
    assert (whole["power_w"], whole["power_ceiling_w"], whole["power_limit_w"]) == (512.345, 700, None)
    assert (whole["clock_mhz"], whole["clock_ceiling_mhz"], whole["marks"]) == (1755, 1980, [])
    assert whole["processes"] == [{"pid": 4242, "name": "app-4242", "memory_mib": 800}]
    assert (part["uuid"], part["slice"]) == ("GPU-bbbb", {"profile": "1g.10gb", "id": "9"})
    assert (part["utilization"], part["memory_total_mib"], part["power_w"]) == (None, 10000, 512.345)
    assert (lost["index"], lost["trouble"], lost["marks"]) == ("2", "GPU is lost", ["lost"])


# on a terminal


class Terminal:
    """A terminal of so many columns and lines, and what the command draws on it."""

    def __init__(self, folder: Path, *arguments: str, columns: int, lines: int, **environment: str) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        plain = {name: text for name, text in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "hanok", *arguments],
            cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
            env={**plain, "TERM": "xterm-256color", **environment},
        )  # fmt: skip
        os.close(theirs)
        self.drawn = ""

    def read_until(self, text: str) -> str:
        """What is drawn until `text` is."""
        while text not in re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self.drawn):
            ready, _, _ = select.select([self._ours], [], [], 20)
            assert ready, f"{text!r} never came: {self.drawn!r}"
            self.drawn += os.read(self._ours, 65536).decode()
        return self.drawn

    def press(self, keys: str) -> None:
        self.drawn = ""
        os.write(self._ours, keys.encode())

    def end(self) -> int:
        """Its exit code, once it has drawn what it wants."""
        with contextlib.suppress(OSError):
            while os.read(self._ours, 65536):
                pass
        os.close(self._ours)
        return self.process.wait(20)


@pytest.fixture
def open_terminal(tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    """Starts the command on a terminal; what still runs at the end of the test is killed."""
    begun: list[Terminal] = []

    def begin(*arguments: str, **more: Any) -> Terminal:
        begun.append(Terminal(tmp_path, *arguments, **more))
        return begun[-1]

    yield begin
    for terminal in begun:
        terminal.process.kill()
        terminal.process.wait(20)


@pytest.fixture
def many() -> Iterator[Exporter]:
    gpus = [gpu(number, labels={"pod": f"pod-{number}", "namespace": "n"}) for number in range(40)]
    with exporter({"/metrics": dcgm(*gpus)}) as known:
        yield known


def test_on_a_terminal_it_draws_the_whole_screen_scrolls_and_ends_with_q(
    open_terminal: Callable[..., Terminal], many: Exporter
) -> None:
    terminal = open_terminal("gpu", "top", "--dcgm", many.url, columns=80, lines=24)
    drawn = terminal.read_until("(↑ ↓)")
    assert "\x1b[?1049h" in drawn  # the other screen
    assert "pod-0 " in drawn
    assert "pod-39" not in drawn
    rows = [line for line in re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", drawn).split("\n") if line.startswith("node-1")]
    assert rows
    assert all(len(row.rstrip()) <= 80 for row in rows)
    terminal.press("G")
    terminal.read_until("pod-39")
    terminal.press("q")
    assert terminal.end() == 0


def test_a_wide_terminal_shows_more_columns_and_no_color_none(
    open_terminal: Callable[..., Terminal], many: Exporter
) -> None:
    terminal = open_terminal("gpu", "top", "--dcgm", many.url, "--vllm", f"{many.url}/hang", columns=140, lines=60,
                        NO_COLOR="1")  # fmt: skip
    drawn = terminal.read_until("pod-39")  # though one source hangs
    assert "TENSOR" in drawn
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", drawn)
    terminal.press("q")
    assert terminal.end() == 0


def test_without_sources_a_terminal_is_told_so_at_once(open_terminal: Callable[..., Terminal]) -> None:
    if has_gpus():
        pytest.skip("this machine has GPUs")
    terminal = open_terminal("gpu", "top", columns=80, lines=24)
    drawn = terminal.read_until("no source tells of a GPU")
    assert "\x1b[?1049h" not in drawn
    assert terminal.end() == 1


def test_a_screen_full_of_silent_sources_and_engines_still_shows_gpus(
    open_terminal: Callable[..., Terminal], many: Exporter
) -> None:
    engines = b"".join(vllm(f"model-{number}") for number in range(30))
    many.pages["/engines"] = engines
    silent = [word for port in range(1, 21) for word in ("--dcgm", f"127.0.0.1:{port}")]
    sources = ["--dcgm", many.url, "--vllm", f"{many.url}/engines", *silent]
    terminal = open_terminal("gpu", "top", *sources, columns=100, lines=30)
    for text in ("14 more silent sources", "24 more engines", "pod-2 "):  # sources answer in any order
        terminal.read_until(text)
    terminal.press("q")
    assert terminal.end() == 0
