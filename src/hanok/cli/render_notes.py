"""What `hanok render` says when a tree is written: what a person must do, a line each, and what comes next.

Of what was told the last time nothing is said again: it stands in the tree's `APPLY.md`, with everything in full.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.padding import Padding
from rich.text import Text

from hanok.cli.terminal import talk

if TYPE_CHECKING:
    from hanok.kubernetes import ClusterPlan
    from hanok.kubernetes.notes import Note

_NAMES = 4
"""How many names stand in a line."""


def tell_notes(notes: Sequence[Note], guide: str) -> None:
    """Those that are not in the guide of before, by kind: the first things first."""
    from hanok.kubernetes.notes import AddOn, After, Bucket, Definitions, Known, Role, Step, Value

    new = [each for each in notes if each.mark not in guide]
    before = [(each.component, each.message) for each in new if isinstance(each.told, str | Step | Definitions)]
    for kind, subject, what in (
        (AddOn, "cluster", "have these run"),
        (Bucket, "buckets", "make {count} in S3"),
        (Role, "roles", "make {count} in IAM"),
        (Value, "secrets", "put {count} into the store"),
    ):
        if names := [each.told.name for each in new if isinstance(each.told, kind)]:
            before.append((subject, f"{what.format(count=len(names))}: {_some(names)}"))
    _tell("before it is applied", before)
    _tell("after", [(each.component, each.message) for each in new if isinstance(each.told, After)])
    _tell("good to know", [(each.component, each.message) for each in new if isinstance(each.told, Known)])


def tell_missing(plan: ClusterPlan) -> None:
    """Files and folders that the image takes along, and that are not beside the platform file."""
    from hanok.kubernetes.components.own.image import kept_files

    for path in kept_files(plan):
        if not (plan.loaded.folder / path).exists():
            message = f"{path} is not beside {plan.loaded.file.name}: without it the image cannot be built"
            talk.print(f"[red]missing[/]: {escape(message)}", highlight=False, soft_wrap=True)


def tell_next(out: Path, guide: str, *, changed: int, files: int) -> None:
    """How much was written, and the steps from here."""
    if not changed:
        talk.print(f"nothing changed of {files} files in {out}", highlight=False, soft_wrap=True)
        return
    talk.print(f"{changed} of {files} files written\nnext:", highlight=False)
    steps = (
        f"1. prove the tree: [bold]hanok preflight {escape(str(out))}[/]",
        f"2. follow [bold]{escape(str(out / guide))}[/], from the image to the first key",
    )
    for step in steps:
        talk.print(f"  {step}", highlight=False, soft_wrap=True)


def _tell(title: str, lines: Sequence[tuple[str, str]]) -> None:
    """A paragraph each: nothing of what a person must do is cut."""
    if lines:
        talk.print(f"[yellow]{title}[/]")
    for component, message in lines:
        line = Text.assemble((component, "bold"), f": {message}")
        talk.print(Padding(line, (0, 0, 0, 2), expand=False), highlight=False)


def _some(names: Sequence[str]) -> str:
    """The last steps of names, as many as fit."""
    shown = ", ".join(each.rpartition("/")[2] for each in names[:_NAMES])
    return f"{shown} and {len(names) - _NAMES} more" if len(names) > _NAMES else shown
