"""Tools of MCP servers: started and reached, by the official SDK and by one that lies."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

pytest.importorskip("mcp", reason='MCP is not installed: pip install "hanok[agents]"')

from hanok.errors import ToolUnavailable
from tests import mcp_child
from tests.conftest import wait_until
from tests.engine import fake_engine, status
from tests.mcp_toolbox import CHILD, HOSTILE, Box, Forgetful, Reached, loop_thread, opened, started

Open = Callable[..., Box]


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    with loop_thread() as loop:
        yield loop


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory, loop: asyncio.AbstractEventLoop) -> Iterator[Box]:
    """A server of the official SDK, started by us."""
    folder = tmp_path_factory.mktemp("real")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HANOK_TEST_SECRET", "not for others")
        with opened(folder, loop, command=started(CHILD), env={"TOKEN": "declared"}, usd=0.001) as box:
            box.open()
            yield box


@pytest.fixture(scope="module")
def reached(loop: asyncio.AbstractEventLoop) -> Iterator[Reached]:
    server = Reached(loop)
    yield server
    server.stop()


@pytest.fixture
def open_box(tmp_path: Path, loop: asyncio.AbstractEventLoop) -> Iterator[Open]:
    with ExitStack() as stack:
        yield lambda **declared: stack.enter_context(opened(tmp_path, loop, **declared))


@pytest.fixture
def hostile(open_box: Open) -> Open:
    return lambda how, **declared: open_box(command=started(HOSTILE, how), **{"retries": 0, **declared})


# a server that is started


def test_tools_of_a_started_server_are_offered_under_its_name(real: Box) -> None:
    offered = {tool.spec.name: tool.spec for tool in real.open()}
    assert {"srv__add", "srv__key", "srv__fail", "srv__delete_everything_"} <= set(offered)
    add = offered["srv__add"]
    assert (add.description, add.cost_nano_usd) == ("Add two numbers.", 1_000_000)
    assert add.parameters["properties"].keys() == {"a", "b"}


def test_only_what_says_that_it_may_be_is_repeated(real: Box) -> None:
    safe = {tool.spec.name for tool in real.open() if tool.spec.safe}
    assert safe == {"srv__add"}


def test_a_tool_answers_with_text_and_data(real: Box) -> None:
    result = real.use("add", a=1, b=2)
    assert (result.content, result.failed, result.data) == ("3", False, {"structured": {"result": 3}})


def test_a_server_sees_nothing_of_our_environment_but_what_it_needs_to_run(real: Box) -> None:
    seen = json.loads(real.use("environment").content)
    assert seen["TOKEN"] == "declared"
    assert seen.keys() <= {"PATH", "HOME", "LANG", "LC_CTYPE", "TOKEN", "PID"}


def test_the_idempotency_key_and_the_span_travel_with_the_call(real: Box) -> None:
    assert real.use("key").content == "run_1/1/call_1 00-1-2-01"


def test_a_tool_that_fails_says_so(real: Box) -> None:
    result = real.use("fail")
    assert result.failed
    assert "the disk is full" in result.content


def test_a_question_to_a_person_is_declined(real: Box) -> None:
    result = real.use("ask")
    assert result.failed
    assert "'srv'" in result.content


def test_a_tool_that_comes_later_is_offered_later(real: Box) -> None:
    assert "srv__grown" not in real.names()
    assert real.use("grow").content == "grown"
    wait_until(lambda: "srv__grown" in real.names())


def test_a_call_that_is_given_up_leaves_the_connection_as_it_is(real: Box) -> None:
    async def give_up() -> None:
        task = asyncio.create_task(real.using("wait"))
        await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.wait([task])

    before = json.loads(real.use("environment").content)["PID"]
    real.run(give_up())
    assert json.loads(real.use("environment").content)["PID"] == before


# a server that is reached


def test_tools_of_a_server_that_is_reached_are_used_over_http(reached: Reached, open_box: Open) -> None:
    box = open_box(url=reached.url, private=True, headers={"X-Team": "blue"})
    assert box.use("add", a=1, b=2).content == "3"
    assert box.use("key").content == "run_1/1/call_1 00-1-2-01"
    sent = json.loads(box.use("sent").content)
    assert (sent["x-team"], sent["accept-encoding"]) == ("blue", "identity")
    assert sent["user-agent"].startswith("hanok/")


def test_a_private_address_is_not_asked_unless_that_is_declared(reached: Reached, open_box: Open) -> None:
    with pytest.raises(ToolUnavailable, match=r"127\.0\.0\.1 is of a private network; declare `private: true`"):
        open_box(url=reached.url).open()


def test_addresses_of_credentials_are_never_asked(open_box: Open) -> None:
    with pytest.raises(ToolUnavailable, match="where a cloud tells machines their credentials"):
        open_box(url="http://169.254.169.254/mcp", private=True).open()


def test_a_call_is_lost_with_its_server_and_the_next_finds_it_again(reached: Reached, open_box: Open) -> None:
    box = open_box(url=reached.url, private=True)
    box.open()
    waiting = asyncio.run_coroutine_threadsafe(box.using("wait"), box.loop)
    assert mcp_child.WAITING.wait(10)
    reached.stop()
    lost = waiting.result(10)
    assert lost.failed
    assert "'srv'" in lost.content
    reached.start()
    assert box.use("add", a=1, b=1).content == "2"


def test_a_server_that_has_forgotten_its_sessions_is_greeted_anew(
    loop: asyncio.AbstractEventLoop, open_box: Open
) -> None:
    forgetful = Forgetful()
    server = Reached(loop, forgetful)
    box = open_box(url=server.url, private=True)
    assert box.use("count").content == "session-1"
    forgetful.sessions.clear()
    assert box.use("count").content == "session-2"
    box.close()
    server.stop()


def test_many_calls_at_once_share_one_server(real: Box) -> None:
    async def at_once() -> list[str]:
        results = await asyncio.gather(*(real.using("add", a=number, b=1) for number in range(50)))
        return [result.content for result in results]

    assert real.run(at_once()) == [str(number + 1) for number in range(50)]


def test_an_answer_over_http_that_is_too_long_is_not_taken(open_box: Open) -> None:
    long = status(200, b'{"x": "' + b"x" * 300_000 + b'"}')
    with fake_engine(long) as engine, pytest.raises(ToolUnavailable, match="longer than 100000 bytes"):
        open_box(url=f"{engine.url}/mcp", private=True, max_bytes=100_000).open()


def test_a_server_that_wants_another_key_is_told_by_its_status(open_box: Open) -> None:
    with fake_engine(status(401, b'{"error": "no"}')) as engine, pytest.raises(ToolUnavailable, match="HTTP 401"):
        open_box(url=f"{engine.url}/mcp", private=True).open()


# a server that lies


def test_what_a_server_lists_is_bounded_and_what_is_left_out_is_said(hostile: Open) -> None:
    box = hostile("odd")
    specs = {tool.spec.name: tool.spec for tool in box.open()}
    assert [name[:24] for name in specs] == [
        "srv__plain", "srv__a_b", "srv__a_b_c14cddc0", "srv__nnnnnnnnnnnnnnnnnnn", "srv__wordy", "srv__slow",
        "srv__hidden", "srv__big",
    ]  # fmt: skip
    assert max(len(name) for name in specs) == 64
    assert len(specs["srv__wordy"].description) == 4000
    said = "\n".join(box.tools.notes)
    for reason in (
        "'plain' is not offered: the server lists that name twice",
        "'wrong' is not offered: its schema is none",
        "'elsewhere' is not offered: its schema refers to another document",
        "'nowhere' is not offered: its schema is none",
        "'endless' is not offered: its schema is nested too deeply",
        "'huge' is not offered: its schema is longer than 32000 characters",
    ):
        assert reason in said


def test_patterns_of_strangers_are_told_to_models_and_never_run(hostile: Open) -> None:
    specs = {tool.spec.name: tool.spec for tool in hostile("odd").open()}
    assert specs["srv__slow"].parameters == {
        "type": "object",
        "properties": {"pattern": {"type": "string", "description": "Letters. (pattern: ^(a+)+$)"}},
    }


def test_tools_are_chosen_by_patterns_of_their_names(hostile: Open) -> None:
    assert hostile("odd", include=["*b", "hidden"], exclude=["hid*"], prefix=False).names() == ["a_b", "a_b_c14cddc0"]


@pytest.mark.parametrize(("how", "offered"), [("many", 200), ("pages", 50), ("none", 0)])
def test_lists_that_are_too_long_or_none_are_bounded(hostile: Open, how: str, offered: int) -> None:
    box = hostile(how)
    assert len(box.open()) == offered
    assert len(box.tools.notes) <= 21


def test_results_that_are_no_text_are_named(hostile: Open) -> None:
    box = hostile("odd")
    assert box.use("a_b").content.split("\n\n") == [
        "[image, image/png, 3 bytes: it cannot be shown here]",
        "[link to report: file:///r.txt]",
        "[file:///t.txt]\nwhat it says",
        "[file:///b.bin, binary, 4 bytes: it cannot be shown here]",
    ]
    assert (box.use("a_b_c14cddc0").content, box.use("a_b_c14cddc0").data) == (
        '{"answer": 42}',
        {"structured": {"answer": 42}},
    )
    assert box.use("wordy").failed
    broken = box.use("slow")
    assert broken.failed
    assert "answers against the protocol" in broken.content


def test_an_answer_that_is_too_long_is_read_past_and_the_connection_holds(hostile: Open) -> None:
    box = hostile("odd", max_bytes=1_000_000)
    result = box.use("big")
    assert result.failed
    assert "longer than 1000000 bytes" in result.content
    assert box.use("wordy").content == "there is no such row"


def test_who_asks_back_is_told_no_and_who_is_given_up_is_told_so(hostile: Open) -> None:
    box = hostile("odd", timeout_s=1)
    asking = next(name for name in box.names() if "nnn" in name).removeprefix("srv__")
    assert "Elicitation not supported" in box.use(asking).content
    late = box.use("plain")
    assert late.failed
    assert "did not answer in time" in late.content
    assert "timed out" in box.use("hidden").content


def test_a_server_that_dies_fails_the_call_and_is_started_anew_for_the_next(hostile: Open) -> None:
    box = hostile("odd")
    first = process_of(box)
    died = box.use("plain", cut=True)
    assert died.failed
    assert "has ended with exit code 7; whether it was done is not known" in died.content
    second = process_of(box)
    assert second != first
    box.close()
    assert not is_running(first)
    assert not is_running(second)


def test_a_server_that_nobody_uses_ends_and_is_started_when_it_is_needed_again(hostile: Open) -> None:
    box = hostile("odd", idle_s=0.01)
    first = process_of(box)
    wait_until(lambda: not is_running(first))
    assert "srv__plain" in box.names(), "what it offers is known"
    assert process_of(box) != first


def test_who_does_not_wait_for_a_start_leaves_it_to_who_comes_next(hostile: Open) -> None:
    box = hostile("late", idle_s=3.0)
    first = process_of(box)
    wait_until(lambda: not is_running(first))

    async def impatient() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await box.using("hidden")

    box.run(impatient())
    process_of(box)
    assert (box.folder / "logs" / "mcp-srv.log").read_text().count("started") == 2


def is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def process_of(box: Box) -> int:
    return json.loads(box.use("hidden").content)["pid"]


def test_a_server_that_hangs_is_waited_for_once_and_then_left_alone_a_moment(hostile: Open) -> None:
    box = hostile("hang", open_s=1.0)
    with pytest.raises(ToolUnavailable, match=r"did not answer within 1 s"):
        box.open()
    begun = time.monotonic()
    with pytest.raises(ToolUnavailable, match=r"did not answer within 1 s"):
        box.open()
    assert time.monotonic() - begun < 0.7


def test_a_server_that_cannot_start_names_its_log(hostile: Open) -> None:
    box = hostile("crash")
    with pytest.raises(ToolUnavailable, match="has ended with exit code 1") as failed:
        box.open()
    log = box.folder / "logs" / "mcp-srv.log"
    assert str(log) in str(failed.value)
    assert "there is no licence" in log.read_text()


def test_what_is_no_message_is_passed_over(hostile: Open) -> None:
    assert "srv__plain" in hostile("noise").names()


def test_a_program_that_is_not_there_is_said(open_box: Open) -> None:
    with pytest.raises(ToolUnavailable, match="there is no program 'no-such-server' to start"):
        open_box(command=["no-such-server"]).open()


def test_secrets_are_handed_over_and_shown_nowhere(open_box: Open) -> None:
    from pydantic import SecretStr

    box = open_box(url="http://127.0.0.1:1/mcp", private=True, headers={"Authorization": SecretStr("Bearer s3cret")})
    with pytest.raises(ToolUnavailable) as failed:
        box.open()
    assert "s3cret" not in str(failed.value)
