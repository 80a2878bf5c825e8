"""Manifests as people write them, and what comes of them."""

from __future__ import annotations

import textwrap
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from hanok.migration import Translation, render
from hanok.migration.manifests import translate_manifests
from hanok.preflight import Case, Facts, Report, gather, preflight
from hanok.spec import Loaded
from hanok.spec.load import parse
from tests.rooms.preflight.conftest import facts

DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: NAME, namespace: ai}
spec:
  selector: {matchLabels: {app: NAME}}
  template:
    metadata: {labels: {app: NAME}}
    spec:
      containers:
        - name: vllm
          image: vllm/vllm-openai:v0.33.0
          ports: [{containerPort: 8000, name: http}]
          resources: {limits: {nvidia.com/gpu: 1}}
"""
SERVICE = """\
---
apiVersion: v1
kind: Service
metadata: {name: NAME, namespace: ai}
spec: {selector: {app: NAME}, ports: [{port: 80, targetPort: http}]}
"""


@cache
def _facts() -> Facts:
    return facts()


def vllm(name: str, *, service: bool = True, **container: Any) -> str:
    """A Deployment of vLLM with these keys in its container, and a Service before it."""
    more = textwrap.indent(yaml.safe_dump(container, sort_keys=False), " " * 10)
    return "---\n" + DEPLOYMENT.replace("NAME", name) + more + (SERVICE.replace("NAME", name) if service else "")


def imported(folder: Path, text: str, name: str = "all.yaml", *, judged: bool = True) -> Translation:
    """What comes of a file; Hanok's own loader takes it. Preflight, which takes its time, is asked where it counts."""
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return imported_from(file, judged=judged)


def imported_from(path: Path, *, judged: bool = True) -> Translation:
    """What comes of a file or a folder."""
    case = Case(cluster=gather([path]).cluster, facts=_facts())
    silent = Report(case=case, verdict="unknown", claims=[], findings=[], ignored=[])
    made = translate_manifests(case, preflight(case) if judged else silent)
    loaded(made)
    return made


def loaded(translation: Translation) -> Loaded:
    """The platform that is written, as Hanok reads it where every variable has a stand-in."""
    stand_ins = {each.name: each.stand_in for each in translation.variables}
    return parse(render(translation, source="all.yaml", command="manifests"), Path("platform.yaml"), stand_ins)


def notes(translation: Translation, kind: str) -> dict[int, str]:
    """The messages of one kind by their lines; those of one line together."""
    found: dict[int, str] = {}
    for note in translation.notes:
        if note.kind == kind:
            found[note.line] = f"{found.get(note.line, '')}{note.path} → {note.to}: {note.message}\n"
    return found


def line_of(text: str, part: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), 1) if part in line)
