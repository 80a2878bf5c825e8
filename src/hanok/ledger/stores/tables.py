"""All that is asked of the database and written to it, within one transaction: SQL in one place, values in and out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any, cast

import msgspec
from pydantic import TypeAdapter

from hanok.ledger.entries import Allotment, AuditEntry
from hanok.ledger.keys import KEY_COLUMNS, Key
from hanok.ledger.stores.dialect import Connection, Cursor, Dialect
from hanok.ledger.stores.schema import CHARGE_COLUMNS, TOTAL_COLUMNS
from hanok.ledger.usage import DayTotal, Grouping, Kind, Total, UsageRow, add_up, day_of
from hanok.spec import Allowance, Rates
from hanok.wire.charge import Charge

MOST = 10**15
"""Tokens, and nano-dollars, of one call: an engine that reports more errs, and sums must stay within 64 bits."""

_GROUPS: dict[Grouping, str] = {
    "key": "key_name",
    "team": "coalesce(team, '')",
    "user": "coalesce(\"user\", '')",
    "model": "model",
    "tier": "tier",
    "endpoint": "endpoint",
    "session": "coalesce(session, '')",
    "run": "coalesce(run, '')",
}
_NAMES: TypeAdapter[Any] = TypeAdapter(tuple[str, ...])
_AS_JSON: dict[str, TypeAdapter[Any]] = {
    "models": _NAMES,
    "knowledge": _NAMES,
    "agents": _NAMES,
    "budgets": TypeAdapter(tuple[Allowance, ...]),
    "limits": TypeAdapter(Rates),
}
_CHARGES = ", ".join(f'"{name}"' for name in CHARGE_COLUMNS)
_KEYS = ", ".join(f'"{name}"' for name in KEY_COLUMNS)
_MEASURES = (
    "cost_nano_usd",
    "prompt_tokens",
    "completion_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "saved_nano_usd",
)
_NO_TEXT = "\N{REPLACEMENT CHARACTER}"
_id = attrgetter("id")


def policy_form(key: Key, names: Iterable[str]) -> dict[str, Any]:
    """Fields of a key's policy as plain JSON values, for the audit log."""
    values = {name: getattr(key, name) for name in names}
    return {name: _AS_JSON[name].dump_python(v, mode="json") if name in _AS_JSON else v for name, v in values.items()}


