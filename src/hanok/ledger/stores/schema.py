"""The tables of both databases, in SQLite's words, and how an older ledger.db is brought to them.

Version 1 was SQLite's alone, and knew charges without teams, and keys that were only names. Version 2 did not know
what a call saved.
"""

from __future__ import annotations

from collections.abc import Mapping

from hanok.errors import StoreError
from hanok.ledger.stores.dialect import Connection, Dialect

VERSION = 3
CHARGE_COLUMNS = {
    "id": "INTEGER",
    "at": "REAL",
    "key_id": "TEXT",
    "key_name": "TEXT",
    "model": "TEXT",
    "endpoint": "TEXT",
    "operation": "TEXT",
    "status": "TEXT",
    "prompt_tokens": "INTEGER",
    "completion_tokens": "INTEGER",
    "cached_tokens": "INTEGER",
    "estimated": "BOOLEAN",
    "cost_nano_usd": "INTEGER",
    "latency_ms": "REAL",
    "first_token_ms": "REAL",
    "request_id": "TEXT",
    "team": "TEXT",
    "user": "TEXT",
    "session": "TEXT",
    "run": "TEXT",
    "error": "TEXT",
    "cache_write_tokens": "INTEGER",
    "saved_nano_usd": "INTEGER",
    "asked": "TEXT",
    "tier": "TEXT",
}
TOTAL_COLUMNS = {
    "kind": "TEXT",
    "subject": "TEXT",
    "day": "INTEGER",
    "cost_nano_usd": "INTEGER",
    "tokens": "INTEGER",
    "calls": "INTEGER",
}
_MAY_BE_NULL = ("team", "user", "session", "run")


def _columns(columns: Mapping[str, str]) -> str:
    return ", ".join(f'"{name}" {kind}{"" if name in _MAY_BE_NULL else " NOT NULL"}' for name, kind in columns.items())


_TABLES = f"""
CREATE TABLE IF NOT EXISTS marks (name TEXT PRIMARY KEY, number INTEGER NOT NULL);
INSERT INTO marks VALUES ('schema', {VERSION}), ('changes', 0) ON CONFLICT DO NOTHING;
CREATE TABLE IF NOT EXISTS charges ({_columns(CHARGE_COLUMNS)}, PRIMARY KEY (id));
CREATE INDEX IF NOT EXISTS charges_by_time ON charges (at);
CREATE INDEX IF NOT EXISTS charges_by_session ON charges (session, at) WHERE session IS NOT NULL;
CREATE INDEX IF NOT EXISTS charges_by_run ON charges (run COLLATE BINARY) WHERE run IS NOT NULL;
CREATE TABLE IF NOT EXISTS segments (name TEXT PRIMARY KEY, taken_at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS totals ({_columns(TOTAL_COLUMNS)}, PRIMARY KEY (kind, subject, day));
CREATE TABLE IF NOT EXISTS keys (
  id TEXT PRIMARY KEY, name TEXT NOT NULL, digest BLOB NOT NULL UNIQUE, shown TEXT NOT NULL,
  created_at REAL NOT NULL, revoked_at REAL, expires_at REAL, team TEXT, "user" TEXT, models TEXT, knowledge TEXT,
  agents TEXT, budgets TEXT, limits TEXT, previous_digest BLOB, previous_until REAL
);
CREATE UNIQUE INDEX IF NOT EXISTS keys_by_name ON keys (name) WHERE revoked_at IS NULL;
CREATE TABLE IF NOT EXISTS allotments (
  tenant TEXT NOT NULL, run TEXT NOT NULL, cost_nano_usd INTEGER, tokens INTEGER, PRIMARY KEY (tenant, run)
);
CREATE TABLE IF NOT EXISTS audit (
  id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, actor TEXT NOT NULL, action TEXT NOT NULL,
  subject TEXT NOT NULL, detail TEXT NOT NULL
);
"""  # noqa: S608
_SINCE_3 = (
    "cache_write_tokens INTEGER NOT NULL DEFAULT 0", "saved_nano_usd INTEGER NOT NULL DEFAULT 0",
    "asked TEXT NOT NULL DEFAULT ''", "tier TEXT NOT NULL DEFAULT ''",
)  # fmt: skip
_ADDED = {
    "charges": ("team TEXT", "run TEXT", "error TEXT NOT NULL DEFAULT ''", *_SINCE_3),
    "keys": (
        "expires_at REAL", "team TEXT", '"user" TEXT', "models TEXT", "knowledge TEXT", "agents TEXT", "budgets TEXT",
        "limits TEXT", "previous_digest BLOB", "previous_until REAL",
    ),
}  # fmt: skip
_ROLLED_UP = ("key", "key_id"), ("team", "team"), ("user", '"user"'), ("model", "model")


def bring_up(connection: Connection, dialect: Dialect) -> None:
    """Make the tables, or bring those of an older release up, all in one transaction.

    Raises `StoreError` when they are those of a newer release, and what the driver raises.
    """
    if _version(connection, dialect) == VERSION:
        return
    connection.execute(dialect.begin)
    for statement in dialect.alone:
        connection.execute(statement)
    version = _version(connection, dialect)  # another process may have been faster
    if version > VERSION:
        raise StoreError(
            f"the ledger {dialect.place} was made by a newer release (its version {version}, ours {VERSION})",
            hint='install a newer one: pip install --upgrade "hanok"',
        )
    if version in (1, 2):
        _add_columns(connection, dialect)
    for statement in filter(str.strip, dialect.translate(_TABLES).split(";")):
        connection.execute(statement)
    if version == 1:
        _roll_up(connection)
    connection.execute(f"UPDATE marks SET number = {VERSION} WHERE name = 'schema'")  # noqa: S608
    connection.execute("COMMIT")


def _version(connection: Connection, dialect: Dialect) -> int:
    """0 for a database without our tables. Version 1 wrote none that PostgreSQL could hold."""

    def has(table: str) -> bool:
        return connection.execute(dialect.translate(dialect.has_table), (table,)).fetchone()[0] > 0

    if has("marks"):
        return connection.execute("SELECT number FROM marks WHERE name = 'schema'").fetchone()[0]
    return 1 if has("charges") else 0


def _add_columns(connection: Connection, dialect: Dialect) -> None:
    for table, columns in _ADDED.items():
        known = {each[0] for each in connection.execute(f"SELECT * FROM {table} LIMIT 0").description}  # noqa: S608
        for column in columns:
            if column.split()[0].strip('"') not in known:
                connection.execute(dialect.translate(f"ALTER TABLE {table} ADD COLUMN {column}"))


def _roll_up(connection: Connection) -> None:
    for kind, column in _ROLLED_UP:
        connection.execute(
            f"""
            INSERT INTO totals
            SELECT '{kind}', {column}, CAST(at / 86400 AS INTEGER) AS day, sum(cost_nano_usd),
                   sum(prompt_tokens + completion_tokens), count(*)
            FROM charges WHERE {column} IS NOT NULL GROUP BY {column}, day
            """  # noqa: S608
        )
