"""The first step: tools, and what all other steps take as given. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from hanok.kubernetes.guide.page import Page, quoted, sh

_APPLIES = {"flux": ["flux", "git"], "argocd": ["git"], "flat": ["helmfile"]}


def steps(page: Page) -> Iterator[str]:
    """Tools by name, and variables of the shell."""
    plan, repository = page.plan, page.plan.cluster.repository
    clouds = plan.on_aws or plan.secret_store.startswith("aws-")
    others = [*(["aws"] if clouds else []), *(["eksctl"] if plan.on_aws else [])]
    others += ["vault"] if plan.secret_store == "vault" else []
    tools = [*others, "kubectl", "helm", *_APPLIES[page.form], "podman", "uv", "jq"]
    names = ", ".join(f"`{each}`" for each in [*tools, "openssl", "curl"])
    yield (
        f"You need {names} and `hanok`. Run everything in one `bash`, in the folder of "
        f"`{plan.loaded.file.name}`; `TREE` is this folder, seen from there.\n"
    )
    where = repository.root.rpartition("/")[2] or "deploy"
    lines = [f"TREE={quoted(where)}", 'ls "$TREE/APPLY.md"']
    if clouds:
        lines += [f"export AWS_REGION={quoted(plan.cluster.region)} AWS_PAGER="]
    if plan.on_aws:
        lines += [
            "export AWS_ACCOUNT=$(aws sts get-caller-identity --query Account --output text)",
        ]
    if plan.on_aws and (account := plan.cluster.account):
        lines.append(f'[ "$AWS_ACCOUNT" = {account} ] || echo "these credentials are of another account"')
    yield sh(*lines)
