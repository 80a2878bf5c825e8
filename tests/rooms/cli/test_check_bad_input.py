"""`hanok check` on wrong files, as a process: exit code 2, the mistakes on stderr, and never a traceback."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import forked

Run = Callable[..., "subprocess.CompletedProcess[str]"]

MODEL = "models:\n- name: a\n  serve: {engine: echo}\n"
COLOUR = re.compile(r"\x1b\[[0-9;]*[34][0-7]m")


def openai(more: str) -> str:
    return f"models:\n- name: a\n  serve: {{engine: openai, {more}}}\n"


@pytest.fixture
def check(tmp_path: Path) -> Run:
    """`hanok check` on a file with this content, in a folder of its own."""

    def run(
        content: str | bytes | None, *arguments: str, command: str = "check", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        if content is not None:
            (tmp_path / "platform.yaml").write_bytes(content.encode() if isinstance(content, str) else content)
        plain = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
        typed = (command, *(arguments or ("platform.yaml",)))
        return forked.command(tmp_path, *typed, env={**plain, "COLUMNS": "40", **environment}, timeout=30)

    return run


def test_one_mistake_is_one_error_with_a_hint_on_stderr(check: Run) -> None:
    done = check(f"{MODEL}gateway:\n  prot: 80\n")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: platform.yaml:5:3 gateway.prot: unknown key 'prot'\n  hint: did you mean 'port'?\n"


def test_several_mistakes_are_as_many_errors_in_the_order_of_the_file(check: Run) -> None:
    done = check(f"zzz: 1\n{MODEL}  retry: 3\ngateway: {{prot: 80}}\n")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        "error: platform.yaml:1:1 zzz: unknown key 'zzz'",
        "  hint: known keys here: name, state, gateway, ledger, telemetry, cache, batches, models, tiers, knowledge, "
        "vector_stores, milvus, prompts, tools, agents, runs, teams, users, budgets, limits, cluster",
        "platform.yaml:5:3 models[0].retry: unknown key 'retry'",
        "  hint: did you mean 'retries'?",
        "platform.yaml:6:11 gateway.prot: unknown key 'prot'",
        "  hint: did you mean 'port'?",
    ]


def test_a_file_that_is_not_there_is_told_with_what_to_do(check: Run) -> None:
    done = check(None, "nowhere.yaml")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: nowhere.yaml: no such file\n  hint: write a starter with `hanok init`\n"


def test_for_machines_too_the_mistakes_are_on_stderr(check: Run) -> None:
    done = check(f"{MODEL}zzz: 1\n", "platform.yaml", "--json")
    assert done.returncode == 2
    assert "platform.yaml:4:1 zzz: unknown key 'zzz'" in done.stderr


def test_a_secret_of_the_environment_is_not_shown(check: Run) -> None:
    done = check(f"{MODEL}gateway: {{port: '${{env:KEY}}'}}\n", KEY="sk-very-secret")
    assert done.returncode == 2
    assert done.stderr.startswith("error: platform.yaml:4:17 gateway.port: ")
    assert "sk-very-secret" not in done.stdout + done.stderr


def test_errors_have_colour_where_it_is_wanted(check: Run) -> None:
    done = check(f"{MODEL}zzz: 1\n", FORCE_COLOR="1", TERM="xterm-256color")
    assert done.returncode == 2
    assert COLOUR.search(done.stderr)
    assert "platform.yaml:4:1 zzz: unknown key 'zzz'" in done.stderr


def test_no_color_is_respected(check: Run) -> None:
    done = check(f"{MODEL}zzz: 1\n", FORCE_COLOR="1", NO_COLOR="1", TERM="xterm-256color")
    assert done.returncode == 2
    assert not COLOUR.search(done.stderr)
    assert "platform.yaml:4:1 zzz: unknown key 'zzz'" in done.stderr


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (b"name: \xff\n", "platform.yaml:1:7"),
        pytest.param("name: x\0\n", "platform.yaml:1:8"),
        pytest.param(openai("url: 'http://x:99999/'"), "platform.yaml:3:32"),
        pytest.param('"\\\\[/red]": 1\n', "platform.yaml:1:1"),
    ],
    ids=["not UTF-8", "NUL", "a port", "markup"],
)
def test_nothing_in_a_file_gives_a_traceback(check: Run, content: str | bytes, place: str) -> None:
    done = check(content)
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith(f"error: {place}")
    assert (done.returncode, done.stdout) == (2, "")


def test_a_certificate_that_is_not_there_is_told(check: Run) -> None:
    done = check(openai("url: 'https://x', ca_file: nowhere.pem"))
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("error: ")
    assert "nowhere.pem" in done.stderr
    assert "hint: " in done.stderr
    assert done.returncode == 1


def test_line_100_is_a_number(check: Run) -> None:
    done = check("\n" * 99 + f"zzz: 1\n{MODEL}")
    assert done.stderr.startswith("error: platform.yaml:100:1 zzz: unknown key 'zzz'\n")


def test_names_stay_as_they_are_written(check: Run) -> None:
    done = check("models:\n- name: a:bug:b\n  serve: {engine: echo}\n", COLUMNS="200")
    assert done.returncode == 0
    assert "a:bug:b#1" in done.stdout


def test_a_file_may_have_any_name(check: Run, tmp_path: Path) -> None:
    (tmp_path / "[").mkdir()
    (tmp_path / "[" / "red].yaml").write_text(MODEL, "utf-8")
    done = check(None, "[/red].yaml")
    assert "Traceback" not in done.stderr
    assert "[/red].yaml is valid" in done.stderr
    assert done.returncode == 0


def test_the_doctor_shows_errors_as_they_are_written(check: Run) -> None:
    done = check('"\\\\[/red]": 1\n', "--file", "platform.yaml", command="doctor")
    assert "Traceback" not in done.stderr
    assert "platform.yaml:1:1" in done.stdout
    assert done.returncode == 1
