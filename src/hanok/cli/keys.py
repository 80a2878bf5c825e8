"""`hanok keys`: make, show, change, rotate and revoke keys, whether or not the server runs."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from rich.markup import escape

from hanok.cli.state import keep_local_key, own_name, wait_until_known
from hanok.cli.terminal import FileOption, JsonOption, data, load_to_ask, new_table, print_json, talk
from hanok.errors import StoreError
from hanok.ledger import Key, Ledger, NewKey, iso
from hanok.spec import Allowance, Loaded, Period, Rates

keys = typer.Typer(help="Make, list, change, rotate and revoke the keys that open the API.", no_args_is_help=True)
WIDE = 120
_SPAN = re.compile(r"^(\d+)([smhdw])$")
_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}

TeamOption = Annotated[str | None, typer.Option(help="The team it belongs to, declared in platform.yaml.")]
UserOption = Annotated[str | None, typer.Option(help="Whom it acts for.")]
ModelsOption = Annotated[
    list[str] | None,
    typer.Option("--model", "--models", help="A model it opens, or a pattern; may repeat, or be parted by commas."),
]
ExpiresOption = Annotated[str | None, typer.Option(help="When it ends: `30d`, `12h`, or a date like `2026-12-31`.")]
UsdOption = Annotated[float | None, typer.Option(min=0, help="US dollars it may spend, in each `--per`.")]
TokensOption = Annotated[int | None, typer.Option(min=0, help="Tokens it may use, in each `--per`.")]
PerOption = Annotated[str, typer.Option(help="`day`, `month` or `ever`.")]
RpmOption = Annotated[int | None, typer.Option("--rpm", min=1, help="Calls a minute.")]
TpmOption = Annotated[int | None, typer.Option("--tpm", min=1, help="Tokens a minute.")]
ConcurrentOption = Annotated[int | None, typer.Option(min=1, help="Calls at once.")]


@keys.command("create")
def create(
    name: Annotated[str, typer.Argument(help="Whose key it is, as `alice` or `ci`.")],
    team: TeamOption = None,
    user: UserOption = None,
    model: ModelsOption = None,
    expires: ExpiresOption = None,
    usd: UsdOption = None,
    tokens: TokensOption = None,
    per: PerOption = "month",
    rpm: RpmOption = None,
    tpm: TpmOption = None,
    concurrent: ConcurrentOption = None,
    file: FileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key and show it, once.

    Example: `hanok keys create alice --team research --usd 20 --per month --rpm 60`
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}", name):
        raise typer.BadParameter("letters, digits and . _ @ - (at most 64), beginning with a letter or digit")
    loaded = load_to_ask(file)
    changes = _policy(loaded, team, user, model, expires, _budgets(usd, tokens, per), _limits(rpm, tpm, concurrent))
    new = Ledger.of(loaded).create_key(name, **changes)
    _show_new(new, as_json)
    wait_until_known(loaded.state, new.secret)


@keys.command("update")
def update(
    name: Annotated[str, typer.Argument(help="The key's name or id.")],
    team: TeamOption = None,
    user: UserOption = None,
    model: ModelsOption = None,
    expires: ExpiresOption = None,
    usd: UsdOption = None,
    tokens: TokensOption = None,
    per: PerOption = "month",
    rpm: RpmOption = None,
    tpm: TpmOption = None,
    concurrent: ConcurrentOption = None,
    file: FileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change what a key may do. What is not given stays; budgets, and limits, are replaced as a whole.

    Example: `hanok keys update alice --usd 50 --per month`
    """
    loaded = load_to_ask(file)
    changes = _policy(loaded, team, user, model, expires, _budgets(usd, tokens, per), _limits(rpm, tpm, concurrent))
    if not changes:
        raise typer.BadParameter("name what is to change, as --usd 50")
    key = Ledger.of(loaded).update_key(name, **changes)
    _show(key, as_json)


