"""`hanok agents`: runs in the terminal, with a server and without one."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from rich.cells import cell_len
from rich.console import Console

from hanok.cli import main
from hanok.cli.agents_view import RunView, dollars
from hanok.cli.state import RunningServer, write_server
from tests.conftest import open_house
from tests.passages import EMBED

for library in ("langgraph", "aiosqlite"):
    pytest.importorskip(library, reason='not installed: pip install "hanok[agents]"')

ASK_WHEN = {"name": "ask_user", "arguments": {"question": "When do you travel?"}}
TURNS: list[dict[str, Any]] = [
    {"tool": "ask_user", "call": {"name": "helper", "arguments": {"task": "find hotels in 서울"}}},
    {"tool": "helper", "say": "롯데호텔이 가장 좋습니다."},
    {"when": "find hotels", "say": "Lotte, Shilla"},
    {"when": "hotel", "say": "I need to know when.", "call": ASK_WHEN},
    {"when": "send", "call": {"name": "helper", "arguments": {"task": "find hotels"}}},
    {"when": "wait", "say": "late", "delay_ms": 60_000},
    {"say": "Ask me for rooms."},
]
PLATFORM: dict[str, Any] = {
    "name": "test",
    "models": [{"name": "m", "price": {"input": 1, "output": 4}, "serve": {"engine": "script", "turns": TURNS}}],
    "agents": [
        {"name": "travel", "description": "Finds hotels.", "questions": True, "team": ["helper"]},
        {"name": "helper", "description": "Looks things up.", "limits": {"usd": 0.5}},
        {"name": "careful", "team": ["helper"], "approvals": ["help*"]},
    ],
}


class Said(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Hanok = Callable[..., Said]


@pytest.fixture
def hanok(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Hanok:
    """The command line in this process: starting another takes longer than all that is asked of it here."""

    def run(folder: Path, *arguments: str) -> Said:
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, "argv", ["hanok", "agents", *arguments])
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as left:
            code = int(left.code or 0)
        seen = capsys.readouterr()
        return Said(code, str(seen.out), str(seen.err))

    return run


def write(folder: Path) -> Path:
    file = folder / "platform.yaml"
    file.write_text(yaml.safe_dump(PLATFORM, allow_unicode=True), "utf-8")
    return file


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder from which a server runs."""
    folder = tmp_path_factory.mktemp("served")
    with open_house(write(folder)) as house:
        host, _, port = house.url.removeprefix("http://").partition(":")
        write_server(folder / ".hanok", RunningServer(process_id=os.getpid(), host=host, port=int(port)))
        yield folder


def test_without_a_server_a_run_waits_for_a_person_and_is_gone_on_with_by_another_command(
    tmp_path: Path, hanok: Hanok
) -> None:
    write(tmp_path)
    waiting = hanok(tmp_path, "run", "travel", "a hotel, please")
    assert (waiting.code, waiting.out) == (4, "")
    assert "When do you travel?" in waiting.err
    command = re.search(r"hanok agents answer (run_\w+)", waiting.err)
    assert command is not None, "it says how to go on"
    done = hanok(tmp_path, "answer", command[1], "in May")
    assert (done.code, done.out) == (0, "롯데호텔이 가장 좋습니다.\n")
    assert '→ helper(task="find hotels in 서울")' in done.err
    assert "▸ helper" in done.err, "what agents below do is told, too"
    assert "done · 3 steps · 2 tool calls" in done.err
    listed = hanok(tmp_path, "runs", "--json").json["runs"]
    assert [(run["agent"], run["state"]) for run in listed] == [("travel", "done")]


def test_a_member_of_a_team_that_works_here_is_not_taken_for_one_of_another_process(
    tmp_path: Path, hanok: Hanok
) -> None:
    turns = [
        {"schema": "choice", "tool": "helper", "json": {"next": "finish"}},
        {"schema": "choice", "json": {"next": "helper", "task": "look"}},
        {"system": "team's work is done", "say": "Found."},
        {"say": "It is there.", "delay_ms": 300},
    ]
    platform = {
        "name": "test",
        "models": [{"name": "m", "serve": {"engine": "script", "turns": turns}}],
        "agents": [
            {"name": "helper", "description": "Looks things up."},
            {"name": "lead", "pattern": "supervisor", "team": ["helper"]},
        ],
    }
    (tmp_path / "platform.yaml").write_text(yaml.safe_dump(platform))
    said = hanok(tmp_path, "run", "lead", "look")
    assert said.code == 0, said
    assert "Found." in said.out
    assert "It is there." in said.err + said.out
    assert "Another process" not in said.err


