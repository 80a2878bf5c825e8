"""`hanok render`: write the tree that installs the platform on a cluster."""

from __future__ import annotations

from enum import StrEnum
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hanok.cli.plan import user_catalog
from hanok.cli.terminal import DEFAULT_FILE, FileArgument, JsonOption, data, new_table, print_json, talk
from hanok.errors import PlanError

if TYPE_CHECKING:
    from hanok.gpu import Anatomy
    from hanok.kubernetes import ClusterPlan, Rendered
    from hanok.spec import Target

DEFAULT_OUT = Path("deploy")


class ToTarget(StrEnum):
    EKS, EKS_AUTO, KUBERNETES = "eks", "eks-auto", "kubernetes"


class InFormat(StrEnum):
    FLUX = "flux"


def render(
    file: FileArgument = None,
    target: Annotated[
        ToTarget | None,
        typer.Option("--target", "-t", help="What makes the nodes; by default as `cluster.target` says."),
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to write.")] = DEFAULT_OUT,
    form: Annotated[InFormat, typer.Option("--format", help="Who applies the tree.")] = InFormat.FLUX,
    catalog: Annotated[Path | None, typer.Option("--catalog", help="A catalogue to plan with.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over files that Hanok did not render.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write the tree that installs the platform on a cluster: one object a file, no secret in any of them.

    Nothing is asked of a cluster, a cloud or the network. The same file gives the same bytes.
    Exit codes: 0 written; 1 not written; 2 the platform cannot be rendered for the target.

    Example: `hanok render --target eks --out deploy`
    """
    from hanok.kubernetes import render as make
    from hanok.kubernetes.store import write_tree

    made = plan_of(file or DEFAULT_FILE, target=target.value if target else None, catalog=catalog)
    rendered = make(made, form.value)
    write_tree(rendered.files, out, force=force)
    _tell(made, rendered, out, as_json=as_json)


def plan_of(file: Path, *, target: Target | None, catalog: Path | None) -> ClusterPlan:
    """What a platform file means in a cluster. Raises `SpecError`."""
    from hanok import __version__
    from hanok.gpu import load_catalog, read_catalog
    from hanok.kubernetes import make_plan
    from hanok.kubernetes.load import LOCK, load_lock
    from hanok.spec.load import parse, read
    from hanok.spec.written import as_written

    text = read(file)
    loaded = parse(text, file, lenient=True)
    return make_plan(
        loaded,
        as_written(text, file),
        target=target,
        lock=load_lock(loaded.folder / LOCK),
        catalog=read_catalog(catalog) if catalog else load_catalog(user_catalog())[0],
        anatomy=cache(partial(_anatomy, loaded.folder)),
        version=__version__,
        texts={},
    )


def _anatomy(folder: Path, model: str) -> Anatomy:
    """A model by its name, or a folder beside the platform file. Raises `PlanError`."""
    from hanok.gpu import load_model

    try:
        return load_model(model, folder=folder, fetch=None)
    except PlanError as error:
        hint = f"{error.hint or ''}; or name a folder with its config.json as `deploy.weights`".lstrip("; ")
        raise PlanError(error.message, hint=hint) from None


def _tell(plan: ClusterPlan, rendered: Rendered, out: Path, *, as_json: bool) -> None:
    if as_json:
        print_json(_form(plan, rendered, out))
        return
    table = new_table("COMPONENT", "VERSION", kept=("COMPONENT",))
    for name in rendered.components:
        pin = plan.lock.pins.get(name)
        table.add_row(name, pin.version if pin else "")
    data.print(table)
    for note in rendered.notes:
        talk.print(f"[yellow]{note.component}[/]: {note.message}", soft_wrap=True, highlight=False)
    talk.print(f"{len(rendered.files)} files in {out}; prove them: [bold]hanok preflight {out}[/]", highlight=False)


def _form(plan: ClusterPlan, rendered: Rendered, out: Path) -> dict[str, Any]:
    return {
        "target": plan.target,
        "out": str(out),
        "files": list(rendered.files),
        "components": list(rendered.components),
        "notes": [{"component": each.component, "message": each.message} for each in rendered.notes],
    }
