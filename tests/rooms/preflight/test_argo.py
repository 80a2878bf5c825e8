"""Argo CD: what a chart's values name is looked for where the chart goes."""

from __future__ import annotations

import pytest

from tests.rooms.preflight.conftest import Look, look_by

look = look_by("HK202", "HK203", "HK21", "HK23")
APPLICATION = """apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {name: langfuse, namespace: argocd}
spec:
  project: default
  destination: {server: "https://kubernetes.default.svc", namespace: observability}
  source:
    repoURL: https://charts.example.com
    chart: langfuse
    targetRevision: 1.5.0
    helm:
      valuesObject:
        langfuse: {salt: {secretKeyRef: {name: langfuse-pinned, key: salt}}}
        redis: {url: "redis://cache:6379"}
---
"""
SECRET = """apiVersion: external-secrets.io/v1
kind: ExternalSecret
metadata: {name: langfuse-pinned, namespace: observability}
spec:
  secretStoreRef: {kind: ClusterSecretStore, name: store}
  data: [{secretKey: salt, remoteRef: {key: langfuse}}]
---
apiVersion: v1
kind: Service
metadata: {name: cache, namespace: observability}
spec: {ports: [{port: 6379}]}
"""


def test_secrets_and_hosts_in_a_charts_values_are_those_of_the_destination(look: Look) -> None:
    assert look(APPLICATION + SECRET).findings == []


def test_a_key_that_the_destinations_secret_does_not_have_is_found(look: Look) -> None:
    found = look(APPLICATION.replace("key: salt", "key: pepper") + SECRET).findings
    assert [(each.rule.id, each.message) for each in found] == [
        ("HK202", "Secret observability/langfuse-pinned has no key `pepper`; it has `salt`")
    ]


@pytest.mark.parametrize("space", [", namespace: observability", ', namespace: "{{.ns}}"'])
def test_where_the_destination_is_not_written_nothing_is_guessed(look: Look, space: str) -> None:
    text = APPLICATION.replace(", namespace: observability", "" if "obs" in space else space)
    assert not [each for each in look(text).findings if "langfuse-pinned" in each.message]
