"""Teams, users, budgets, limits and where they are kept: what is refused, and where it is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from hanok.errors import SpecError
from hanok.spec import Platform
from hanok.spec.load import parse

MODELS = "models:\n- {name: small, serve: {engine: echo}}\n- {name: large, serve: {engine: echo}, fallbacks: [small]}\n"


def read(text: str) -> Platform:
    return parse(MODELS + text, Path("platform.yaml"), {}).platform


def test_policies_are_read() -> None:
    platform = read(
        """
teams: [{name: research, models: [small, "l*"], weight: 2}]
users: [{name: alice, team: research}]
budgets:
- {of: team, name: research, usd: 100, per: month, downgrade_to: small}
- {of: session, usd: 0.5}
- {of: run, tokens: 100000}
limits: [{of: key, requests_per_minute: 60, tokens_per_minute: 10000, concurrent: 4}]
ledger: {redis: "redis://localhost:6379/0"}
telemetry: {export: {url: "http://localhost:4318"}}
"""
    )
    assert platform.budgets[0].soft == 0.8
    assert platform.budgets[2].per == "ever"
    assert platform.telemetry.export[0].to == "otlp"
    assert platform.models[1].fallbacks.error == ["small"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("budgets: [{of: team, name: nobody, usd: 1}]", "4:28 budgets[0].name: no team is called 'nobody'"),
        ("budgets: [{of: key, usd: 1}, {of: key, usd: 2}]", "4:45 budgets[1].usd: budgets[0] says the same thing"),
        ("budgets: [{of: key}]", "4:11 budgets[0]: limits nothing"),
        ("budgets: [{of: key, usd: -1}]", "4:26 budgets[0].usd: "),
        ("budgets: [{of: planet, usd: 1}]", "4:16 budgets[0].of: "),
        ("budgets: [{of: session, name: s, usd: 1}]", "4:31 budgets[0].name: a session is not known by name"),
        ("budgets: [{of: key, usd: 1, downgrade_to: tiny}]", "4:43 budgets[0].downgrade_to: no model is called 'tiny'"),
        ("limits: [{of: model, name: big, concurrent: 1}]", "4:28 limits[0].name: no model is called 'big'"),
        ("limits: [{of: key}]", "4:10 limits[0]: limits nothing"),
        ("teams: [{name: a}, {name: a}]", "4:27 teams[1].name: the name 'a' is taken by teams[0]"),
        ("teams: [{name: a, models: [smal]}]", "4:28 teams[0].models[0]: no model is called 'smal'"),
        ("users: [{name: a, team: b}]", "4:25 users[0].team: no team is called 'b'"),
        ("ledger: {redis: 'http://x'}", "4:17 ledger.redis: must begin with redis://"),
        ("ledger: {database: 'mysql://x'}", "4:20 ledger.database: must begin with postgresql://"),
        (
            "runs: {database: 'valkey://x'}",
            "4:18 runs.database: must begin with postgresql:// or postgres:// or redis://",
        ),
        ("gateway: {workers: 2}\nbudgets: [{of: key, usd: 1}]", "4:20 gateway.workers: several workers cannot agree"),
        ("gateway: {admin_key: short}", "4:22 gateway.admin_key: "),
        ("telemetry: {export: {to: langfuse, url: 'http://x'}}", "4:21 telemetry.export: langfuse needs"),
    ],
)
def test_what_cannot_hold_is_told_at_its_place(text: str, told: str) -> None:
    with pytest.raises(SpecError) as failed:
        read(text)
    assert len(failed.value.problems) == 1
    assert str(failed.value.problems[0]).startswith(f"platform.yaml:{told}")
