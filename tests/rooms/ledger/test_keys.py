"""Keys: which secrets open the door now, and what a key cannot be."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from hanok.errors import StoreError
from hanok.ledger import KeyRing, Ledger
from hanok.spec import Allowance, Budget, Limit

NOW = 1_795_000_000.0


@pytest.fixture
def ledger(tmp_path: Path) -> Any:
    with Ledger(tmp_path, clock=lambda: NOW) as opened:
        yield opened


def test_a_key_opens_until_it_expires_and_so_does_the_secret_before(ledger: Ledger) -> None:
    now = [NOW]
    old = ledger.create_key("ann", expires_at=NOW + 10)
    new = ledger.rotate_key("ann", grace_s=3600)
    ring = KeyRing(ledger.list_keys(), clock=lambda: now[0])
    assert ring.find(old.secret) == ring.find(new.secret) == new.key
    now[0] = NOW + 10
    assert ring.find(old.secret) is ring.find(new.secret) is None
    ledger.update_key("ann", expires_at=None)
    ring.replace(ledger.list_keys())
    assert ring.find(new.secret) is not None
    assert len(ring) == 1, "two secrets of one key are one key"


def test_a_revoked_key_opens_with_neither_of_its_secrets(ledger: Ledger) -> None:
    old = ledger.create_key("ann")
    new = ledger.rotate_key("ann", grace_s=3600)
    ledger.revoke_key("ann")
    ring = KeyRing(ledger.list_keys(), clock=lambda: NOW)
    assert ring.find(old.secret) is ring.find(new.secret) is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", " ann"),
        ("name", "a\nb"),
        ("name", "a\0b"),
        ("name", "a" * 129),
        ("name", None),
        ("team", ""),
        ("user", "\x1b[31m"),
        ("models", "small"),
        ("models", ["small"]),
        ("agents", ("",)),
        ("knowledge", (1,)),
        ("expires_at", NOW),
        ("expires_at", math.nan),
        ("expires_at", math.inf),
        ("expires_at", "2030-01-01"),
        ("expires_at", True),
        ("budgets", (Allowance(),)),
        ("budgets", (Budget(of="key", usd=1),)),
        ("budgets", Allowance(usd=1)),
        ("limits", Limit(of="key", concurrent=1)),
        ("limits", None),
    ],
)
def test_what_a_key_cannot_have_is_refused_with_a_hint(ledger: Ledger, field: str, value: Any) -> None:
    ledger.create_key("ann")
    with pytest.raises(StoreError, match=f"cannot have {field} = ") as caught:
        ledger.update_key("ann", **{field: value})
    assert caught.value.hint
    with pytest.raises(StoreError):
        ledger.create_key(**{"name": "bob", field: value})
    assert [key.name for key in ledger.list_keys()] == ["ann"]


@pytest.mark.parametrize("field", ["digest", "id", "revoked_at", "previous_digest", "colour"])
def test_only_a_keys_policy_can_be_changed(ledger: Ledger, field: str) -> None:
    ledger.create_key("ann")
    with pytest.raises(StoreError, match=f"no '{field}' to change") as caught:
        ledger.update_key("ann", **{field: b"x"})
    assert "models" in (caught.value.hint or "")


def test_an_id_is_looked_for_before_a_name(ledger: Ledger) -> None:
    ann = ledger.create_key("ann").key
    ledger.create_key(ann.id)
    assert ledger.find_key(ann.id) == ann
