"""What people see of a report, in terminals wide and narrow, and in pipes."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from hanok.cli.preflight_view import Looks, show
from hanok.preflight import Case, Finding, Report
from tests.rooms.preflight.told import SEATLESS, deployments, doubts, images, notes, report_on, seats


def seen(report: Report, width: int = 100, *, terminal: bool = True, color: bool = False, **looks: Any) -> str:
    file = io.StringIO()
    console = Console(
        file=file, width=width, force_terminal=terminal, no_color=not color, color_system="standard" if color else None
    )
    show(report, Looks(**looks), console)
    return file.getvalue()


def lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines()]


def test_a_finding_stands_below_its_file_and_object_with_the_line_it_is_about(tmp_path: Path) -> None:
    said = lines(seen(report_on(tmp_path, deployments("api"))))
    assert said[0] == "all.yaml  1 error · 1 warning · 1 open"
    assert said[2:7] == [
        "  Deployment shop/api",
        "    15 ✗ HK901 cannot be scheduled: no node has 4 GPUs",
        '               │ nvidia.com/gpu: "4"  # four of them',
        "               │                 ^^^",
        "               → add an instance type with more GPUs to the pool",
    ]


def test_the_gravest_of_an_object_comes_first_though_it_stands_last_in_the_file(tmp_path: Path) -> None:
    said = seen(report_on(tmp_path, deployments("api")))
    assert said.index("15 ✗ HK901") < said.index("12 ! HK902") < said.index("1 ? HK904")


def test_what_is_said_of_many_objects_is_told_once_with_their_places(tmp_path: Path) -> None:
    text = deployments("a", "b", "c", "d", "e", "f")
    said = seen(report_on(tmp_path, text, {"scheduling": [seats], "consistency": [images]}))
    assert "⋯ and 5 more like it: Deployment shop/b (line 31), Deployment shop/c (line 47)," in said
    assert (said.count("HK901 cannot"), said.count("HK902 `shop")) == (1, 1)
    assert "6 errors · 6 warnings" in said


def test_of_a_rule_that_says_many_different_things_the_first_are_told_and_the_others_named(tmp_path: Path) -> None:
    report = report_on(tmp_path, deployments(*"abcdefgh"), {"consistency": [images]})
    findings = [replace(each, message=f"the image of {each.object}") for each in report.findings]
    said = seen(replace(report, findings=findings))
    assert (said.count("HK902 the image"), "8 warnings" in said) == (3, True)
    assert "⋯ and 5 more of HK902, told with --all: Deployment shop/d" in said
    assert seen(replace(report, findings=findings), everything=True).count("HK902 the image") == 8


def test_two_more_than_that_are_told_as_well(tmp_path: Path) -> None:
    report = report_on(tmp_path, deployments(*"abcde"), {"consistency": [images]})
    findings = [replace(each, message=f"the image of {each.object}") for each in report.findings]
    assert seen(replace(report, findings=findings)).count("HK902 the image") == 5


def test_one_of_several_points_is_indented_below_its_bullet(tmp_path: Path) -> None:
    (found,) = report_on(tmp_path, deployments("a"), {"scheduling": [seats]}).findings
    report = report_on(tmp_path, deployments("a"), {})
    point = replace(found, message=f"no node takes it\n· {'pool ' * 20}\n· the last")
    said = lines(seen(replace(report, findings=[point]), 80))
    first = next(index for index, each in enumerate(said) if each.strip().startswith("· pool"))
    assert said[first].index("pool") == said[first + 1].index("pool")
    assert said[first + 2].strip() == "· the last"


def test_all_folds_nothing(tmp_path: Path) -> None:
    said = seen(report_on(tmp_path, deployments("a", "b", "c")), everything=True)
    assert (said.count("HK901 cannot"), said.count("HK902 `shop"), "more like it" in said) == (3, 3, False)


def test_errors_that_differ_in_a_figure_are_not_folded(tmp_path: Path) -> None:
    report = report_on(tmp_path, deployments("a", "b"))
    first, *others = [each for each in report.findings if each.severity == "error"]
    assert len(others) == 1
    other = replace(others[0], message=first.message.replace("4", "8"))
    assert seen(replace(report, findings=[first, other])).count("✗ HK901") == 2


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 250])
def test_no_line_is_wider_than_the_terminal(tmp_path: Path, width: int) -> None:
    text = deployments("a-name-that-is-long-but-not-unheard-of", "다국어-서비스")
    for line in lines(seen(report_on(tmp_path, text), width)):
        assert sum(2 if ord(each) > 0x1100 and each.isalpha() else 1 for each in line) <= min(width, 120) or "/" in line


def test_a_pipe_folds_no_line_and_has_no_colours(tmp_path: Path) -> None:
    report = report_on(tmp_path, deployments("api"))
    said = seen(report, 10_000, terminal=False)
    assert "\x1b" not in said
    assert any("cannot be scheduled: no node has 4 GPUs" in line for line in lines(said))


def test_a_terminal_has_colours(tmp_path: Path) -> None:
    assert "\x1b[1;31m" in seen(report_on(tmp_path, deployments("api")), color=True)


def test_the_refuted_verdict_names_a_counter_example_last(tmp_path: Path) -> None:
    said = lines(seen(report_on(tmp_path, deployments("api"))))
    assert said[-3:] == [
        " ✗ refuted: Deployment shop/api: cannot be scheduled: no node has 4 GPUs",
        "   all.yaml:15 · hanok rules show HK901",
        "   1 error · 1 warning · 1 note · 1 open · --info shows notes",
    ]


def test_the_unknown_verdict_lists_what_is_missing_once_each(tmp_path: Path) -> None:
    said = lines(seen(report_on(tmp_path, deployments("a", "b"), {"memory": [doubts]})))
    assert said[-3:-1] == [
        " ? unknown: the proof needs what is missing here:",
        "   • Deployment shop/a: the model `shop/secret` is not known; and 1 more like it",
    ]


def test_the_proved_verdict_says_what_it_is_about(tmp_path: Path) -> None:
    said = lines(seen(report_on(tmp_path, deployments("a", "b"), {"scheduling": []})))
    assert said[-1] == " ✓ proved: 2 objects in 1 file, on Kubernetes 1.37, with figures of 2026-07-31"


def test_claims_say_which_layer_holds(tmp_path: Path) -> None:
    said = lines(seen(report_on(tmp_path, deployments("a"))))
    assert " ✗ scheduling   1 error" in said
    assert " ? memory       1 open" in said
    assert " ✓ consistency  1 warning" in said


def test_notes_are_shown_when_they_are_asked_for(tmp_path: Path) -> None:
    report = report_on(tmp_path, deployments("a"), {"consistency": [notes]})
    assert "HK903" not in seen(report)
    assert "1 · HK903 is a Deployment" in seen(report, least="info")


def test_quotes_can_be_left_out(tmp_path: Path) -> None:
    said = seen(report_on(tmp_path, deployments("a")), quote=False)
    assert ("│" in said, "HK901" in said) == (False, True)


def bare(case: Case) -> Iterator[Finding]:
    for each in case.cluster.of("Secret"):
        yield SEATLESS.on(each, "stringData", "token", message="is in plain sight")


def test_the_lines_of_a_secret_are_not_quoted(tmp_path: Path) -> None:
    secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData:\n  token: sesame\n"
    said = seen(report_on(tmp_path, secret, {"schema": [bare]}))
    assert ("is in plain sight" in said, "sesame" in said) == (True, False)


def test_nothing_in_a_manifest_steers_the_terminal(tmp_path: Path) -> None:
    text = deployments("x").replace("name: x", 'name: "\\e[2J\\u202E"')
    said = seen(report_on(tmp_path, f"{text}---\na: \x07\n"))
    assert "Deployment shop/�[2J�" in said
    assert not {"\x1b", "\x07", "\u202e"} & set(said)


def test_strange_terms_are_told_with_the_verdict(tmp_path: Path) -> None:
    report = report_on(tmp_path, deployments("a"), skip=["HK901"], strict=True)
    assert report.verdict == "refuted"
    assert "without HK901 · warnings count as errors" in seen(report)


def test_five_hundred_findings_are_laid_out_at_once(tmp_path: Path) -> None:
    report = report_on(tmp_path, deployments(*(f"app-{number}" for number in range(170))))
    assert len(report.findings) > 500
    began = time.process_time()
    seen(report, everything=True, least="info")
    assert time.process_time() - began < 2
