"""`hanok catalog`: the figures that plans are made with, and how to bring newer ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from hanok.cli.plan import user_catalog
from hanok.cli.terminal import JsonOption, data, print_json, talk
from hanok.errors import PlanError, StoreError

if TYPE_CHECKING:
    from hanok.gpu import Catalog

catalog = typer.Typer(
    name="catalog", help="GPUs, instance types, prices and models that plans are made with.", no_args_is_help=True
)


@catalog.command("show")
def show(as_json: JsonOption = False) -> None:
    """Show accelerators and instance types, their prices, and where the figures come from.

    Example: `hanok catalog show`
    """
    from hanok.gpu import load_catalog

    figures, source = load_catalog(user_catalog())
    if as_json:
        print_json({"from": source, **figures.model_dump(mode="json")})
        return
    data.print(_accelerators(figures))
    data.print(_instance_types(figures))
    told = [f"\n{figures.region}, {figures.date}, {source}", *(f"· {each}" for each in figures.sources)]
    data.print(Text("\n".join(told), style="bright_black"), soft_wrap=True)


def _accelerators(figures: Catalog) -> Table:
    table = _titled("Accelerators", "GPU", "GIB", "GB/S", "BF16", "FP8", "LINK")
    for name, each in figures.accelerators.items():
        if each.refused is None:
            cells = (
                each.memory_mib and each.memory_mib / 1024,
                each.bandwidth_gb_s,
                each.tflops.get("bf16"),
                each.tflops.get("fp8"),
            )
            table.add_row(name, *(f"{cell:.0f}" if cell else "–" for cell in cells), each.link or "–")
    return table


def _instance_types(figures: Catalog) -> Table:
    table = _titled("\nInstance types", "INSTANCE", "GPUS", "CPU", "GIB", "EFA", "$/HOUR")
    for name, each in figures.instances.items():
        if figures.accelerators[each.accelerator].refused is None:
            gpus = f"{each.gpus}× {each.accelerator}" if each.share == 1 else f"{each.share:.0%} of {each.accelerator}"
            price = f"{each.usd_hour:.2f}" if each.usd_hour else "–"
            table.add_row(name, gpus, f"{each.cpu:g}", f"{each.memory_mib / 1024:.0f}", str(each.efa or "–"), price)
    return table


def _titled(title: str, *columns: str) -> Table:
    return Table(*columns, box=None, pad_edge=False, header_style="bright_black", title=title, title_justify="left")


@catalog.command("models")
def models(as_json: JsonOption = False) -> None:
    """List the models whose figures are built in; others are read from their config.json.

    Example: `hanok catalog models`
    """
    rows = _models()
    if as_json:
        print_json({"models": rows})
        return
    table = Table("MODEL", "B", "ACTIVE", "FORMAT", "TOKENS", box=None, pad_edge=False, header_style="bright_black")
    for row in rows:
        if "refused" in row:
            table.add_row(row["model"], "–", "–", Text("not modelled", style="bright_black"), "–")
        else:
            figures = (f"{row['parameters'] / 1e9:.1f}", f"{row['active_parameters'] / 1e9:.1f}")
            table.add_row(row["model"], *figures, row["format"], f"{row['context_tokens']:,}")
    data.print(table)


def _models() -> list[dict[str, Any]]:
    from hanok.gpu import load_model, load_models

    rows: list[dict[str, Any]] = []
    for name, entry in load_models().items():
        if "refused" in entry:
            rows.append({"model": name, "refused": entry["refused"]})
            continue
        found = load_model(name, folder=Path("/nonexistent"), fetch=None)
        rows.append({
            "model": name,
            "also": entry.get("also", []),
            "parameters": found.parameters,
            "active_parameters": round(found.active),
            "format": found.packing.format,
            "context_tokens": found.longest_tokens,
        })  # fmt: skip
    return rows


@catalog.command("update")
def update(
    file: Annotated[Path, typer.Argument(help="A newer catalogue, in the form of the one that ships.")],
    force: Annotated[bool, typer.Option("--force", help="Take it though it is older.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Check a newer catalogue, say what it changes, and plan with it from now on.

    Exit codes: 0 taken; 1 it cannot be kept; 2 the file is wrong, or older than the one in use.

    Example: `hanok catalog update catalog.yaml`
    """
    from hanok.gpu import changes, load_catalog, read_catalog

    new = read_catalog(file)
    old, _ = load_catalog(user_catalog())
    if new.date < old.date and not force:
        raise PlanError(
            f"{file} is of {new.date}, older than the one in use, of {old.date}", hint="take it with --force"
        )
    changed = changes(old, new)
    _keep(user_catalog(), file.read_text("utf-8"))
    if as_json:
        print_json({"kept": str(user_catalog()), "date": str(new.date), "changes": changed})
        return
    for each in changed:
        data.print(Text(each), soft_wrap=True)
    talk.print(Text.assemble(("✓ ", "green"), f"{len(changed)} changes; kept as {user_catalog()}"), soft_wrap=True)


def _keep(place: Path, text: str) -> None:
    """Write all of it or nothing."""
    part = place.with_suffix(".part")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text, "utf-8")
        part.replace(place)
    except OSError as error:
        raise StoreError(f"{place} cannot be written: {error.strerror}") from error
