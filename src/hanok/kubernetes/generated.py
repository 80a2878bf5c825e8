"""Passwords that the cluster makes for itself, once, by External Secrets: nobody has to know them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from hanok.kubernetes.component import Body
from hanok.kubernetes.objects import labels, thing

PASSWORD = "{{ .password }}"


def generated_secret(name: str, namespace: str, texts: Mapping[str, str], *, component: str) -> Iterator[Body]:
    """A Secret with these texts by key, in which `PASSWORD` stands for 40 letters and digits, made once."""
    generator = {"apiVersion": "generators.external-secrets.io/v1alpha1", "kind": "Password", "name": name}
    length = {"length": 40, "digits": 10, "symbols": 0, "noUpper": False, "allowRepeat": True}
    marks = labels(name, component)
    yield thing(generator["apiVersion"], "Password", name, namespace, labels=marks, spec=length)
    template = {"engineVersion": "v2", "data": dict(texts)}
    spec = {
        "refreshPolicy": "CreatedOnce",
        "target": {"name": name, "creationPolicy": "Owner", "template": template},
        "dataFrom": [{"sourceRef": {"generatorRef": generator}}],
    }
    yield thing("external-secrets.io/v1", "ExternalSecret", name, namespace, labels=marks, spec=spec)