@keys.command("show")
def show(
    name: Annotated[str, typer.Argument(help="The key's name or id.")],
    file: FileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a key opens, its budgets and limits.

    Example: `hanok keys show alice`
    """
    _show(_ledger(file).find_key(name), as_json)


@keys.command("rotate")
def rotate(
    name: Annotated[str, typer.Argument(help="The key's name or id.")],
    grace: Annotated[str, typer.Option(help="How long the secret before goes on to open the API.")] = "0s",
    file: FileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give a key a new secret and show it, once.

    Example: `hanok keys rotate alice --grace 1h`
    """
    match = _SPAN.match(grace)
    if match is None:
        raise typer.BadParameter("takes 30s, 10m, 1h or 2d", param_hint="--grace")
    seconds = int(match.group(1)) * _UNIT_S[match.group(2)]
    loaded = load_to_ask(file)
    new = Ledger.of(loaded).rotate_key(name, grace_s=seconds)
    _show_new(new, as_json)
    if new.key.name == own_name(loaded):
        keep_local_key(loaded.state, new.secret)
    wait_until_known(loaded.state, new.secret)


@keys.command("list")
def list_(file: FileOption = None, as_json: JsonOption = False) -> None:
    """List the keys, revoked ones too.

    Example: `hanok keys list`
    """
    found = _ledger(file).list_keys()
    if as_json:
        print_json({"keys": [_form(key) for key in found]})
        return
    wide = data.width >= WIDE
    titles = ("NAME", "ID", "TEAM", "USER", "CREATED", "STATUS") + (("KEY",) if wide else ())
    table = new_table(*titles, kept=("NAME", "ID", "CREATED"))
    for key in found:
        created = _time(key.created_at) if wide else _time(key.created_at).partition(" ")[0]
        cells = (key.name, key.id, key.team or "–", key.user or "–", created, _status(key), key.shown)
        table.add_row(*map(escape, cells[: len(titles)]))
    data.print(table if found else "No keys yet: hanok keys create NAME")


@keys.command("revoke")
def revoke(
    name: Annotated[str, typer.Argument(help="The key's name or id.")],
    file: FileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Revoke a key. A running server follows within a second or two.

    Example: `hanok keys revoke alice`
    """
    key = _ledger(file).revoke_key(name)
    if as_json:
        print_json({"revoked": key.id, "name": key.name})
    else:
        talk.print(f"Revoked {key.name} ({key.id}).")


def _policy(
    loaded: Loaded,
    team: str | None,
    user: str | None,
    models: list[str] | None,
    expires: str | None,
    budgets: tuple[Allowance, ...],
    limits: Rates | None,
) -> dict[str, Any]:
    """What was given on the command line, as the ledger takes it."""
    teams = [each.name for each in loaded.platform.teams]
    if team is not None and team not in teams:
        declared = ", ".join(teams) or "none"
        raise StoreError(f"no team is called {team!r}", hint=f"declared in {loaded.file}: {declared}")
    given = {
        "team": team,
        "user": user,
        "models": tuple(name for each in models or () for name in each.split(",") if name) or None,
        "expires_at": _moment(expires) if expires else None,
        "budgets": budgets or None,
        "limits": limits,
    }
    return {name: value for name, value in given.items() if value is not None}


def _budgets(usd: float | None, tokens: int | None, per: str) -> tuple[Allowance, ...]:
    if usd is None and tokens is None:
        return ()
    periods: dict[str, Period] = {"day": "day", "month": "month", "ever": "ever"}
    if per not in periods:
        raise typer.BadParameter("takes day, month or ever", param_hint="--per")
    return (Allowance(usd=usd, tokens=tokens, per=periods[per]),)


def _limits(rpm: int | None, tpm: int | None, concurrent: int | None) -> Rates | None:
    if rpm is None and tpm is None and concurrent is None:
        return None
    return Rates(requests_per_minute=rpm, tokens_per_minute=tpm, concurrent=concurrent)


def _moment(text: str) -> float:
    if match := _SPAN.match(text):
        return time.time() + int(match.group(1)) * _UNIT_S[match.group(2)]
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("takes 30d, 12h or a date like 2026-12-31", param_hint="--expires") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _ledger(file: Path | None) -> Ledger:
    return Ledger.of(load_to_ask(file))


def _show_new(new: NewKey, as_json: bool) -> None:
    if as_json:
        print_json({"key": new.secret, "secret": new.secret, **{k: v for k, v in _form(new.key).items() if k != "key"}})
    else:
        print(new.secret)
        talk.print("This key is shown only now; the ledger keeps its hash.")


def _show(key: Key, as_json: bool) -> None:
    form = _form(key)
    if as_json:
        print_json(form)
        return
    table = new_table()
    for name, value in form.items():
        table.add_row(name.replace("_", " "), escape(_words(value)) or "–")
    data.print(table)


def _words(value: object) -> str:
    """A part of a key's form, for people."""
    if isinstance(value, list):
        return ", ".join(_words(each) for each in cast("list[object]", value))
    if isinstance(value, dict):
        items = cast("dict[str, object]", value)
        amounts = [f"${items['usd']:g}"] if "usd" in items else []
        amounts += [f"{items['tokens']:,} tokens"] if "tokens" in items else []
        if amounts:
            while_ = "in all" if items["per"] == "ever" else f"a {items['per']}"
            return f"{' and '.join(amounts)} {while_}"
        return ", ".join(f"{each:,} {name.replace('_', ' ')}" for name, each in items.items())
    return "" if value is None else str(value)


def _status(key: Key) -> str:
    if key.revoked_at:
        return "revoked"
    if key.expires_at:
        return ("expired " if key.expires_at < time.time() else "until ") + _time(key.expires_at)
    return "in use"


def _form(key: Key) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "key": key.shown,
        "status": _status(key),
        "team": key.team,
        "user": key.user,
        "models": list(key.models),
        "knowledge": list(key.knowledge),
        "agents": list(key.agents),
        "budgets": [budget.model_dump(exclude_none=True) for budget in key.budgets],
        "limits": key.limits.model_dump(exclude_none=True),
        "created_at": iso(key.created_at),
        "expires_at": iso(key.expires_at) if key.expires_at else None,
        "revoked_at": iso(key.revoked_at) if key.revoked_at else None,
    }


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
