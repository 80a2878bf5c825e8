"""Hanok's own pods, the entry, the way to engines and the secrets: `cluster.hanok`, `entry`, `serving`, `secrets`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from hanok.migration.manifests.rendered.nodes import volume_gib
from hanok.migration.manifests.rendered.tree import (
    ENTRY,
    HANOK,
    MODELS,
    RenderedTree,
    gib,
    given,
    metadata,
    number,
    said,
    whole_gib,
)  # fmt: skip
from hanok.migration.manifests.told import Block, Told
from hanok.preflight import Manifest
from hanok.preflight.manifests import at, mapping_at, mappings_at, text_at

_POD = ("spec", "template", "spec", "containers", 0)
_BALANCER = "service.beta.kubernetes.io/aws-load-balancer-"
_STORES = {"SecretsManager": "aws-secrets-manager", "ParameterStore": "aws-parameter-store"}
_ONE_SECRET, _ITS_NAME = "kubernetes", "platform"
"""The store that is one Secret of the cluster, with a key for each variable."""
_EMBEDDED = re.compile(r"'engine': '(llamacpp|sentence-encoder)'")


def read_around(tree: RenderedTree, told: Told) -> Block:
    """What stands around the engines."""
    return given(
        hanok=_own(tree, told), entry=_entry(tree, told), serving=_serving(tree, told), secrets=_secrets(tree, told)
    ) | ({"kagent": {"enabled": True}} if any(True for _ in tree.of("Agent", group="kagent.dev")) else {})


# --- Hanok's own parts ------------------------------------------------------------------------------------------------


def _own(tree: RenderedTree, told: Told) -> Block:
    gateway = tree.find("StatefulSet", "hanok", HANOK)
    scaler = tree.find("HorizontalPodAutoscaler", "hanok", HANOK)
    image = said(gateway, told, "cluster.hanok.image", *_POD, "image")
    claim = said(gateway, told, "cluster.hanok.state_gib", "spec", "volumeClaimTemplates", 0)
    return given(
        image=None if str(image).startswith("hanok:") else image,
        replicas=said(scaler, told, "cluster.hanok.replicas", "spec", "minReplicas"),
        max_replicas=said(scaler, told, "cluster.hanok.max_replicas", "spec", "maxReplicas"),
        state_gib=volume_gib(claim) if claim else None,
        variables=dict(_variables(gateway, told)),
    ) | (_size(gateway, told) if not _embeds(tree) else {})


def _size(gateway: Manifest | None, told: Told) -> Block:
    """Processors and memory, where no embedded engine's are among them."""
    asked = said(gateway, told, "cluster.hanok.cpu, memory_gib", *_POD, "resources", "requests")
    return given(cpu=number(at(asked, "cpu")), memory_gib=gib(at(asked, "memory")))


def _embeds(tree: RenderedTree) -> bool:
    return any(_EMBEDDED.search(str(each.get("serve"))) for each in mappings_at(tree.platform, "models"))


def _variables(gateway: Manifest | None, told: Told) -> Iterator[tuple[str, str]]:
    """Values that are no secrets, as they stand in the pods."""
    for index, each in enumerate(mappings_at(gateway.body, *_POD, "env") if gateway else ()):
        name, value = text_at(each, "name"), each.get("value")
        if gateway is not None and isinstance(value, str) and name != "HOME":
            told.carried(gateway, (*_POD, "env", index), f"cluster.hanok.variables.{name}")
            yield name, value


# --- Entry ------------------------------------------------------------------------------------------------------------


def _entry(tree: RenderedTree, told: Told) -> Block | None:
    gateway = tree.find("Gateway", "hanok", ENTRY)
    if gateway is None:
        return {"expose": "none"} if tree.find("StatefulSet", "hanok", HANOK) else None
    balancer = mapping_at(gateway.body, "spec", "infrastructure", "annotations")
    scheme, issuer = balancer.get(f"{_BALANCER}scheme"), metadata(gateway, "annotations").get(_ISSUER)
    told.take(gateway)
    told.carried(gateway, (), "cluster.entry")
    return given(
        expose="public" if scheme == "internet-facing" else "internal",
        certificate=balancer.get(f"{_BALANCER}ssl-cert"),
        issuer=issuer,
        acme=_acme(tree.find("ClusterIssuer", str(issuer)), told),
    )


