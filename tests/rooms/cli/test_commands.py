"""The commands that look and keep books, run as a user runs them."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from hanok.cli import packages
from hanok.cli.state import local_key
from hanok.ledger import KeyRing, Ledger
from hanok.spec import Allowance, load
from tests.charges import charge
from tests.conftest import ECHO, free_port
from tests.journeys.test_hanok_up import hanok, start_up


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "platform.yaml").write_text(yaml.safe_dump({"models": [ECHO]}))
    return tmp_path


def test_the_schema_accepts_a_good_file_in_both_forms_of_serve_and_refuses_a_bad_one(folder: Path) -> None:
    import jsonschema_rs

    schema = json.loads(hanok(folder, "schema").stdout)
    validator = jsonschema_rs.validator_for(schema)
    assert validator.is_valid({"models": [{"name": "m", "serve": {"engine": "echo"}}]})
    assert validator.is_valid({"models": [{"name": "m", "serve": [{"engine": "echo"}, {"engine": "llamacpp"}]}]})
    assert not validator.is_valid({"models": [{"name": "m", "serve": {"engine": "ecko"}}]})
    assert validator.is_valid({"models": [{**ECHO, "routing": "session"}, {**ECHO, "routing": {"overload": 2}}]})
    assert not validator.is_valid({"models": [{**ECHO, "routing": "sessions"}]})
    assert not validator.is_valid({"models": [{"name": "m", "serve": {"engine": "echo"}}], "prot": 1})


def test_the_doctor_says_what_is_there_what_is_not_and_how_to_mend_it(folder: Path) -> None:
    dead = {"name": "d", "serve": {"engine": "openai", "url": f"http://127.0.0.1:{free_port()}/v1"}}
    (folder / "platform.yaml").write_text(yaml.safe_dump({"models": [ECHO, dead], "gateway": {"port": free_port()}}))
    seen = hanok(folder, "doctor", "--json", env={**os.environ, "OPENAI_API_KEY": "sk-secret"})
    assert seen.returncode == 1
    assert "sk-secret" not in seen.stdout
    findings = {finding["what"]: finding for finding in json.loads(seen.stdout)["findings"]}
    assert findings["python"]["status"] == "ok"
    assert "OpenAI" in findings["provider keys"]["detail"]
    unreachable = next(finding for what, finding in findings.items() if what.startswith("http"))
    assert (unreachable["status"], bool(unreachable["fix"])) == ("wrong", True)
    (folder / "platform.yaml").write_text("models: [")
    broken = hanok(folder, "doctor")
    assert broken.returncode == 1
    assert "platform.yaml:1" in broken.stdout


TIERS = {
    "models": [
        {"name": name, "serve": {"engine": "script", "turns": [{"say": word}]}, "price": {"output": price}}
        for name, word, price in (("small", "complex", 1), ("medium", "m", 2), ("large", "l", 4))
    ],
    "tiers": [{"simple": "small", "moderate": "medium", "complex": "large"}],
}


def test_tiers_are_explained_with_the_price_of_their_model(folder: Path) -> None:
    (folder / "platform.yaml").write_text(yaml.safe_dump(TIERS))
    seen = hanok(folder, "tiers", "explain", "Summarize this.", "--answer-tokens", "1000000", "--json")
    assert json.loads(seen.stdout) == {
        "name": "auto",
        "tier": "moderate",
        "model": "medium",
        "classifier": "rules",
        "reasons": [{"reason": "says 'summar'", "weight": 2}],
        "cost_usd": 2.0,
        "compared_to": "large",
        "compared_cost_usd": 4.0,
        "saved_usd": 2.0,
    }
    shown = hanok(folder, "tiers", "explain", "Summarize this.").stdout
    assert "MODERATE → medium, by rules" in shown
    assert "+2  says 'summar'" in shown
    assert "small medium large" in hanok(folder, "models").stdout
    assert "no tiers are called 'x'" in hanok(folder, "tiers", "explain", "a", "--name", "x").stderr


def test_tiers_are_explained_by_the_model_that_decides_and_asked_without_a_server(folder: Path) -> None:
    auto = {**TIERS["tiers"][0], "classifier": "model", "classifier_model": "small"}
    (folder / "platform.yaml").write_text(yaml.safe_dump({**TIERS, "tiers": [auto]}))
    found = json.loads(hanok(folder, "tiers", "explain", "hi", "--json").stdout)
    assert (found["tier"], found["classifier"], found["model"]) == ("complex", "model", "large")
    assert hanok(folder, "ask", "hi", "--model", "auto").stdout == "l\n"


def test_without_tiers_there_is_nothing_to_explain(folder: Path) -> None:
    seen = hanok(folder, "tiers", "explain", "hi")
    assert (seen.returncode, "no tiers are declared" in seen.stderr) == (1, True)


def test_a_key_is_shown_once_and_listed_by_its_beginning(folder: Path) -> None:
    made = hanok(folder, "keys", "create", "ann")
    secret = made.stdout.strip()
    assert secret.startswith("hk-")
    assert "only now" in made.stderr
    listed = json.loads(hanok(folder, "keys", "list", "--json").stdout)["keys"]
    assert [(key["name"], key["revoked_at"]) for key in listed] == [("ann", None)]
    assert secret.startswith(listed[0]["key"].rstrip("…"))
    again = hanok(folder, "keys", "create", "ann")
    assert again.returncode == 1
    assert "hanok keys revoke ann" in again.stderr
    assert hanok(folder, "keys", "revoke", listed[0]["id"]).returncode == 0
    assert hanok(folder, "keys", "create", "not a name").returncode == 2


def test_this_machines_own_key_opens_also_after_it_was_rotated_or_its_file_was_spoiled(folder: Path) -> None:
    file, state = folder / ".hanok" / "local.key", folder / ".hanok"
    with Ledger(state) as ledger:
        local, fresh = local_key(state, ledger)
        assert fresh
        assert local_key(state, ledger) == (local, False)
    rotated = hanok(folder, "keys", "rotate", "local").stdout.strip()
    assert file.read_text().strip() == rotated
    with Ledger(state) as ledger:
        assert local_key(state, ledger) == (rotated, False)
        before = ledger.update_key("local", budgets=(Allowance(usd=5.0),))
        elsewhere = ledger.rotate_key("local", grace_s=0).secret
        renewed, fresh = local_key(state, ledger)
        assert fresh
        ring = KeyRing(ledger.list_keys())
        for secret in (renewed, elsewhere):
            key = ring.find(secret)
            assert key is not None
            assert (key.id, key.budgets) == (before.id, before.budgets)
        assert ring.find(rotated) is None
        ledger.revoke_key("local")
        again, fresh = local_key(state, ledger)
        assert fresh
        assert file.read_text().strip() == again
        assert KeyRing(ledger.list_keys()).find(again)


def test_usage_of_nothing_says_so_and_bad_periods_are_refused(folder: Path) -> None:
    assert "Nothing used yet" in hanok(folder, "usage").stdout
    assert json.loads(hanok(folder, "usage", "--by", "day", "--json").stdout) == {"by": "day", "rows": []}
    assert hanok(folder, "usage", "--since", "2026-11-01").returncode == 0
    for wrong in (["--since", "soon"], ["--by", "moon"]):
        refused = hanok(folder, "usage", *wrong)
        assert refused.returncode == 2
        assert "Traceback" not in refused.stderr


def test_check_says_what_would_start(folder: Path) -> None:
    seen = json.loads(hanok(folder, "check", "--json").stdout)
    assert seen["valid"] is True
    assert seen["endpoints"] == [
        {"endpoint": "echo#1", "model": "echo", "engine": "echo", "starts": "in this process", "price": "none"}
    ]


def test_commands_without_a_platform_file_say_how_to_get_one(tmp_path: Path) -> None:
    for command in (["check"], ["models"], ["usage"], ["keys", "list"], ["ask", "x"]):
        refused = hanok(tmp_path, *command)
        assert refused.returncode == 2
        assert "hanok init" in refused.stderr


def test_completion_is_offered_for_the_usual_shells(tmp_path: Path) -> None:
    for shell in ("bash", "zsh", "fish"):
        script = hanok(tmp_path, env={**os.environ, "_HANOK_COMPLETE": f"source_{shell}"})
        assert "hanok" in script.stdout.lower(), shell


def test_check_tells_machines_what_is_wrong_and_people_too(folder: Path) -> None:
    (folder / "platform.yaml").write_text("modles: 1\n")
    seen = hanok(folder, "check", "--json")
    assert seen.returncode == 2
    told = json.loads(seen.stdout)
    assert (told["valid"], told["problems"][0]["line"], told["problems"][0]["path"]) == (False, 1, "modles")
    assert "did you mean 'models'?" in seen.stderr


def test_who_only_asks_the_running_server_needs_no_variable_that_is_set_there(tmp_path: Path) -> None:
    remote = {"engine": "openai", "url": "${env:THEIR_URL}", "key": "${env:THEIR_KEY}", "weight": "${env:WEIGHT}"}
    platform = {
        "models": [ECHO, {"name": "theirs", "routing": "weighted", "serve": remote}],
        "gateway": {"admin_key": "${env:HANOK_ADMIN_KEY}"},
        "tiers": [{"simple": "echo", "moderate": "echo", "complex": "theirs"}],
    }
    (tmp_path / "platform.yaml").write_text(yaml.safe_dump(platform))
    there = {"THEIR_URL": f"http://127.0.0.1:{free_port()}/v1", "THEIR_KEY": "x", "WEIGHT": "2"}
    with contextlib.ExitStack() as stack:
        admin = {"HANOK_ADMIN_KEY": "an-admin-key-long-enough"}
        up = start_up(stack, tmp_path, free_port(), env={**os.environ, **there, **admin})
        up.wait_for("Ready")
        assert hanok(tmp_path, "ask", "hello", "-m", "echo").stdout == "hello\n"
        for command in (["usage"], ["models"], ["batches", "list"], ["keys", "list"], ["tiers", "explain", "hi"]):
            seen = hanok(tmp_path, *command)
            assert (seen.returncode, "variable" in seen.stderr) == (0, False), seen.stderr
        for command in (["fleet"], ["cache", "show"]):
            refused = hanok(tmp_path, *command)
            assert (refused.returncode, "no variable HANOK_ADMIN_KEY" in refused.stderr) == (2, True), refused.stderr
            assert "THEIR_KEY" not in refused.stderr
        assert "theirs#1" in hanok(tmp_path, "fleet", env={**os.environ, **admin}).stdout
    alone = hanok(tmp_path, "ask", "hello", "-m", "echo")
    assert (alone.returncode, "no variable THEIR_KEY" in alone.stderr) == (2, True)


def test_a_server_without_an_admin_api_is_said_to_have_none(tmp_path: Path) -> None:
    (tmp_path / "platform.yaml").write_text(yaml.safe_dump({"models": [ECHO], "gateway": {"reload": False}}))
    with contextlib.ExitStack() as stack:
        start_up(stack, tmp_path, free_port()).wait_for("Ready.")
        lacking = hanok(tmp_path, "fleet")
        assert '{admin_key: "${env:HANOK_ADMIN_KEY}"}' in lacking.stderr
        declared = {"models": [ECHO], "gateway": {"reload": False, "admin_key": "declared-after-the-start"}}
        (tmp_path / "platform.yaml").write_text(yaml.safe_dump(declared))
        late = hanok(tmp_path, "fleet")
        assert (late.returncode, "runs without `gateway.admin_key`" in late.stderr) == (1, True)


def test_the_total_of_usage_is_the_same_however_it_is_grouped(folder: Path) -> None:
    with Ledger(folder / ".hanok") as ledger:
        ledger.start()
        for number, (tier, endpoint, first_token_ms) in enumerate(
            [("simple", "a#1", 10.0), ("simple", "a#1", 30.0), ("complex", "b#1", 0.0), ("complex", "a#1", 50.0)]
        ):
            ledger.record(charge(number, tier=tier, endpoint=endpoint, first_token_ms=first_token_ms))
    by_tier, by_endpoint = (hanok(folder, "usage", "--by", by).stdout.splitlines() for by in ("tier", "endpoint"))
    assert by_tier[-1].split() == by_endpoint[-1].split()
    assert by_tier[-1].split()[-2:] == ["30", "ms"]
    assert next(line for line in by_endpoint if "b#1" in line).split()[-1] == "–"


def test_of_many_who_begin_at_once_one_makes_the_local_key(folder: Path) -> None:
    state = folder / ".hanok"
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(6) as pool:
        ledgers = [stack.enter_context(Ledger(state)) for _ in range(6)]
        found = list(pool.map(lambda ledger: local_key(state, ledger), ledgers))
    assert len({secret for secret, _ in found}) == 1
    assert sorted(fresh for _, fresh in found) == [*[False] * 5, True]


def test_names_are_whole_in_a_pipe_and_models_may_be_parted_by_commas(folder: Path) -> None:
    name = "a" * 64
    made = json.loads(hanok(folder, "keys", "create", name, "--models", "echo,other", "--json").stdout)
    assert made["models"] == ["echo", "other"]
    assert made["secret"] == made["key"]
    line = next(line for line in hanok(folder, "keys", "list").stdout.splitlines() if name in line)
    assert made["id"] in line


def test_what_is_too_short_is_told_how_long_it_must_be(folder: Path) -> None:
    (folder / "platform.yaml").write_text(yaml.safe_dump({"models": [ECHO], "gateway": {"admin_key": "sk-1234"}}))
    assert "must have at least 16 characters" in hanok(folder, "check").stderr
    assert "no such file" in hanok(folder, "import", "litellm", "none.yaml").stderr


def test_looking_at_a_file_imports_nothing_that_agents_need() -> None:
    script = (
        "import sys, hanok.assemble, hanok.cli.look\n"
        "print({'langgraph', 'langchain_core', 'langsmith', 'pymilvus', 'redis'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


def test_a_package_that_the_file_asks_for_and_is_not_there_is_told_by_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "platform.yaml"
    file.write_text("models: [{name: m, serve: {engine: echo}}]\nruns:\n  database: redis://127.0.0.1:1\n")
    monkeypatch.setattr(packages, "find_spec", lambda name: None if name == "redis" else name)
    (told,) = packages.missing_packages(load(file))
    assert str(told) == f"{file}:3:13 runs.database: needs the package redis, which is not installed here\n" + (
        '  hint: pip install "hanok[redis]"'
    )
