"""Redis or Valkey in the source, whose parts LiteLLM writes one by one, as the one address that platform.yaml takes."""

from __future__ import annotations

import re

from hanok.migration.secrets import STAND_IN, Variables, take_value
from hanok.migration.source import Block

ADDRESS_STAND_IN = "redis://127.0.0.1:9"
PARTS = ("url", "host", "port", "password", "username", "db", "ssl")
_EXTRA = 'needs pip install "hanok[redis]"'


def read_redis(block: Block, prefix: str, variables: Variables, *, to: str, use: str) -> str | None:
    """The address of the server that `block` names under `prefix`; `use` is what it is for, `to` its new place."""
    names = {part: f"{prefix}{part}" for part in PARTS}
    url = take_value(block, names["url"], variables, stand_in=ADDRESS_STAND_IN)
    host = take_value(block, names["host"], variables, stand_in="127.0.0.1")
    port = take_value(block, names["port"], variables, stand_in="6379") or "6379"
    password = take_value(block, names["password"], variables, secret_as="REDIS_PASSWORD", stand_in=STAND_IN)
    user, database = take_value(block, names["username"], variables), take_value(block, names["db"], variables)
    scheme = "rediss" if block.take_flag(names["ssl"]) else "redis"
    if url is not None:
        return _checked(block, names["url"], url, variables, to)
    if host is None or not re.fullmatch(r"[^\s/@?#]+", host):
        if password is not None or host is not None:
            block.wrong(names["host"], "is no host's name: Redis is not carried over")
        return None
    login = f"{user or ''}:{password}@" if password else ""
    block.carried(names["host"], to, f"{use}; {_EXTRA}")
    for part in ("port", "password", "username", "db", "ssl"):
        if names[part] in block:
            block.carried(names[part], to)
    if password:
        block.changed(names["password"], "characters such as @ : / in it must be written as %40 %3A %2F", to)
    return f"{scheme}://{login}{host}:{port}" + (f"/{database}" if database else "")


def _checked(block: Block, key: str, url: str, variables: Variables, to: str) -> str | None:
    if not url.startswith(("redis://", "rediss://", "unix://", "${env:")):
        block.wrong(key, "an address of Redis begins with redis:// or rediss://: not carried over")
        return None
    if re.match(r"\w+://[^@/]*:[^@/]+@", url) and "${env:" not in url:
        holds = "the address of Redis in LiteLLM's configuration"
        url = variables.hide(url, "REDIS_URL", holds=holds, stand_in=ADDRESS_STAND_IN)
        block.wrong(key, f"a password stands in the file. It was not copied: set {url[6:-1]} to the address")
    block.carried(key, to, _EXTRA)
    return url
