"""Prompts in versions: what is kept, what a label means, and what is told when there is nothing."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import Result
from typer.testing import CliRunner

from hanok.agents.prompts import Prompts, declared_prompts, hash_of
from hanok.agents.values import Order
from hanok.assemble import running
from hanok.cli.app import app
from hanok.errors import AgentError, StoreError
from hanok.spec import load
from hanok.wire import Caller


@pytest.fixture
def prompts(tmp_path: Path) -> Prompts:
    kept = Prompts(tmp_path / "state")
    for now, text in enumerate(("One.", "Two.", "Three.")):
        kept.record({"a": text}, now=now)
    return kept


def test_nothing_is_written_until_something_is_kept(tmp_path: Path) -> None:
    kept = Prompts(tmp_path / "state")
    assert (kept.names(), kept.versions("a")) == ([], [])
    with pytest.raises(AgentError, match="no prompt called 'a' is recorded"):
        kept.resolve("a")
    assert not (tmp_path / "state").exists()


def test_every_text_is_a_version_named_by_its_hash_and_latest_moves_by_itself(prompts: Prompts) -> None:
    assert [version.text for version in prompts.versions("a")] == ["Three.", "Two.", "One."]
    latest = prompts.resolve("a")
    assert (latest.text, latest.labels) == ("Three.", ("latest",))
    assert latest.hash == sha256(b"Three.").hexdigest()
    assert prompts.resolve(latest.ref) == latest
    assert prompts.resolve("a@" + hash_of("One.")[:4].upper()).text == "One."


def test_a_text_that_comes_back_is_the_version_that_it_was(prompts: Prompts) -> None:
    recorded = prompts.record({"a": "One."}, now=9)
    assert (recorded["a"].first_at, len(prompts.versions("a"))) == (0, 3)
    assert prompts.resolve("a@latest").text == "One."


def test_a_label_stays_where_people_put_it(prompts: Prompts) -> None:
    assert prompts.label("a@" + hash_of("Two.")[:12], "production", now=4).labels == ("production",)
    prompts.record({"a": "Four."}, now=5)
    assert prompts.resolve("a@production").text == "Two."
    assert prompts.label("a", "production", now=6).text == "Four."
    assert prompts.resolve("a@production").labels == ("latest", "production")
    prompts.unlabel("a", "production")
    with pytest.raises(AgentError, match=r"production.\nhint: it has latest; set one with"):
        prompts.resolve("a@production")


@pytest.mark.parametrize("label", ["latest", "deadbeef", "0123", "", "a b", "x" * 65, "ü"])
def test_a_label_is_a_word_that_no_hash_may_look_like(prompts: Prompts, label: str) -> None:
    with pytest.raises(AgentError, match="label"):
        prompts.label("a", label, now=1)


def test_what_begins_several_hashes_is_asked_again(tmp_path: Path) -> None:
    kept = Prompts(tmp_path)
    texts = [str(number) for number in range(2000)]
    first: dict[str, str] = {}
    pair = next((first[hash_of(t)[:4]], t) for t in texts if first.setdefault(hash_of(t)[:4], t) != t)
    for text in pair:
        kept.record({"a": text}, now=0)
    with pytest.raises(AgentError, match="several versions of 'a' begin with"):
        kept.resolve("a@" + hash_of(pair[0])[:4])
    assert kept.resolve("a@" + hash_of(pair[0])[:12]).text == pair[0]


def test_several_processes_may_record_the_same_at_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        kept = [Prompts(tmp_path) for _ in range(8)]
        list(pool.map(lambda each: each.record({"a": "One.", "b": "Two."}, now=1), kept))
    assert [len(kept[0].versions(name)) for name in ("a", "b")] == [1, 1]


def test_a_broken_file_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / "prompts.db").write_bytes(b"no database" * 100)
    with pytest.raises(StoreError, match=r"prompts\.db cannot be used"):
        Prompts(tmp_path).record({"a": "x"}, now=1)


def test_declared_texts_come_from_the_file_and_from_beside_it(folder: Path) -> None:
    loaded = load(folder / "platform.yaml", {})
    assert declared_prompts(loaded) == {"research": "Be careful.\n", "short": "Be short."}
    (folder / "research.md").unlink()
    with pytest.raises(AgentError, match=r"prompts\[0\]\.file: there is no file"):
        declared_prompts(loaded)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    declared = {
        "models": [{"name": "m", "serve": {"engine": "echo"}}],
        "prompts": [{"name": "research", "file": "research.md"}, {"name": "short", "text": "Be short."}],
        "agents": [{"name": "researcher", "prompt": "research@production"}],
    }
    (tmp_path / "platform.yaml").write_text(yaml.safe_dump(declared))
    (tmp_path / "research.md").write_text("Be careful.\n")
    return tmp_path


def test_the_command_line_lists_shows_and_labels(folder: Path) -> None:
    labelled = told(hanok(folder, "label", "research", "production", "--json"))
    first = hash_of("Be careful.\n")
    assert (labelled["hash"], labelled["labels"]) == (first, ["production"])
    (folder / "research.md").write_text("Be very careful.\n")
    assert hash_of("Be careful.\n")[:12] in hanok(folder, "list").stdout
    shown = hanok(folder, "show", "research")
    assert shown.stdout == "Be very careful.\n"
    assert f"{first[:12]}" in shown.stderr
    assert told(hanok(folder, "show", "research@production", "--json"))["text"] == "Be careful.\n"
    [research, short] = told(hanok(folder, "list", "--json"))["prompts"]
    assert (research["versions"], research["labels"]) == (2, {"production": first})
    assert (research["agents"], short["versions"]) == (["researcher"], 0)
    (folder / "research.md").unlink()
    assert told(hanok(folder, "label", "short", "production", "--json"))["labels"] == ["production"]
    wrong = hanok(folder, "show", "short@prod").exception
    assert isinstance(wrong, AgentError)
    assert wrong.message == "no version of 'short' is called 'prod'"
    assert str(wrong.hint).endswith("set one with `hanok prompts label short prod`")


def hanok(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["prompts", *arguments, "--file", str(folder / "platform.yaml")])


def told(done: Result) -> Any:
    assert done.exit_code == 0, done
    return json.loads(done.stdout)


def test_a_label_that_is_not_set_is_told_with_its_line_before_a_run_asks_for_it(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    checked = CliRunner().invoke(app, ["check", str(folder / "platform.yaml")])
    assert checked.exit_code == 0
    assert "platform.yaml:3:11 agents[0].prompt: no version of 'research' is called 'production'" in checked.stderr
    assert "hanok prompts label research production" in checked.stderr
    warned = told(CliRunner().invoke(app, ["check", str(folder / "platform.yaml"), "--json"]))["warnings"]
    assert [(each["line"], each["path"]) for each in warned] == [(3, "agents[0].prompt")]

    async def start() -> None:
        async with running(load(folder / "platform.yaml")):
            pass

    asyncio.run(start())
    assert "agents[0].prompt: no version of 'research' is called 'production'" in caplog.text
    told(hanok(folder, "label", "research", "production", "--json"))
    assert told(CliRunner().invoke(app, ["check", str(folder / "platform.yaml"), "--json"]))["warnings"] == []


def test_a_run_goes_on_with_the_version_that_it_was_ordered_with(folder: Path) -> None:
    turns = [
        {"system": "Be careful.", "tool": "ask_user", "say": "carefully"},
        {"times": 1, "call": {"name": "ask_user", "arguments": {"question": "How?"}}},
        {"system": "Be careless.", "say": "carelessly"},
    ]
    declared = yaml.safe_load((folder / "platform.yaml").read_text())
    declared["models"][0]["serve"] = {"engine": "script", "turns": turns}
    declared["agents"][0] |= {"prompt": "research@production", "questions": True}
    (folder / "platform.yaml").write_text(yaml.safe_dump(declared))
    told(hanok(folder, "label", "research", "production", "--json"))

    async def begin_and_change() -> tuple[str | None, str | None, str | None]:
        async with running(load(folder / "platform.yaml")) as house:
            agency = house.wing.agency
            assert agency is not None
            await house.fleet.wait_started(["m"])
            input_ = ({"role": "user", "content": "go"},)
            order = Order(agent="researcher", input=input_, caller=Caller(key_id="k", key_name="k"))
            asked = await agency.ended((await agency.start(order)).id, tenant=None)
            (folder / "research.md").write_text("Be careless.")
            told(hanok(folder, "label", "research", "production", "--json"))
            answers = {id_: {"text": "as you like"} for id_ in asked.wanted}
            done = await agency.ended((await agency.answer(asked.id, answers, tenant=None, by="k")).id, tenant=None)
            other = await agency.ended((await agency.start(order)).id, tenant=None)
            return asked.prompt, done.answer, other.answer

    version, answer, another = asyncio.run(begin_and_change())
    assert version == f"research@{hash_of('Be careful.' + chr(10))}"
    assert (answer, another) == ("carefully", "carelessly")


def test_a_run_whose_prompt_is_not_there_is_refused_when_it_is_ordered(folder: Path) -> None:
    async def start() -> int:
        async with running(load(folder / "platform.yaml")) as house:
            agency = house.wing.agency
            assert agency is not None
            input_ = ({"role": "user", "content": "go"},)
            with pytest.raises(AgentError, match="no version of 'research' is called 'production'"):
                await agency.start(Order(agent="researcher", input=input_, caller=Caller(key_id="k", key_name="k")))
            return len(await agency.runs(tenant=None))

    assert asyncio.run(start()) == 0
