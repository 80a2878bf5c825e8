"""Reports for tests of how they are told: real manifests, with findings of the tests' own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from hanok.preflight import Case, Finding, Report, Rule, Terms, gather
from hanok.preflight.case import Check
from hanok.preflight.verdict import judge
from tests.rooms.preflight.conftest import facts

SEATLESS = Rule("HK901", "error", "no seat", "add an instance type with more GPUs to the pool")
LOOSE = Rule("HK902", "warning", "an image without a version", "pin it: `image: shop/api:1.4.2`")
NOTE = Rule("HK903", "info", "a note", "nothing to do")
UNSURE = Rule("HK904", "warning", "a model that is not known", "give its `config.json`", open=True)
RULES = {rule.id: rule for rule in (SEATLESS, LOOSE, NOTE, UNSURE)}

DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {name}
  namespace: shop
spec:
  replicas: 2
  template:
    spec:
      containers:
        - name: api
          image: shop/{name}:latest
          resources:
            limits:
              nvidia.com/gpu: "4"  # four of them
"""
LIMITS = ("spec", "template", "spec", "containers", 0, "resources", "limits")


def deployments(*names: str) -> str:
    return "---\n".join(DEPLOYMENT.format(name=name) for name in names)


def seats(case: Case) -> Iterator[Finding]:
    for each in case.cluster.of("Deployment"):
        yield SEATLESS.on(each, *LIMITS, "nvidia.com/gpu", message="cannot be scheduled: no node has 4 GPUs")


def images(case: Case) -> Iterator[Finding]:
    for each in case.cluster.of("Deployment"):
        message = f"`shop/{each.name}:latest` is whatever is newest when a pod starts"
        yield LOOSE.on(each, *LIMITS[:-2], "image", message=message)


def notes(case: Case) -> Iterator[Finding]:
    for each in case.cluster.of("Deployment"):
        yield NOTE.on(each, message="is a Deployment")


def doubts(case: Case) -> Iterator[Finding]:
    for each in case.cluster.of("Deployment"):
        yield UNSURE.on(each, message="the model `shop/secret` is not known")


ALL = {"scheduling": [seats], "memory": [doubts], "consistency": [images, notes]}


def report_on(folder: Path, text: str, layers: Mapping[str, Iterable[Check]] = ALL, **terms: Any) -> Report:
    """The report on a file `all.yaml` in a folder, named as if the folder were the present one."""
    with contextlib.chdir(folder):
        Path("all.yaml").write_text(text, "utf-8")
        cluster = gather([Path("all.yaml")]).cluster
    return judge(Case(cluster=cluster, facts=facts()), layers, terms=Terms(**terms))
