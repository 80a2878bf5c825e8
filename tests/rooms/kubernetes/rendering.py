"""What the tests of rendering share: a platform's text in, its tree out; and what preflight says of the tree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import yaml

from hanok.kubernetes import ClusterPlan, Format, Rendered, make_plan, render
from hanok.kubernetes.load import as_platform, shipped
from hanok.kubernetes.lock import Lock
from hanok.kubernetes.store import write_tree
from hanok.preflight import Case, Finding, Report, gather, preflight
from hanok.preflight.schema.load import load_custom
from hanok.spec import Target
from tests.rooms.preflight.conftest import CRDS, anatomy, catalog, facts

Body = dict[str, Any]
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
CHAT = """\
name: acme
models:
  - name: chat
    serve: {engine: vllm, model: meta-llama/Llama-3.3-70B-Instruct, flags: {max-model-len: 16384}}
    deploy: {gpu: ["g6e.*"], load: {requests_per_s: 2}}
"""
"""A platform with one model that needs four GPUs."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Made:
    """A rendered tree, with its files read again."""

    plan: ClusterPlan
    rendered: Rendered

    @property
    def files(self) -> Mapping[str, str]:
        return self.rendered.files

    def objects(self) -> Iterator[tuple[str, Body]]:
        """Every Kubernetes object by its path."""
        yield from self._read

    @cached_property
    def _read(self) -> list[tuple[str, Body]]:
        found = self.files.items()
        kept = [each for each in found if each[0].endswith(".yaml") and not each[0].endswith("/kustomization.yaml")]
        return [(path, yaml.load(text, Loader=_Loader)) for path, text in kept]

    def all(self, kind: str) -> list[Body]:
        return [body for _, body in self.objects() if body.get("kind") == kind]  # a helmfile has none

    def one(self, kind: str, name: str) -> Body:
        """The only object of that kind and name."""
        [found] = [each for each in self.all(kind) if each["metadata"]["name"] == name]
        return found


def made(
    text: str, *, target: Target | None = None, form: Format = "flux", lock: Lock | None = None,
    texts: Mapping[str, str] | None = None,
) -> Made:  # fmt: skip
    """The tree of a platform, given as text. Raises `SpecError`."""
    file = Path("platform.yaml")
    plan = make_plan(
        *as_platform(text, file), target=target, lock=lock or shipped(),
        catalog=catalog(), anatomy=anatomy, version="0.1.0", texts=texts or {},
    )  # fmt: skip
    return Made(plan=plan, rendered=render(plan, form))


def proof(tree: Made, folder: Path) -> Report:
    """What preflight says of the tree, with the schemas of custom kinds where they are here."""
    write_tree(tree.files, folder)
    return preflight(Case(cluster=gather([folder]).cluster, facts=facts(custom=_custom())))


def faults(tree: Made, folder: Path) -> list[str]:
    """Errors and warnings of preflight, in words; those of a whole tree should be none.

    Kinds of which no schema is at hand are no fault of the tree (HK107).
    """
    found = proof(tree, folder).findings
    return [_said(each) for each in found if each.severity != "info" and each.rule.id != "HK107"]


def _said(finding: Finding) -> str:
    return f"{finding.rule.id} {finding.file}: {finding.message}"


@cache
def _custom() -> Any:
    return load_custom([CRDS] if CRDS.exists() else [])
