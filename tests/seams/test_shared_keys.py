"""Gateways that share a ledger, as pods of a cluster do: none of them takes another's key away."""

from __future__ import annotations

import contextlib
import socket
from http import HTTPStatus
from pathlib import Path

import pytest
import yaml

from hanok.cli.state import local_caller, own_secret
from hanok.ledger import KeyRing, Ledger
from hanok.spec import load
from tests.calls import call
from tests.conftest import ECHO, free_port, wait_until
from tests.journeys.test_hanok_up import start_up
from tests.postgres import Postgres


def platform(folder: Path, database: str) -> Path:
    """A folder with a platform whose ledger others share."""
    folder.mkdir()
    (folder / "platform.yaml").write_text(yaml.safe_dump({"models": [ECHO], "ledger": {"database": database}}))
    return folder


@pytest.mark.slow
def test_two_gateways_on_one_postgres_start_without_a_key_and_take_the_one_that_is_made(
    tmp_path: Path, postgres: Postgres
) -> None:
    database = postgres.fresh()
    with contextlib.ExitStack() as stack:
        started = [start_up(stack, platform(tmp_path / name, database), free_port()) for name in ("one", "two")]
        for each in started:
            each.wait_for("Ready.")
        assert all("hanok keys create NAME" in each.said for each in started)
        with Ledger(tmp_path / "state", database=database) as ledger:
            assert ledger.list_keys() == []
            headers = {"authorization": f"Bearer {ledger.create_key('ann').secret}"}
        for each in started:
            wait_until(lambda url=each.url: call(f"{url}/v1/models", headers=headers).status == HTTPStatus.OK)


def test_machines_that_share_a_ledger_have_a_key_each_and_work_without_a_server_renews_none(
    tmp_path: Path, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    database, secrets = postgres.fresh(), list[str]()
    for host in ("hanok-0", "hanok-1"):
        monkeypatch.setattr(socket, "gethostname", lambda host=host: host)  # the only thing that tells pods apart
        loaded = load(platform(tmp_path / host, database) / "platform.yaml", {})
        loaded.state.mkdir(exist_ok=True)
        secrets.append(own_secret(loaded))
    with Ledger(tmp_path / "hanok-0" / ".hanok", database=database) as ledger:
        callers = [local_caller(ledger) for _ in range(2)]
        ring = KeyRing(ledger.list_keys())
    opened = [ring.find(each) for each in secrets]
    assert [key and (key.name, key.expires_at) for key in opened] == [("local-hanok-0", None), ("local-hanok-1", None)]
    assert [each.key_name for each in callers] == ["local", "local"]
    assert len(ring) == 3