class Tables:
    """The ledger's tables."""

    def __init__(self, connection: Connection, dialect: Dialect) -> None:
        self._connection = connection
        self._dialect = dialect

    # charges

    def take(self, segment: str, *, at: float) -> bool:
        """Note that this transaction takes a segment; False when one before it has."""
        sql = "INSERT INTO segments (name, taken_at) VALUES (?, ?) ON CONFLICT DO NOTHING"
        return self._run(sql, segment, at).rowcount == 1

    def forget_segments(self, *, before: float) -> None:
        self._run("DELETE FROM segments WHERE taken_at < ?", before)

    def add_charges(self, charges: Sequence[Charge]) -> None:
        """Add charges and their totals; those that are here already change nothing."""
        size = self._dialect.rows_at_once
        for start in range(0, len(charges), size):
            self._add_part(self._new_ones(charges[start : start + size]))

    def _new_ones(self, charges: Sequence[Charge]) -> Sequence[Charge]:
        """What is not in the table: one look at a stretch of its ids, which is empty but for other processes'."""
        ids = list(map(_id, charges))
        rows = self._run("SELECT id FROM charges WHERE id BETWEEN ? AND ?", min(ids), max(ids)).fetchall()
        known = {row[0] for row in rows}
        return [charge for charge in charges if charge.id not in known] if known else charges

    def _add_part(self, charges: Sequence[Charge]) -> None:
        if not charges:
            return
        totals = add_up(charges)
        if self._are_strange(charges, totals):
            charges = list(map(_made_sane, charges))
            totals = add_up(charges)
        for source, values in self._dialect.sources(CHARGE_COLUMNS, charges):
            self._connection.execute(f"INSERT INTO charges ({_CHARGES}) {source} ON CONFLICT DO NOTHING", values)
        size = self._dialect.rows_at_once
        for start in range(0, len(totals), size):
            self._add_totals(totals[start : start + size])

    def _are_strange(self, charges: Sequence[Charge], totals: Sequence[DayTotal]) -> bool:
        """Whether one may be refused for what it holds: that would stop all after it, for ever."""
        high = any(each.cost_nano_usd > MOST or each.tokens > MOST for each in totals)
        return high or (not self._dialect.takes_nul and rb"\u0000" in msgspec.json.encode(charges))

    def _add_totals(self, totals: Sequence[DayTotal]) -> None:
        for source, values in self._dialect.sources(TOTAL_COLUMNS, totals):
            self._connection.execute(
                f"""
                INSERT INTO totals ({", ".join(TOTAL_COLUMNS)}) {source}
                ON CONFLICT (kind, subject, day) DO UPDATE SET
                  cost_nano_usd = totals.cost_nano_usd + excluded.cost_nano_usd,
                  tokens = totals.tokens + excluded.tokens, calls = totals.calls + excluded.calls
                """,
                values,
            )

    def charges_since(self, charge_id: int, own_bits: int) -> list[Charge]:
        sql = f"SELECT {_CHARGES} FROM charges WHERE id > ? AND (id & 4095) = ? ORDER BY id"  # noqa: S608
        rows = self._run(sql, charge_id, own_bits).fetchall()
        return [msgspec.convert(dict(zip(CHARGE_COLUMNS, row, strict=True)), Charge, strict=False) for row in rows]

    def untold_charges(self, told: int, *, begun: int, own_bits: int) -> list[Charge]:
        where = "id > ? AND (id & 4095) = ? AND (id > ? OR error = 'crashed')"
        sql = f"SELECT {_CHARGES} FROM charges WHERE {where} ORDER BY id"  # noqa: S608
        rows = self._run(sql, min(told, begun), own_bits, told).fetchall()
        return [msgspec.convert(dict(zip(CHARGE_COLUMNS, row, strict=True)), Charge, strict=False) for row in rows]

    def usage(self, by: Grouping, *, since: float) -> list[UsageRow]:
        group = self._dialect.day if by == "day" else _GROUPS[by]
        order = "1" if by == "day" else "6 DESC, 2 DESC, 1"
        sql = f"""
            SELECT {group}, count(*), count(*) FILTER (WHERE status = 'failed'), CAST(sum(prompt_tokens) AS INTEGER),
                   CAST(sum(completion_tokens) AS INTEGER), CAST(sum(cost_nano_usd) AS INTEGER), avg(latency_ms),
                   coalesce(avg(nullif(first_token_ms, 0)), 0), CAST(sum(saved_nano_usd) AS INTEGER),
                   count(nullif(first_token_ms, 0))
            FROM charges WHERE at >= ? GROUP BY 1 ORDER BY {order}
        """  # noqa: S608
        return [_usage_row(*row) for row in self._run(sql, since).fetchall()]

    # totals

    def totals(self, kind: Kind, *, since_day: int) -> dict[str, Total]:
        sql = f"SELECT subject, {_SUMS} FROM totals WHERE kind = ? AND day >= ? GROUP BY subject"  # noqa: S608
        return {row[0]: _total(row[1:]) for row in self._run(sql, kind, since_day).fetchall()}

    def daily_total(self, kind: Kind, subject: str, *, since: float) -> Total:
        sql = f"SELECT {_SUMS} FROM totals WHERE kind = ? AND subject = ? AND day >= ?"  # noqa: S608
        return _total(self._run(sql, kind, subject, day_of(since)).fetchone())

    def session_total(self, session: str, *, since: float, tenant: str | None) -> Total:
        return self._charged("session = ?", session, since=since, tenant=tenant)

    def run_total(self, run: str, *, since: float, tenant: str | None) -> Total:
        """A run and all below it. By bytes: `/` comes just before `0`, so `X/…` is what lies between `X/` and `X0`."""
        below = "(run COLLATE BINARY = ? OR (run COLLATE BINARY >= ? AND run COLLATE BINARY < ?))"
        return self._charged(below, run, f"{run}/", f"{run}0", since=since, tenant=tenant)

    def _charged(self, which: str, *values: str, since: float, tenant: str | None) -> Total:
        whose, tenants = ("", ()) if tenant is None else (" AND coalesce(team, key_id) = ?", (tenant,))
        sql = f"SELECT {_CHARGE_SUMS} FROM charges WHERE {which} AND at >= ?{whose}"  # noqa: S608
        return _total(self._run(sql, *values, since, *tenants).fetchone())

    # keys

    def list_keys(self) -> list[Key]:
        """All keys, the oldest first."""
        return [_key(row) for row in self._run(f"SELECT {_KEYS} FROM keys ORDER BY created_at, id").fetchall()]  # noqa: S608

    def add_key(self, key: Key) -> None:
        form = _key_row(key)
        self._run(f"INSERT INTO keys ({_KEYS}) VALUES ({', '.join('?' * len(form))})", *form.values())  # noqa: S608

    def put_key(self, key: Key) -> None:
        """Write a key's row anew."""
        form = _key_row(key)
        columns = ", ".join(f'"{name}" = ?' for name in form)
        self._run(f"UPDATE keys SET {columns} WHERE id = ?", *form.values(), key.id)  # noqa: S608

    def version(self) -> int:
        return self._run("SELECT number FROM marks WHERE name = 'changes'").fetchone()[0]

    def change(self) -> None:
        """Say that keys or allotments change here. Others that would wait until this transaction ends."""
        self._run("UPDATE marks SET number = number + 1 WHERE name = 'changes'")

    # allotments

    def allot(self, tenant: str, run: str, allotment: Allotment) -> None:
        sql = """
            INSERT INTO allotments (tenant, run, cost_nano_usd, tokens) VALUES (?, ?, ?, ?)
            ON CONFLICT (tenant, run) DO UPDATE SET cost_nano_usd = excluded.cost_nano_usd, tokens = excluded.tokens
        """
        self._run(sql, tenant, run, allotment.cost_nano_usd, allotment.tokens)

    def allotments(self) -> dict[tuple[str, str], Allotment]:
        rows = self._run("SELECT tenant, run, cost_nano_usd, tokens FROM allotments").fetchall()
        return {(row[0], row[1]): Allotment(cost_nano_usd=row[2], tokens=row[3]) for row in rows}

    # audit

    def note(self, *, at: float, actor: str, action: str, subject: str, detail: Mapping[str, Any]) -> None:
        sql = "INSERT INTO audit (at, actor, action, subject, detail) VALUES (?, ?, ?, ?, ?)"
        self._run(sql, at, actor, action, subject, msgspec.json.encode(detail).decode())

    def audit(self, *, limit: int, before: int | None) -> list[AuditEntry]:
        older, ids = ("", ()) if before is None else ("WHERE id < ?", (before,))
        sql = f"SELECT id, at, actor, action, subject, detail FROM audit {older} ORDER BY id DESC LIMIT ?"  # noqa: S608
        return [_audit_entry(*row) for row in self._run(sql, *ids, limit).fetchall()]

    def _run(self, sql: str, *values: Any) -> Cursor:
        return cast("Cursor", self._connection.execute(self._dialect.translate(sql), values))


