"""The tree of commands. Each command imports what it needs when it runs, so that `hanok --help` is quick."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Generator
from typing import Annotated

import typer
from rich.text import Text

from hanok import __version__
from hanok.cli import (
    ask,
    batches,
    books,
    cache,
    catalog,
    certificate,
    create,
    fleet,
    gpu,
    keys,
    look,
    migrate,
    plan,
    preflight,
    tiers,
    up,
)
from hanok.cli.terminal import talk
from hanok.errors import HanokError, PlanError, PreflightError, SpecError

EXIT_FAILED, EXIT_WRONG_INPUT, EXIT_INTERRUPTED = 1, 2, 130

app = typer.Typer(
    name="hanok",
    help="An agentic AI platform in one package, declared in one file. Begin with `hanok up`.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(value: bool) -> None:
    if value:
        print(f"hanok {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    _: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


app.command("init")(create.init)
app.command("up")(up.up)
app.command("check")(look.check)
app.command("ask")(ask.ask)
app.command("chat")(ask.chat)
app.command("models")(look.models)
app.command("fleet")(fleet.fleet)
app.add_typer(keys.keys, name="keys")
app.add_typer(batches.batches, name="batches")
app.add_typer(batches.files, name="files")
app.add_typer(cache.cache, name="cache")
app.add_typer(tiers.tiers, name="tiers")
app.add_typer(migrate.imports, name="import")
app.command("usage")(books.usage)
app.command("budgets")(books.budgets)
app.command("audit")(books.audit)
app.command("plan")(plan.plan)
app.add_typer(catalog.catalog, name="catalog")
app.add_typer(gpu.gpu, name="gpu")
app.command("preflight")(preflight.preflight)
app.add_typer(preflight.rules, name="rules")
app.add_typer(certificate.certificate, name="certificate")
app.command("schema")(look.schema)
app.command("doctor")(look.doctor)


def main() -> None:
    """Run the command line; turn what went wrong into one message and an exit code."""
    with saying_what_went_wrong():
        app()


@contextlib.contextmanager
def saying_what_went_wrong() -> Generator[None]:
    """End the process with one message and an exit code when something goes wrong."""
    try:
        yield
    except HanokError as error:
        talk.print(Text.assemble(("error:", "bold red"), " ", error.message), soft_wrap=True)
        if error.hint:
            talk.print(Text.assemble(("hint:", "cyan"), " ", error.hint), soft_wrap=True)
        sys.exit(EXIT_WRONG_INPUT if isinstance(error, SpecError | PlanError | PreflightError) else EXIT_FAILED)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
