"""`APPLY.md`: how the tree is applied, and what a person must do before. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hanok.kubernetes.component import Note
from hanok.kubernetes.plan import ClusterPlan
from hanok.kubernetes.writing import MARKDOWN_HEADER

PATH = "APPLY.md"
_FLUX = """\
Put this folder into the repository that Flux watches{path}, then let it look at `clusters/{environment}`:

```sh
flux bootstrap git --url=REPOSITORY --branch={branch} --path={root}clusters/{environment}
flux get kustomizations --watch
```
"""
_ARGO = """\
Put this folder into the repository{path}, then hand Argo CD its Applications; it applies them in waves:

```sh
kubectl apply -n argocd -f {root}clusters/{environment}
```
"""
_FLAT = """\
The numbers are the order; charts come between the namespaces and the rest:

```sh
kubectl apply -k {root}1-namespaces
helmfile --file {root}helmfile.yaml apply
kubectl apply --server-side -k {root}2-controllers   # where it is there, and so with those that follow
kubectl apply --server-side -k {root}3-configs
kubectl apply --server-side -k {root}4-apps
```
"""
_HOW: Mapping[str, str] = {"flux": _FLUX, "argocd": _ARGO, "flat": _FLAT}


def guide(plan: ClusterPlan, form: str, notes: Sequence[Note]) -> str:
    """The page, in Markdown."""
    repository = plan.cluster.repository
    root = repository.root
    words = {
        "environment": plan.cluster.environment,
        "branch": repository.branch,
        "root": f"{root}/" if root else "./",
        "path": f", as `{root}`" if root else "",
    }
    told = [
        f"# {plan.platform.name} on {plan.target}\n",
        f"Rendered from `{plan.loaded.file.name}` for the cluster `{plan.cluster.name}`.\n",
        "Prove it before it is applied: `hanok preflight .`\n",
        f"## Before\n\n{_before(notes)}" if notes else "",
        f"## Apply\n\n{_HOW[form].format(**words)}",
    ]
    return MARKDOWN_HEADER + "\n" + "\n".join(each for each in told if each)


def _before(notes: Sequence[Note]) -> str:
    return "".join(f"- **{each.component}**: {each.message}\n" for each in notes)