_SUMS = ", ".join(f"CAST(coalesce(sum({each}), 0) AS INTEGER)" for each in ("cost_nano_usd", "tokens", "calls"))
_CHARGE_SUMS = (
    "CAST(coalesce(sum(cost_nano_usd), 0) AS INTEGER), "
    "CAST(coalesce(sum(prompt_tokens + completion_tokens), 0) AS INTEGER), count(*)"
)


def _made_sane(charge: Charge) -> Charge:
    """A charge that any database takes: no NUL in its texts, no number beyond `MOST`."""
    given = msgspec.structs.asdict(charge)
    texts = {name: value.replace("\0", _NO_TEXT) for name, value in given.items() if isinstance(value, str)}
    amounts = {name: min(given[name], MOST) for name in _MEASURES}
    return msgspec.structs.replace(charge, **texts, **amounts)


def _usage_row(
    group: str,
    calls: int,
    failed: int,
    prompt_tokens: int,
    completion_tokens: int,
    cost_nano_usd: int,
    mean_latency_ms: float,
    mean_first_token_ms: float,
    saved_nano_usd: int,
    first_tokens: int,
) -> UsageRow:
    return UsageRow(
        group=group,
        calls=calls,
        failed=failed,
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        cost_nano_usd=cost_nano_usd,
        mean_latency_ms=mean_latency_ms,
        mean_first_token_ms=mean_first_token_ms,
        saved_nano_usd=saved_nano_usd,
        first_tokens=first_tokens,
    )


def _total(row: Sequence[int]) -> Total:
    return Total(cost_nano_usd=row[0], tokens=row[1], calls=row[2])


def _key_row(key: Key) -> dict[str, Any]:
    values = {name: getattr(key, name) for name in KEY_COLUMNS}
    return {name: _AS_JSON[name].dump_json(v).decode() if name in _AS_JSON else v for name, v in values.items()}


def _key(row: Sequence[Any]) -> Key:
    """A key of version 1 has no policy: what is not there is as a new key has it."""
    known = {name: value for name, value in zip(KEY_COLUMNS, row, strict=True) if value is not None}
    return Key(**{name: _AS_JSON[name].validate_json(v) if name in _AS_JSON else v for name, v in known.items()})


def _audit_entry(id_: int, at: float, actor: str, action: str, subject: str, detail: str) -> AuditEntry:
    return AuditEntry(id=id_, at=at, actor=actor, action=action, subject=subject, detail=msgspec.json.decode(detail))
