"""`hanok prompts`: the versions of what agents are told, and the labels that name them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from hanok.cli.terminal import FileOption, JsonOption, data, load_to_ask, new_table, print_json, talk

if TYPE_CHECKING:
    from hanok.agents.prompts import Prompts, Version
    from hanok.spec import Loaded

prompts = typer.Typer(help="What agents are told, in versions: look, and move labels.", no_args_is_help=True)
RefArgument = Annotated[str, typer.Argument(help="`name`, `name@label`, or `name@` and the beginning of a hash.")]


def list_prompts(file: FileOption = None, as_json: JsonOption = False) -> None:
    """List prompts: those of platform.yaml, and those that were declared before.

    Example: `hanok prompts list`
    """
    loaded = load_to_ask(file)
    kept = _kept(loaded)
    declared = [prompt.name for prompt in loaded.platform.prompts]
    names = dict.fromkeys([*declared, *kept.names()])
    rows = [_row(loaded, kept.versions(name), name, name in declared) for name in names]
    if as_json:
        print_json({"prompts": rows})
        return
    table = new_table("PROMPT", "VERSIONS", "LABELS", "AGENTS", kept=("PROMPT",), numbers=("VERSIONS",))
    for row in rows:
        labels = " ".join(f"{label}={hash_[: _shown()]}" for label, hash_ in row["labels"].items())
        name = row["name"] if row["declared"] else f"{row['name']} (declared no more)"
        table.add_row(escape(name), str(row["versions"]), escape(labels or "–"), escape(" ".join(row["agents"]) or "–"))
    data.print(table if rows else "No prompt is declared; see docs/prompts.md.")


def show(ref: RefArgument, file: FileOption = None, as_json: JsonOption = False) -> None:
    """Print the text of a version on stdout, and tell of all others.

    Example: `hanok prompts show research@production`
    """
    loaded = load_to_ask(file)
    kept = _kept(loaded)
    _record(loaded, kept, ref.partition("@")[0])
    version = kept.resolve(ref if "@" in ref else _declared_ref(loaded, ref))
    versions = kept.versions(version.name)
    if as_json:
        print_json({**_form(version), "text": version.text, "versions": [_form(each) for each in versions]})
        return
    for each in versions:
        mark = "→" if each.hash == version.hash else " "
        talk.print(f"{mark} {each.hash[: _shown()]}  {_day(each.first_at)}  {' '.join(each.labels)}", highlight=False)
    typer.echo(version.text.rstrip("\n"))


def label(
    ref: RefArgument,
    name: Annotated[str, typer.Argument(metavar="LABEL", help="The label, as `production`.")],
    remove: Annotated[bool, typer.Option("--remove", help="Take the label away instead.")] = False,
    file: FileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Move a label to a version; by default to what platform.yaml declares. Runs that begin from now on have it.

    Example: `hanok prompts label research production`
    """
    loaded = load_to_ask(file)
    kept = _kept(loaded)
    prompt = ref.partition("@")[0]
    if remove:
        kept.unlabel(prompt, name)
        _tell({"name": prompt, "removed": name}, f"{prompt} has no label {name} any more.", as_json)
        return
    _record(loaded, kept, prompt)
    version = kept.label(ref if "@" in ref else _declared_ref(loaded, ref), name, now=time.time())
    _tell(_form(version), f"{prompt}@{name} is {version.hash[: _shown()]} now.", as_json)


def _kept(loaded: Loaded) -> Prompts:
    from hanok.agents.prompts import Prompts

    return Prompts(loaded.state)


def _record(loaded: Loaded, kept: Prompts, name: str) -> None:
    """Keep what is declared of this prompt; `latest` is moved by the running platform alone."""
    from hanok.agents.prompts import declared_prompt

    if (text := declared_prompt(loaded, name)) is not None:
        kept.record({name: text}, now=time.time(), moving=False)


def _declared_ref(loaded: Loaded, name: str) -> str:
    """The declared text of that prompt, or the latest where it is declared no more."""
    from hanok.agents.prompts import declared_prompt, hash_of

    text = declared_prompt(loaded, name)
    return name if text is None else f"{name}@{hash_of(text)}"


def _row(loaded: Loaded, versions: list[Version], name: str, declared: bool) -> dict[str, Any]:
    labels = {label: version.hash for version in versions for label in version.labels}
    agents = [agent.name for agent in loaded.platform.agents if (agent.prompt or "").partition("@")[0] == name]
    shown = {"name": name, "declared": declared, "versions": len(versions)}
    return {**shown, "labels": dict(sorted(labels.items())), "agents": agents}


def _form(version: Version) -> dict[str, Any]:
    from hanok.ledger import iso

    first = iso(version.first_at)
    return {"name": version.name, "hash": version.hash, "first_declared": first, "labels": list(version.labels)}


def _day(at: float) -> str:
    from hanok.ledger import iso

    return str(iso(at))[:16].replace("T", " ")


def _shown() -> int:
    from hanok.agents.prompts import SHOWN

    return SHOWN


def _tell(form: dict[str, Any], text: str, as_json: bool) -> None:
    if as_json:
        print_json(form)
    else:
        talk.print(text, highlight=False, markup=False)


prompts.command("list")(list_prompts)
prompts.command("show")(show)
prompts.command("label")(label)