def test_a_run_at_the_server_ends_with_its_state_as_the_exit_code(served: Path, hanok: Hanok) -> None:
    assert hanok(served, "run", "helper", "hello")[:2] == (0, "Ask me for rooms.\n")
    limited = hanok(served, "run", "travel", "a hotel", "--limit", "steps=0")
    assert limited.code == 3
    assert "limited" in limited.err
    assert hanok(served, "run", "travel", "a hotel", "--limit", "stairs=1").code == 2
    assert hanok(served, "run", "travel", "a hotel", "--limit", "usd=much").code == 2
    unknown = hanok(served, "run", "nobody", "hello")
    assert (unknown.code, "agents here: travel, helper, careful" in unknown.err) == (1, True)


def test_machines_get_one_object_or_an_event_a_line(served: Path, hanok: Hanok) -> None:
    run = hanok(served, "run", "helper", "hello", "--json").json
    assert (run["state"], run["answer"], run["usage"]["steps"]) == ("done", "Ask me for rooms.", 1)
    lines = hanok(served, "run", "helper", "hello", "--json", "--stream").out.splitlines()
    events = [json.loads(line) for line in lines]
    assert [event["seq"] for event in events] == sorted(event["seq"] for event in events)
    assert events[-1]["type"] == "done"
    assert events[-1]["data"]["answer"] == "Ask me for rooms."


def test_a_call_can_be_approved_refused_and_is_asked_for_by_its_request(served: Path, hanok: Hanok) -> None:
    approved, refused = (hanok(served, "run", "careful", "send", "--json").json["id"] for _ in range(2))
    (wanted,) = hanok(served, "runs", approved, "--json").json["wanted"]
    assert (wanted["kind"], wanted["tool"]) == ("approval", "helper")
    assert hanok(served, "answer", approved, "text").code == 1, "it waits for an approval, not an answer"
    assert hanok(served, "approve", approved, "--request", "another").code == 1
    unfit = hanok(served, "approve", approved, "--arguments", '{"task": 5}')
    assert unfit.code == 1 and "5 is not of type 'string'" in unfit.err
    assert hanok(served, "approve", approved, "--request", wanted["id"], "--arguments", '{"task": "hello"}').code == 0
    hanok(served, "approve", refused, "--no", "--reason", "not today")
    told = [event["data"]["content"] for event in hanok(served, "runs", refused, "--json").json["events"]
            if event["type"] == "tool_result"]  # fmt: skip
    assert "not today" in told[0]


def test_runs_are_listed_told_again_forked_and_ended(served: Path, hanok: Hanok) -> None:
    run = hanok(served, "run", "travel", "a hotel", "--json").json
    assert run["id"] in hanok(served, "runs", "--state", "waiting").out
    told = hanok(served, "runs", run["id"])
    assert "I need to know when." in told.err
    checkpoints = hanok(served, "runs", run["id"], "--checkpoints", "--json").json["checkpoints"]
    assert checkpoints[0]["next"] == ["act"]
    forked = hanok(served, "fork", run["id"], "hello", "--checkpoint", checkpoints[-1]["id"], "--json").json
    assert (forked["answer"], forked["thread"] != run["thread"]) == ("Ask me for rooms.", True)
    assert "is cancelled" in hanok(served, "cancel", run["id"]).err
    assert hanok(served, "pause", "run_unknown").code == 1
    threads = hanok(served, "threads", "--agent", "travel", "--json").json["threads"]
    assert run["thread"] in [thread["id"] for thread in threads]
    again = hanok(served, "run", "helper", "hello", "--json").json
    assert (
        hanok(served, "run", "helper", "hello", "--thread", again["thread"], "--json").json["thread"] == again["thread"]
    )


def test_agents_are_listed_shown_and_drawn(served: Path, hanok: Hanok) -> None:
    listed = hanok(served, "list", "--json").json["agents"]
    assert (listed[0]["name"], listed[0]["model"], listed[0]["tools"]) == ("travel", "m", ["helper"])
    assert "25 steps · 50 tool calls · 600 s · $0.50" in hanok(served, "show", "helper").out
    drawn = hanok(served, "show", "travel", "--graph").out
    assert "think" in drawn
    assert "-.->" in drawn


def test_at_a_terminal_the_person_there_is_asked_and_ctrl_c_pauses(served: Path) -> None:
    with Terminal(served, "run", "careful", "send") as asked:
        asked.wait_for("Let it?")
        asked.type("n\n")
        asked.wait_for("Why not?")
        asked.type("not today\n")
        assert asked.ended() == 0
        assert "✗ helper" in asked.seen
        assert "not today" in asked.seen
    with Terminal(served, "run", "helper", "wait") as late:
        late.wait_for("step 1")
        late.type("\x03")
        late.wait_for("Ctrl-C again cancels")
        late.type("\x03")
        assert late.ended() == 130
        assert "cancelled" in late.seen


OWN_TERMINAL = """
import fcntl, os, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # so that Ctrl-C is a signal
from hanok.cli import main
main()
"""


