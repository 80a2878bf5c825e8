"""The step of every day after: a change, a newer version, the way back, and what is no longer in the tree. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from hanok.kubernetes.formats.flat import folder_of_stage
from hanok.kubernetes.guide.page import TREE, Page, quoted, sh

_TAKEN = {
    "flux": "Commit and push: Flux applies it within ten minutes, at once by `flux reconcile source git flux-system`; "
    "it deletes what is no longer in the tree.\n",
    "argocd": "Commit and push: Argo CD applies it within minutes, and deletes what is no longer in the tree.\n",
    "flat": "Then apply what changed, as in the step above. Nothing deletes what is no longer in the tree: `hanok "
    "render` tells the commands that do, and `--diff` before it.\n",
}
_BACK = {
    "flux": "Back: revert the commit and push.",
    "argocd": "Back: revert the commit and push.",
    "flat": "Back: check out the commit before, and apply it; delete what it did not have.",
}


def steps(page: Page) -> Iterator[str]:
    """Change the platform file, look at what it does, apply it."""
    file = quoted(page.plan.loaded.file.name)
    how = f"hanok render {file} --target {page.plan.target} --format {page.form} --out {TREE}"
    yield "Edit the platform file; look at what that changes, and what it costs; render, prove:\n"
    yield sh(f"{how} --diff", how, f"hanok preflight {TREE}")
    if page.form == "flat":
        stage = max(page.objects, key=lambda each: folder_of_stage(each.stage)).stage
        yield f"What that does to a folder: `kubectl diff --server-side -k {TREE}/{folder_of_stage(stage)}`\n"
    yield _TAKEN[page.form]
    if page.plan.on_aws:
        yield _upgraded(page)
    yield (
        "Newer versions of charts and images: the same with `--update-lock`; of Hanok: the step of the image. "
        f"{_BACK[page.form]} `{page.plan.loaded.file.stem}.lock` goes back with it, and so do versions. What databases "
        "keep does not: back up before.\n"
    )


def _upgraded(page: Page) -> str:
    """Preflight first: it knows what a version of Kubernetes no longer takes."""
    name = page.cluster
    told = f"eksctl upgrade cluster --name {name} --version VERSION --approve"
    group = f", and `eksctl upgrade nodegroup --cluster {name} --name system`" if page.plan.target == "eks" else ""
    return (
        "Newer Kubernetes, one minor version at a time: set `cluster.kubernetes`, render, prove, then "
        f"`{told}`{group}; Karpenter exchanges the other nodes.\n"
    )
