"""`APPLY.md`: from an empty account, or bare machines, to a key that gets an answer, by steps that can be pasted. Pure.

Steps stand in the order in which they work, and only those that this tree needs. What is known is written out; what
only a person can know is the value of a variable, at the beginning of its step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from hanok.kubernetes.component import Piece
from hanok.kubernetes.guide import applying, checking, eks, image, keeping, leaving, machines, opening, roles, secrets
from hanok.kubernetes.guide.page import Page
from hanok.kubernetes.notes import Known, Note
from hanok.kubernetes.plan import ClusterPlan
from hanok.kubernetes.writing import MARKDOWN_HEADER

PATH = "APPLY.md"
_LAST = "See that it runs"
Step = tuple[str, Callable[[Page], Iterator[str]]]


def guide(plan: ClusterPlan, form: str, notes: Sequence[Note], pieces: Sequence[Piece]) -> str:
    """The page, in Markdown."""
    page = Page(plan=plan, form=form, notes=notes, pieces=pieces)
    found = [(title, list(step(page))) for title, step in _steps(plan)]
    kept = [(title, parts) for title, parts in found if parts]
    last = 1 + [title for title, _ in kept].index(_LAST)
    told = [
        f"# {plan.platform.name} on {plan.target}\n",
        f"Rendered from `{plan.loaded.file.name}` for the cluster `{plan.cluster.name}`. Steps 1 to {last} lead from "
        "nothing to a key that gets an answer; leave out what is there already. The others are for later.\n",
    ]
    for number, (title, parts) in enumerate(kept, start=1):
        told += [f"## {number}. {title}\n", *parts]
    if known := page.of(Known):
        told += ["## Good to know\n", "".join(f"- **{each.component}**: {each.message}\n" for each in known)]
    return MARKDOWN_HEADER + "\n" + "\n".join(told)


def _steps(plan: ClusterPlan) -> list[Step]:
    cluster = eks.steps if plan.on_aws else machines.steps
    return [
        ("Tools, and where you are", opening.steps),
        ("The image", image.steps),
        ("The cluster", cluster),
        ("Buckets and roles", roles.steps),
        ("Secrets", secrets.steps),
        ("Prove it, and apply it", applying.steps),
        (_LAST, checking.steps),
        ("Change it", keeping.steps),
        ("Take it down", leaving.steps),
    ]
