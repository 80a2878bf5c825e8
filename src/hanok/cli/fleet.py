"""`hanok fleet`: every endpoint of the running server as it is now."""

from __future__ import annotations

from typing import Any

from hanok.cli.server import Server
from hanok.cli.terminal import FileOption, JsonOption, data, load_to_ask, new_table, print_json


def fleet(file: FileOption = None, as_json: JsonOption = False) -> None:
    """Show the endpoints of the running server. Needs `gateway.admin_key`.

    CALLS run on it, answers BEGIN after so long, in the ENGINE run and wait so many, its CACHE is so full, HITS are the
    share of prompts found there.

    Example: `hanok fleet`
    """
    server = Server.of_admin(load_to_ask(file))
    told = server.ask("GET", "/admin/fleet")
    if as_json:
        print_json({"server": server.url, **told})
        return
    table = new_table("ENDPOINT", "STATE", "POLICY", "CALLS", "BEGINS", "ENGINE", "CACHE", "HITS")
    for each in told["endpoints"]:
        table.add_row(*_row(each))
    data.print(table)
    for each in told.get("replicas", []):
        bounds = f"{each['min']} to {each['max']}"
        data.print(f"{each['model']}: {each['replicas']} of {bounds} replicas: {each['because']}", highlight=False)


def _row(each: dict[str, Any]) -> list[str]:
    load: dict[str, Any] = each["load"] or {}
    limit, begins_ms = each["max_in_flight"], each["first_token_ms"] or each["answer_ms"]
    return [
        " ".join([each["endpoint"], *_terms(each)]),
        each["state"] if each["circuit"] == "closed" else f"{each['state']}, circuit {each['circuit']}",
        each["policy"],
        f"{each['in_flight']}" + (f" of {limit}" if limit else ""),
        "–" if begins_ms is None else f"{begins_ms:.0f} ms",
        f"{load['running']} + {load['waiting']}" if load else "–",
        _percent(load.get("kv_usage")),
        _percent(load.get("hit_rate")),
    ]


def _terms(each: dict[str, Any]) -> list[str]:
    """What is declared of the endpoint and not the usual."""
    terms = [*each["tags"], *(f"team {team}" for team in each["teams"])]
    terms += [each["role"]] if each["role"] else []
    terms += [f"weight {each['weight']:g}"] if each["weight"] != 1 else []
    return [f"({', '.join(terms)})"] if terms else []


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.0%}"
