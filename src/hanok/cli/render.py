"""`hanok render`: write the tree that installs the platform on a cluster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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
    from hanok.spec import Loaded, Target

DEFAULT_OUT = Path("deploy")
EXIT_DIFFERS = 1


class ToTarget(StrEnum):
    EKS, EKS_AUTO, KUBERNETES = "eks", "eks-auto", "kubernetes"


class InFormat(StrEnum):
    FLUX, ARGOCD, FLAT = "flux", "argocd", "flat"


def render(
    file: FileArgument = None,
    target: Annotated[
        ToTarget | None,
        typer.Option("--target", "-t", help="What makes the nodes; by default as `cluster.target` says."),
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to write.")] = DEFAULT_OUT,
    form: Annotated[InFormat, typer.Option("--format", help="Who applies the tree.")] = InFormat.FLUX,
    diff: Annotated[
        bool, typer.Option("--diff", help="Write nothing; show what would change, and what that costs a month.")
    ] = False,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="With --diff: exit with 1 where anything changes.")
    ] = False,
    catalog: Annotated[Path | None, typer.Option("--catalog", help="A catalogue to plan with.")] = None,
    update_lock: Annotated[
        bool, typer.Option("--update-lock", help="Take the versions that this Hanok knows, instead of the lock's.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Write over files that Hanok did not render.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write the tree that installs the platform on a cluster: one object a file, no secret in any of them.

    Nothing is asked of a cluster, a cloud or the network. The same file gives the same bytes.
    Exit codes: 0 done; 1 not written, or with --exit-code: something changes; 2 this platform cannot be rendered.

    Example: `hanok render --target eks --out deploy`
    """
    from hanok.kubernetes import render as make
    from hanok.kubernetes.store import read_tree, write_lock, write_tree

    if exit_code and not diff:
        raise PlanError("--exit-code belongs to --diff", hint="`hanok render --diff --exit-code`")
    given = Given(target=target.value if target else None, catalog=catalog, update_lock=update_lock)
    made = plan_of(file or DEFAULT_FILE, given)
    rendered = make(made, form.value)
    before = read_tree(out)
    if diff:
        from hanok.cli.render_diff import show_differences

        differs = show_differences(before, rendered.files, catalog, as_json=as_json)
        raise typer.Exit(EXIT_DIFFERS if differs and exit_code else 0)
    write_tree(rendered.files, out, force=force)
    if rendered.pins:
        write_lock(lock_of(made.loaded), rendered.pins)
    if as_json:
        print_json(_form(made, rendered, out))
    else:
        _tell(made, rendered, out, before)


@dataclass(frozen=True, kw_only=True)
class Given:
    """What the user says besides the file."""

    target: Target | None = None
    catalog: Path | None = None
    update_lock: bool = False


def plan_of(file: Path, given: Given) -> ClusterPlan:
    """What a platform file means in a cluster. Raises `SpecError`."""
    from hanok import __version__
    from hanok.gpu import load_catalog, read_catalog
    from hanok.kubernetes import make_plan
    from hanok.kubernetes.load import as_platform, load_lock, load_texts, shipped
    from hanok.spec.load import read

    loaded, written = as_platform(read(file), file)
    return make_plan(
        loaded,
        written,
        target=given.target,
        lock=shipped() if given.update_lock else load_lock(lock_of(loaded)),
        catalog=read_catalog(given.catalog) if given.catalog else load_catalog(user_catalog())[0],
        anatomy=cache(partial(_anatomy, loaded.folder)),
        version=__version__,
        texts=load_texts(loaded, written),
    )


def lock_of(loaded: Loaded) -> Path:
    """The lock of a platform, beside its file: `platform.lock` of `platform.yaml`."""
    return loaded.folder / f"{loaded.file.stem}.lock"


def _anatomy(folder: Path, model: str) -> Anatomy:
    """A model by its name, or a folder beside the platform file. Raises `PlanError`."""
    from hanok.gpu import load_model

    try:
        return load_model(model, folder=folder, fetch=None)
    except PlanError as error:
        hint = f"{error.hint or ''}; or name a folder with its config.json as `deploy.weights`".lstrip("; ")
        raise PlanError(error.message, hint=hint) from None


def _tell(plan: ClusterPlan, rendered: Rendered, out: Path, before: Mapping[str, str]) -> None:
    """What is in it, of what a person must do that which was not told the last time, and what comes next."""
    from hanok.cli.render_diff import show_removals
    from hanok.cli.render_notes import tell_missing, tell_next, tell_notes
    from hanok.kubernetes.guide import PATH
    from hanok.kubernetes.removals import removals

    table = new_table("COMPONENT", "VERSION", kept=("COMPONENT",))
    for name in rendered.components:
        pin = plan.lock.pins.get(name)
        table.add_row(name, pin.version if pin else "")
    data.print(table)
    _tell_of_newer(plan)
    tell_missing(plan)
    tell_notes(rendered.notes, before.get(PATH, ""))
    show_removals(removals(before, rendered.files))
    changed = sum(before.get(path) != text for path, text in rendered.files.items())
    tell_next(out, PATH, changed=changed, files=len(rendered.files))


def _tell_of_newer(plan: ClusterPlan) -> None:
    from hanok.kubernetes.load import shipped

    newer = [name for name, pin in plan.lock.pins.items() if pin.version != shipped().pin(name).version]
    if newer:
        talk.print(f"locked at other versions than this Hanok knows: {', '.join(newer)} (--update-lock takes those)")


def _form(plan: ClusterPlan, rendered: Rendered, out: Path) -> dict[str, Any]:
    return {
        "target": plan.target,
        "out": str(out),
        "files": list(rendered.files),
        "components": list(rendered.components),
        "notes": [{"component": each.component, "message": each.message} for each in rendered.notes],
    }
