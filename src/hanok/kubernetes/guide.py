"""`APPLY.md`: how the tree is applied, and what a person must do before. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hanok.kubernetes.asked import later, sections
from hanok.kubernetes.component import Piece, Placed
from hanok.kubernetes.external import stored_names
from hanok.kubernetes.formats.flat import steps
from hanok.kubernetes.notes import Note
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
Put this folder into the repository{path}, then hand Argo CD the Application that makes all others, in waves:

```sh
kubectl apply -n argocd -f {root}clusters/{environment}.yaml
```

What comes before what it needs fails, and is tried again until that is there: in a new cluster some Applications are
red for a quarter of an hour.
"""
_FLAT = """\
The numbers are the order; each stage's charts are in the helmfile:

```sh
{steps}
```
"""
_HOW: Mapping[str, str] = {"flux": _FLUX, "argocd": _ARGO, "flat": _FLAT}


def guide(plan: ClusterPlan, form: str, notes: Sequence[Note], pieces: Sequence[Piece]) -> str:
    """The page, in Markdown."""
    repository = plan.cluster.repository
    root = repository.root
    before = f"{root}/" if root else "./"
    words = {
        "environment": plan.cluster.environment,
        "branch": repository.branch,
        "root": before,
        "steps": "\n".join(steps(pieces, before)),
        "path": f", as `{root}`" if root else "",
    }
    told = [
        f"# {plan.platform.name} on {plan.target}\n",
        f"Rendered from `{plan.loaded.file.name}` for the cluster `{plan.cluster.name}`.\n",
        "Prove it before it is applied: `hanok preflight .`\n",
        *sections(plan, notes, stored_names(each.body for each in pieces if isinstance(each, Placed))),
        f"## Apply\n\n{_HOW[form].format(**words)}",
        *later(notes),
    ]
    return MARKDOWN_HEADER + "\n" + "\n".join(each for each in told if each)
