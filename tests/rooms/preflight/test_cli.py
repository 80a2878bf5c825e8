"""`hanok preflight` at the door: what it is given, what it prints, how it ends."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.interrupts import heeding
from tests.rooms.preflight.conftest import Hanok, told, write

NAMESPACE = "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: shop\n"
TWICE = f"{NAMESPACE}metadata:\n  name: other\n"


@pytest.mark.parametrize(
    ("text", "options", "status", "verdict"),
    [
        (NAMESPACE, [], 0, "proved"),
        (TWICE, [], 1, "refuted"),
        (TWICE, ["--skip", "HK002"], 0, "proved"),
        (TWICE, ["--skip", "HK002", "--skip", "HK007"], 0, "proved"),
        (TWICE, ["--select", "HK007,HK009"], 0, "proved"),
        (TWICE, ["--select", "hk0"], 1, "refuted"),
        (TWICE, ["--min-severity", "error"], 1, "refuted"),
        (f"{NAMESPACE}# hanok: ignore HK001\n", [], 0, "proved"),
        (f"{NAMESPACE}# hanok: ignore HK001\n", ["--strict"], 1, "refuted"),
        ("a: 1\n", [], 3, "unknown"),
        ("a: 1\n", ["--allow-unknown"], 0, "unknown"),
        (TWICE, ["--allow-unknown"], 1, "refuted"),
    ],
)
def test_the_exit_code_is_the_verdict(hanok: Hanok, text: str, options: list[str], status: int, verdict: str) -> None:
    write("a.yaml", text)
    found = told(hanok, "a.yaml", *options)
    assert (found[0], found[1]["verdict"]) == (status, verdict)


def test_a_proof_is_told_in_one_sentence(hanok: Hanok) -> None:
    write("a.yaml", NAMESPACE)
    status, out, err = hanok("preflight", "a.yaml")
    assert (status, err) == (0, "")
    assert "✓ proved: 1 object in 1 file" in out


def test_a_refutation_is_told_with_its_line_and_its_page(hanok: Hanok) -> None:
    write("a.yaml", TWICE)
    status, out, _ = hanok("preflight", "a.yaml")
    assert status == 1
    assert "✗ refuted: `metadata` is written twice; first in line 3" in out
    assert "a.yaml:5 · hanok rules show HK002" in out


def test_manifests_come_in_by_a_pipe(hanok: Hanok) -> None:
    status, found = told(hanok, "-", stdin=TWICE.encode())
    assert (status, [(each["rule"], each["file"]) for each in found["findings"]]) == (1, [("HK002", "stdin")])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["none.yaml"], "none.yaml cannot be read"),
        ([], "platform.yaml cannot be read"),
        (["empty"], "empty: no YAML there"),
        (["a.yaml", "--select", "XY1"], "no rule begins with 'XY1'"),
        (["a.yaml", "--skip", "HK999"], "no rule begins with 'HK999'"),
        (["a.yaml", "--sarif", "none/there.sarif"], "none/there.sarif cannot be written"),
        (["loop.yaml"], "loop.yaml cannot be read"),
    ],
)
def test_wrong_input_ends_with_2_and_says_so_in_json_too(hanok: Hanok, arguments: list[str], words: str) -> None:
    write("a.yaml", NAMESPACE)
    Path("empty").mkdir()
    Path("loop.yaml").symlink_to("loop.yaml")
    status, found = told(hanok, *arguments)
    assert status == 2
    assert words in found["error"]["message"]
    assert (found["verdict"], found["findings"]) == (None, [])
    status, out, err = hanok("preflight", *arguments)
    assert words in err
    assert out == ""


def test_an_absolute_path_below_this_folder_is_told_as_a_relative_one(hanok: Hanok, tmp_path: Path) -> None:
    write("deploy/a.yaml", TWICE)
    _, found = told(hanok, str(tmp_path / "deploy"))
    assert [each["file"] for each in found["findings"]] == ["deploy/a.yaml"]


def test_binary_junk_is_a_finding(hanok: Hanok) -> None:
    write("a.yaml", bytes(range(256)) * 100)
    write("b.yaml", b"\x00\x01\x02 text: yes")
    write("c.json", b"\x1f\x8b\x08" + os.urandom(1000))
    status, found = told(hanok, ".")
    assert status == 1
    assert {each["file"] for each in found["findings"] if each["rule"] == "HK001"} == {"a.yaml", "b.yaml", "c.json"}


def test_a_file_of_100_mb_is_not_read_whole(hanok: Hanok) -> None:
    write("deploy/a.yaml", NAMESPACE)
    with Path("deploy/big.yaml").open("wb") as big:
        big.truncate(100 * 1024 * 1024)
    status, found = told(hanok, "deploy")
    assert status == 1
    assert ["too large" in each["message"] for each in found["findings"]] == [True]


def test_links_that_go_round_are_not_followed(hanok: Hanok) -> None:
    write("deploy/a.yaml", NAMESPACE)
    Path("deploy/again").symlink_to("..", target_is_directory=True)
    Path("deploy/loop.yaml").symlink_to("loop.yaml")
    status, found = told(hanok, "deploy")
    assert (status, found["findings"]) == (0, [])


def test_a_folder_that_may_not_be_read_is_a_finding(hanok: Hanok, monkeypatch: pytest.MonkeyPatch) -> None:
    write("deploy/open/a.yaml", NAMESPACE)
    Path("deploy/shut").mkdir()
    listed = Path.iterdir

    def refuse(folder: Path) -> Any:  # whoever runs tests as root may read every folder
        if folder.name == "shut":
            raise PermissionError(13, "Permission denied")
        return listed(folder)

    monkeypatch.setattr(Path, "iterdir", refuse)
    status, found = told(hanok, "deploy")
    assert (status, [each["file"] for each in found["findings"]]) == (1, ["deploy/shut"])


@pytest.mark.parametrize("kind", ["text", "json", "sarif", "junit", "github"])
def test_every_form_can_be_printed(hanok: Hanok, kind: str) -> None:
    write("a.yaml", TWICE)
    status, out, err = hanok("preflight", "a.yaml", "--output", kind)
    assert (status, err) == (1, "")
    assert "HK002" in out
    if kind in ("json", "sarif"):
        json.loads(out)
    if kind == "junit":
        ElementTree.fromstring(out)


def test_reports_are_written_beside_the_text(hanok: Hanok) -> None:
    write("a.yaml", TWICE)
    status, out, _ = hanok("preflight", "a.yaml", "--sarif", "a.sarif", "--junit", "a.xml")
    assert status == 1
    assert "refuted" in out
    rules = json.loads(Path("a.sarif").read_text("utf-8"))["runs"][0]["tool"]["driver"]["rules"]
    assert {each["id"] for each in rules} >= {"HK001", "HK002", "HK009"}
    assert ElementTree.parse("a.xml").getroot().attrib["failures"] == "1"


def test_findings_below_a_severity_are_not_reported(hanok: Hanok) -> None:
    write("a.yaml", f"{TWICE}---\n- 1\n")
    every, grave = (told(hanok, "a.yaml", *options)[1] for options in ([], ["--min-severity", "error"]))
    assert {each["severity"] for each in every["findings"]} >= {"error", "info"}
    assert {each["severity"] for each in grave["findings"]} == {"error"}


def test_a_layer_that_was_not_asked_claims_nothing(hanok: Hanok) -> None:
    write("a.yaml", NAMESPACE)
    assert [each["layer"] for each in told(hanok, "a.yaml", "--select", "HK002,HK3")[1]["claims"]] == [
        "files",
        "scheduling",
    ]
    assert "memory" not in [each["layer"] for each in told(hanok, "a.yaml", "--skip", "HK4")[1]["claims"]]


def test_a_file_that_is_named_beside_its_folder_is_read_once(hanok: Hanok) -> None:
    write("deploy/a.yaml", NAMESPACE)
    assert told(hanok, "deploy/a.yaml", "deploy", "./deploy/a.yaml")[1]["findings"] == []


def test_a_page_and_the_list_of_rules_are_shown(hanok: Hanok) -> None:
    assert "a key written twice" in hanok("rules", "list")[1]
    assert "a key written twice" in hanok("rules", "show", "hk002")[1]
    assert hanok("rules", "show", "HK999")[0] == 2


def test_a_page_in_a_pipe_is_no_wider_than_its_text(hanok: Hanok) -> None:
    assert max(len(line) for line in hanok("rules", "show", "hk002")[1].splitlines()) <= 130


def process(folder: Path, *arguments: str, **variables: str) -> subprocess.Popen[bytes]:
    command = heeding("-m", "hanok", "preflight", *arguments)
    env = {**os.environ, **variables}
    return subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def interrupted(running: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
    """What it said. A signal that comes between opening and reading is seen only after it, so there is another."""
    for _ in range(6):
        running.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return running.communicate(timeout=5)
    raise AssertionError("it did not end")


def test_ctrl_c_ends_with_130_and_no_trace(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "slow.yaml")
    slow = process(tmp_path, "slow.yaml")
    with slow as running, (tmp_path / "slow.yaml").open("wb"):  # opens when it is read
        out, err = interrupted(running)
    assert (running.returncode, out) == (130, b"")
    assert b"Traceback" not in err


@pytest.mark.parametrize("options", [[], ["--json"], ["--output", "junit"]])
def test_a_reader_that_goes_away_leaves_no_trace(tmp_path: Path, options: list[str]) -> None:
    documents = (f"{TWICE}---\n".replace("shop", f"shop-{number}") for number in range(400))
    (tmp_path / "a.yaml").write_text("".join(documents))
    with process(tmp_path, "a.yaml", "--all", *options) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.read(10)
        running.stdout.close()
        assert running.stderr.read() == b""


def test_colours_are_for_terminals_alone(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(TWICE)
    with process(tmp_path, "a.yaml", FORCE_COLOR="", NO_COLOR="1") as running:
        out, _ = running.communicate(timeout=30)
    assert b"HK002" in out
    assert b"\x1b" not in out