class Terminal:
    """A command at a terminal of 60 columns."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self._own, theirs = pty.openpty()
        self._process = subprocess.Popen(
            [sys.executable, "-c", OWN_TERMINAL, "agents", *arguments],
            cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs,
            env={**os.environ, "COLUMNS": "60", "TERM": "xterm", "NO_COLOR": "1"},
        )  # fmt: skip
        os.close(theirs)
        self.seen = ""

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._own)

    def type(self, text: str) -> None:
        os.write(self._own, text.encode())

    def wait_for(self, text: str) -> None:
        while text not in self.seen:
            assert self._read(), f"{text!r} was not shown:\n{self.seen}"

    def ended(self) -> int:
        while self._read():
            pass
        return self._process.wait(20)

    def _read(self) -> bool:
        try:
            piece = os.read(self._own, 65536)
        except OSError:  # the terminal is closed: the command has ended
            return False
        self.seen += re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", piece.decode("utf-8", "replace"))
        return bool(piece)


def event(seq: int, type_: str, **data: Any) -> dict[str, Any]:
    return {"run": "r", "seq": seq, "type": type_, "at": 0.0, "data": data}


@pytest.mark.parametrize("width", [20, 44, 120])
def test_on_a_terminal_no_line_is_wider_than_it_in_any_script(width: int) -> None:
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=width, color_system=None)

    async def show() -> None:
        view = RunView(console)
        view.begin("r", "research-agent")
        async with view.shown():
            step = {"id": 1, "text": "서울의 호텔 가격을 비교하고 지하철역에서 가까운 순서로 정렬하기", "state": "open"}
            view.tell(event(1, "plan", steps=[step]))
            view.tell(event(2, "step", step=1, node="think"))
            view.tell(event(3, "token", step=1, text="먼저 호텔을 검색하겠습니다. " * 9))
            await asyncio.sleep(0)
            view.tell(event(4, "tool_call", id="c", name="web_search", arguments={"query": "호텔 " * 40}))
            view.tell(event(5, "tool_call", id="d", name="web_search", arguments={"query": "b"}))
            await asyncio.sleep(0)
            view.tell(
                event(6, "tool_result", id="c", name="web_search", content="결과 " * 90, failed=False, seconds=0.1)
            )
            view.tell(event(7, "plan", steps=[{**step, "state": "done"}]))

    asyncio.run(show())
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", file.getvalue()).replace("\r", "\n")
    assert "✓ 1. 서울" in shown
    assert "…" in shown
    assert max(cell_len(line) for line in shown.splitlines()) <= width


def test_dollars_are_told_as_finely_as_they_are() -> None:
    told = [dollars(value) for value in (0, 0.00001, 0.0001, 0.0312, 0.1, 1.5, 1234.5)]
    assert told == ["$0.00", "<$0.0001", "$0.0001", "$0.0312", "$0.10", "$1.50", "$1,234.50"]


@pytest.mark.parametrize("by_server", [False, True], ids=["without a server", "with one"])
def test_what_an_agent_remembers_is_listed_and_forgotten(tmp_path: Path, hanok: Hanok, by_server: bool) -> None:
    remember = {"name": "remember", "arguments": {"text": "The user drinks only tea"}}
    turns = [{"tool": "remember", "say": "Noted."}, {"call": remember}]
    platform = {
        "models": [{"name": "m", "serve": {"engine": "script", "turns": turns}}, EMBED],
        "agents": [{"name": "waiter", "memory": {"long_term": {}}}, {"name": "plain"}],
    }
    file = tmp_path / "platform.yaml"
    file.write_text(yaml.safe_dump(platform), "utf-8")
    with open_house(file) if by_server else contextlib.nullcontext() as house:
        if house is not None:
            host, _, port = house.url.removeprefix("http://").partition(":")
            write_server(tmp_path / ".hanok", RunningServer(process_id=os.getpid(), host=host, port=int(port)))
        assert hanok(tmp_path, "run", "waiter", "I only drink tea").code == 0
        (memory,) = hanok(tmp_path, "memories", "waiter", "--json").json["memories"]
        assert memory["text"] == "The user drinks only tea"
        assert "The user drinks only tea" in hanok(tmp_path, "memories", "waiter").out
        assert hanok(tmp_path, "memories", "waiter", "--user", "ann").out == "Nothing is remembered.\n"
        assert "remembers nothing beyond its threads" in hanok(tmp_path, "memories", "plain").err
        assert "there is no memory 'x'" in hanok(tmp_path, "memories", "waiter", "--forget", "x").err
        assert hanok(tmp_path, "memories", "waiter", "--forget", memory["id"]).out == "Forgotten: 1.\n"
        assert hanok(tmp_path, "memories", "waiter", "--forget-all", "--json").json == {"forgotten": 0}
