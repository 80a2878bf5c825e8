"""Every rule's page tells the truth: its bad example is found, its good one is clean."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hanok.preflight import Rule, page, rules
from tests.rooms.preflight.conftest import look_at

RULES = rules()
NOT_SHOWN_IN_TEXT = {"HK008", "HK111", "HK113", "HK323", "HK324", "HK530", "HK601"}
"""Rules whose bad example is no text that a page could show."""
_EXAMPLE = re.compile(r"^## (Bad|Good)$(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
_BLOCK = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def examples(rule: str) -> dict[str, list[str]]:
    return {found[1]: _BLOCK.findall(found[2]) for found in _EXAMPLE.finditer(page(rule))}


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.id)
def test_a_rules_page_shows_what_it_finds_and_how_it_should_be(rule: Rule, tmp_path: Path) -> None:
    assert page(rule.id).startswith(f"# {rule.id}: {rule.title}\n")
    if rule.id in NOT_SHOWN_IN_TEXT:
        return
    shown = examples(rule.id)
    for number, text in enumerate(shown["Bad"]):
        found = look_at(tmp_path / f"bad{number}", {"bad.yaml": text}).findings
        assert rule.id in [each.rule.id for each in found], text
    for number, text in enumerate(shown["Good"]):
        found = look_at(tmp_path / f"good{number}", {"good.yaml": text}).findings
        told = [f"{each.rule.id} {each.message}" for each in found if each.severity == "error" or each.rule is rule]
        assert told == [], text
    assert shown["Bad"]
    assert shown["Good"]


def test_no_page_is_about_a_rule_that_is_gone() -> None:
    folder = Path(__file__).parents[3] / "src" / "hanok" / "preflight" / "pages"
    assert {path.stem for path in folder.glob("*.md")} == set(RULES)
