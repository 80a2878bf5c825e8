"""`hanok fleet`: every endpoint of the running server as it is now."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from hanok.cli.server import Server, running_server
from hanok.cli.terminal import DEFAULT_FILE, FileOption, JsonOption, data, print_json
from hanok.errors import StartError
from hanok.spec import load

COLUMNS = (
    "ENDPOINT", "STATE", "POLICY", "WEIGHT", "CIRCUIT", "RUNNING", "FIRST-TOKEN", "ENGINE-LOAD", "CACHE", "HITS",
)  # fmt: skip


def fleet(file: FileOption = None, as_json: JsonOption = False) -> None:
    """Show the endpoints of the running server: state, circuit, load, how soon they answer. Needs `gateway.admin_key`.

    Example: `hanok fleet`
    """
    loaded = load(file or DEFAULT_FILE)
    found = running_server(loaded)
    key = loaded.platform.gateway.admin_key
    if key is None:
        hint = "declare `gateway: {admin_key: ${env:HANOK_ADMIN_KEY}}`"
        raise StartError("the fleet is shown by the admin API, which has no key", hint=hint)
    server = Server(found, key.get_secret_value())
    endpoints = server.ask("GET", "/admin/fleet")["endpoints"]
    if as_json:
        print_json({"server": server.url, "endpoints": endpoints})
        return
    table = Table(*COLUMNS, box=None)
    for each in endpoints:
        table.add_row(*_row(each))
    data.print(table)


def _row(each: dict[str, Any]) -> list[str]:
    load: dict[str, Any] = each["load"] or {}
    limit = each["max_in_flight"]
    terms = [*each["tags"], *(f"team {team}" for team in each["teams"]), *([each["role"]] if each["role"] else [])]
    return [
        each["endpoint"] + (f" ({', '.join(terms)})" if terms else ""),
        each["state"],
        each["policy"],
        f"{each['weight']:g}",
        each["circuit"],
        f"{each['in_flight']}" + (f" of {limit}" if limit else ""),
        "–" if each["first_token_ms"] is None else f"{each['first_token_ms']:.0f} ms",
        f"{load['running']} + {load['waiting']} waiting" if load else "–",
        _percent(load.get("kv_usage")),
        _percent(load.get("hit_rate")),
    ]


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.0%}"