def _acme(issuer: Manifest | None, told: Told) -> Block | None:
    """The authority of an issuer that Hanok rendered."""
    acme = mapping_at(issuer.body, "spec", "acme") if issuer else None
    if issuer is None or not acme:
        return None
    told.take(issuer)
    told.carried(issuer, ("spec", "acme"), "cluster.entry.acme")
    server = acme.get("server")
    return given(
        email=acme.get("email"),
        zone=at(acme, "solvers", 0, "dns01", "route53", "hostedZoneID"),
        server=None if server == _USUAL else server,
    )


_USUAL = "https://acme-v02.api.letsencrypt.org/directory"
_ISSUER = "cert-manager.io/cluster-issuer"


# --- Engines' surroundings --------------------------------------------------------------------------------------------


def _serving(tree: RenderedTree, told: Told) -> Block:
    pool = next(tree.of("InferencePool"), None) or next((each.manifest for each in _pickers(tree)), None)
    claim = tree.find("PersistentVolumeClaim", "weights", MODELS)
    token = tree.find("ExternalSecret", "hugging-face", MODELS)
    held = said(token, told, "cluster.serving.token", "spec", "data", 0, "remoteRef")
    found = given(
        route="llm-d" if pool is not None else None,
        **_weights(claim, told),
        litellm=_litellm(tree, told),
    )
    if token is not None:
        return found | {"token": _variable(held)}
    return found | ({"token": None} if any(True for _ in tree.case.engines) else {})


def _pickers(tree: RenderedTree) -> Iterator[Any]:
    from hanok.preflight.charts import charts

    yield from (each for each in charts(tree.case.cluster) if "inferencepool" in each.name or "llm-d" in each.name)


def _weights(claim: Manifest | None, told: Told) -> Block:
    """Weights on a file system: Hanok's own class, or another."""
    name = said(claim, told, "cluster.serving.weights", "spec", "storageClassName")
    if name is None:
        return {}
    size = said(claim, told, "cluster.serving.weights_gib", "spec", "resources", "requests", "storage")
    kind = name if name in ("efs", "fsx") else "efs"
    return given(weights=kind, weights_gib=whole_gib(size), storage_class=name if name != kind else None)


def _litellm(tree: RenderedTree, told: Told) -> Block | None:
    """LiteLLM's proxy, and whom it asks: Hanok's door where every model leads there."""
    proxy, config = tree.find("Deployment", "litellm", HANOK), tree.find("ConfigMap", "litellm", HANOK)
    if proxy is None:
        return None
    text = str(mapping_at(config.body, "data")) if config else ""
    count = said(proxy, told, "cluster.serving.litellm", "spec", "replicas")
    env = {text_at(each, "name"): each for each in mappings_at(proxy.body, *_POD, "env")}
    held = text_at(env.get("DATABASE_URL"), "valueFrom", "secretKeyRef", "key")
    return given(
        enabled=True, replicas=count, to="engines" if f".{MODELS}.svc" in text else "door", database=held or None
    )


# --- Secrets ----------------------------------------------------------------------------------------------------------


def _secrets(tree: RenderedTree, told: Told) -> Block | None:
    store = next(tree.of("ClusterSecretStore", group="external-secrets.io"), None)
    secret = next((each for each in tree.of("ExternalSecret") if at(each.body, "spec", "data")), None)
    if secret is None:
        return None
    every = re.fullmatch(r"(\d{1,8})s", text_at(secret.body, "spec", "refreshInterval"))
    told.take(secret)
    told.carried(secret, ("spec",), "cluster.secrets")
    kind = _store(store)
    prefix = text_at(secret.body, "spec", "data", 0, "remoteRef", "key").rpartition("/")[0] + "/"
    return given(
        store=kind,
        name=text_at(secret.body, "spec", "secretStoreRef", "name") or None,
        prefix=None if kind == _ONE_SECRET else prefix,
        url=text_at(store.body, "spec", "provider", "vault", "server") or None if store else None,
        refresh_s=int(every[1]) if every else None,
    )


def _variable(held: Any) -> str:
    """The variable that a secret's key is: a property of the one Secret, or the last step of a name."""
    key = text_at(held, "key")
    return text_at(held, "property") if key == _ITS_NAME else key.rpartition("/")[2]


def _store(store: Manifest | None) -> str:
    if store is None:
        return "existing"
    for kind in ("vault", _ONE_SECRET):
        if mapping_at(store.body, "spec", "provider", kind):
            return kind
    return _STORES.get(text_at(store.body, "spec", "provider", "aws", "service"), "existing")
