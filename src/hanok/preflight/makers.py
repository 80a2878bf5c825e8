"""What controllers make of manifests: Secrets of an ExternalSecret, Services of an operator's object, all of a release.

Two kinds of makers. Of a *known* one we can say which objects it makes and of what names (`Made`). Of an *opaque* one,
such as a Helm release, only that it makes objects, where, and which names are surely its own (`Opaque`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from hanok.preflight import helmfiles
from hanok.preflight.charts import charts_of, release_name
from hanok.preflight.manifests import (
    Body,
    Manifest,
    Step,
    at,
    list_at,
    mapping_at,
    mappings_at,
    text_at,
    texts_at,
    whole_at,
)

EVERYWHERE = "*"
"""In place of a namespace: any."""
_BRANCHES = (dict, list)


@dataclass(frozen=True, kw_only=True)
class Made:
    """One object that a controller makes. `keys` is what it holds; None where that is not known."""

    kind: str
    namespace: str
    name: str
    keys: frozenset[str] | None = None


@dataclass(frozen=True, kw_only=True)
class Opaque:
    """Something that makes objects nobody can list from here."""

    by: Manifest
    namespace: str
    stems: tuple[str, ...] = ()
    """Names that begin so are its own."""
    anything: bool = True
    """It may make objects of any name, too."""
    wide: bool = True
    """It may make objects that stand in no namespace."""


def walk(value: object, path: tuple[Step, ...] = ()) -> Iterator[tuple[tuple[Step, ...], object]]:
    """Every value inside of a value, with its path, in the order of the document; the value itself first."""
    waiting: list[tuple[tuple[Step, ...], object]] = [(path, value)]
    while waiting:
        here, each = waiting.pop()
        yield here, each
        waiting += [((*here, step), inner) for step, inner in _below(each)][::-1]


def branches(value: object) -> Iterator[tuple[tuple[Step, ...], object]]:
    """The mappings and lists among the values of a walk."""
    waiting: list[tuple[tuple[Step, ...], object]] = [((), value)]
    while waiting:
        here, each = waiting.pop()
        yield here, each
        waiting += [((*here, step), inner) for step, inner in _below(each) if isinstance(inner, _BRANCHES)][::-1]


def _below(value: object) -> Iterable[tuple[Step, object]]:
    if isinstance(value, dict):
        return mapping_at(value).items()
    return enumerate(list_at(value)) if isinstance(value, list) else ()


def spots(value: object, pattern: str) -> Iterator[tuple[tuple[Step, ...], object]]:
    """What stands at a path such as `spec.tls[].secretName`, once for each item of a list on the way."""
    found: list[tuple[tuple[Step, ...], object]] = [((), value)]
    for piece in pattern.split("."):
        key = piece.removesuffix("[]")
        found = [((*path, key), inner) for path, each in found if (inner := at(each, key)) is not None]
        if piece.endswith("[]"):
            found = [((*path, index), inner) for path, each in found for index, inner in enumerate(list_at(each))]
    return iter([(path, each) for path, each in found if each is not None])


# --- Known makers -----------------------------------------------------------------------------------------------------

_TLS = frozenset({"tls.crt", "tls.key", "ca.crt"})
_ISSUERS = ("cert-manager.io/issuer", "cert-manager.io/cluster-issuer")
_BY_NAME: Mapping[str, Mapping[str, Sequence[str]]] = {
    "Milvus": {"Service": ["{}-milvus"]},
    "RayCluster": {"Service": ["{}-head-svc", "{}-headless-worker-svc", "{}-serve-svc"]},
    "RayService": {"Service": ["{}-head-svc", "{}-serve-svc"]},
    "LeaderWorkerSet": {"Service": ["{}"]},
    "JobSet": {"Service": ["{}"]},
    "Agent": {"Service": ["{}"], "Deployment": ["{}"], "ServiceAccount": ["{}"], "ConfigMap": ["{}"]},
    "MCPServer": {"Service": ["{}"], "Deployment": ["{}"], "ServiceAccount": ["{}"]},
    "OpenTelemetryCollector": {"Service": ["{}-collector", "{}-collector-headless", "{}-collector-monitoring"]},
    "Prometheus": {"Service": ["prometheus-operated"]},
    "Alertmanager": {"Service": ["alertmanager-operated"]},
    "DataVolume": {"PersistentVolumeClaim": ["{}"]},
    "OnePasswordItem": {"Secret": ["{}"]},
    "Bundle": {"ConfigMap": ["{}"], "Secret": ["{}"]},
    "ClusterExternalSecret": {"Secret": ["{}"]},
}
"""Objects that are made of one of a kind, by its name. Milvus: milvus-operator 1.3; Ray: KubeRay 1.7."""
_NAMED_SECRETS: Mapping[str, Sequence[str]] = {
    "VaultStaticSecret": ["spec.destination.name"],
    "VaultDynamicSecret": ["spec.destination.name"],
    "VaultPKISecret": ["spec.destination.name"],
    "InfisicalSecret": ["spec.managedSecretReference.secretName"],
    "DopplerSecret": ["spec.managedSecret.name"],
    "SopsSecret": ["spec.secretTemplates[].name"],
    "BitwardenSecret": ["spec.secretName"],
    "AzureKeyVaultSecret": ["spec.output.secret.name"],
    "Issuer": ["spec.acme.privateKeySecretRef.name"],
    "ClusterExternalSecret": ["spec.externalSecretName", "spec.externalSecretSpec.target.name"],
}
"""Where a kind names the Secrets that are made of it."""
_COPIED = ("reflector.v1.k8s.emberstack.com/reflection-allowed", "replicator.v1.mittwald.de/replicate-to")


def made_of(manifest: Manifest) -> Iterator[Made]:
    """The objects that are known to be made of a manifest."""
    if special := _SPECIAL.get(manifest.kind):
        yield from special(manifest)
    for kind, templates in _BY_NAME.get(manifest.kind, {}).items():
        for each in templates:
            yield _made(manifest, kind, each.format(manifest.name))
    for pattern in _NAMED_SECRETS.get(manifest.kind, ()):
        for _, name in spots(manifest.body, pattern):
            yield _made(manifest, "Secret", str(name))
    if manifest.kind in ("Secret", "ConfigMap") and any(key in manifest.annotations for key in _COPIED):
        yield Made(kind=manifest.kind, namespace=EVERYWHERE, name=manifest.name)


def _made(by: Manifest, kind: str, name: str, keys: frozenset[str] | None = None) -> Made:
    return Made(kind=kind, namespace=by.namespace or EVERYWHERE, name=name, keys=keys)


def _external_secret(manifest: Manifest) -> Iterator[Made]:
    spec = mapping_at(manifest.body, "spec")
    keys = {text_at(each, "secretKey") for each in mappings_at(spec, "data")}
    keys |= set(mapping_at(spec, "target", "template", "data"))
    open_ended = bool(list_at(spec, "dataFrom") or list_at(spec, "target", "template", "templateFrom"))
    name = text_at(spec, "target", "name") or manifest.name
    yield _made(manifest, "Secret", name, None if open_ended else frozenset(keys))


def _sealed_secret(manifest: Manifest) -> Iterator[Made]:
    spec = mapping_at(manifest.body, "spec")
    keys = {*mapping_at(spec, "encryptedData"), *mapping_at(spec, "template", "data")}
    yield _made(manifest, "Secret", text_at(spec, "template", "metadata", "name") or manifest.name, frozenset(keys))


def _certificate(manifest: Manifest) -> Iterator[Made]:
    spec = mapping_at(manifest.body, "spec")
    more = bool(mapping_at(spec, "keystores") or list_at(spec, "additionalOutputFormats"))
    yield _made(manifest, "Secret", text_at(spec, "secretName"), None if more else _TLS)


def _secret_provider_class(manifest: Manifest) -> Iterator[Made]:
    for each in mappings_at(manifest.body, "spec", "secretObjects"):
        keys = frozenset(text_at(item, "key") for item in mappings_at(each, "data"))
        yield _made(manifest, "Secret", text_at(each, "secretName"), keys)


def _ingress(manifest: Manifest) -> Iterator[Made]:
    if any(key in manifest.annotations for key in _ISSUERS):
        for _, name in spots(manifest.body, "spec.tls[].secretName"):
            yield _made(manifest, "Secret", str(name), _TLS)


def _gateway(manifest: Manifest) -> Iterator[Made]:
    """Its controller makes a Service, named after it, and perhaps after its class."""
    yield _made(manifest, "Service", manifest.name)
    yield _made(manifest, "Service", f"{manifest.name}-{text_at(manifest.body, 'spec', 'gatewayClassName')}")
    if any(key in manifest.annotations for key in _ISSUERS):
        for _, name in spots(manifest.body, "spec.listeners[].tls.certificateRefs[].name"):
            yield _made(manifest, "Secret", str(name), _TLS)


def _stateful_set(manifest: Manifest) -> Iterator[Made]:
    for each in mappings_at(manifest.body, "spec", "volumeClaimTemplates"):
        for index in range(min(100, whole_at(manifest.body, "spec", "replicas") or 1)):
            yield _made(
                manifest, "PersistentVolumeClaim", f"{text_at(each, 'metadata', 'name')}-{manifest.name}-{index}"
            )


def _postgres(manifest: Manifest) -> Iterator[Made]:
    if manifest.group == "postgresql.cnpg.io":
        for end in ("rw", "ro", "r"):
            yield _made(manifest, "Service", f"{manifest.name}-{end}")
        for end in ("app", "superuser", "ca", "server", "replication"):
            yield _made(manifest, "Secret", f"{manifest.name}-{end}")


_SPECIAL: Mapping[str, Callable[[Manifest], Iterator[Made]]] = {
    "ExternalSecret": _external_secret,
    "SealedSecret": _sealed_secret,
    "Certificate": _certificate,
    "SecretProviderClass": _secret_provider_class,
    "Ingress": _ingress,
    "Gateway": _gateway,
    "StatefulSet": _stateful_set,
    "Cluster": _postgres,
}

# --- Opaque makers ----------------------------------------------------------------------------------------------------

PASSIVE = frozenset({
    "", "apps", "batch", "autoscaling", "policy", "networking.k8s.io", "rbac.authorization.k8s.io", "storage.k8s.io",
    "scheduling.k8s.io", "node.k8s.io", "resource.k8s.io", "apiextensions.k8s.io", "admissionregistration.k8s.io",
    "coordination.k8s.io", "discovery.k8s.io", "events.k8s.io", "apiregistration.k8s.io", "extensions",
    "gateway.networking.k8s.io", "inference.networking.k8s.io", "inference.networking.x-k8s.io", "llm-d.ai",
    "karpenter.sh", "karpenter.k8s.aws", "eks.amazonaws.com", "monitoring.coreos.com", "keda.sh", "external-secrets.io",
    "cert-manager.io", "bitnami.com", "secrets-store.csi.x-k8s.io", "source.toolkit.fluxcd.io",
    "notification.toolkit.fluxcd.io", "image.toolkit.fluxcd.io", "leaderworkerset.x-k8s.io", "ray.io", "kagent.dev",
    "kyverno.io",
})  # fmt: skip
"""Groups whose objects make nothing that others call by name, or only what `made_of` knows."""
_MILVUS_PARTS = ("etcd", "minio", "pulsar", "kafka")


def opaque_of(manifest: Manifest, files: Callable[[str], bool]) -> Iterator[Opaque]:
    """What makes objects that cannot be listed. `files` tells whether a path of a repository is in the tree."""
    spec = mapping_at(manifest.body, "spec")
    match manifest.kind, manifest.group:
        case "HelmRelease", _:
            yield _release(manifest, spec)
        case helmfiles.KIND, helmfiles.GROUP:
            yield _release(manifest, spec)
        case "HelmChart", "helm.cattle.io":
            space = text_at(spec, "targetNamespace") or manifest.namespace
            yield Opaque(by=manifest, namespace=space, stems=(manifest.name,))
        case "Kustomization", "kustomize.toolkit.fluxcd.io":
            if not files(text_at(spec, "path")):
                yield Opaque(by=manifest, namespace=text_at(spec, "targetNamespace") or EVERYWHERE)
        case "Application", "argoproj.io":
            yield from _application(manifest, spec, files)
        case "ApplicationSet", "argoproj.io":
            yield Opaque(by=manifest, namespace=EVERYWHERE)
        case "Milvus", _:
            stems = tuple(f"{manifest.name}-{part}" for part in _MILVUS_PARTS)
            more = tuple(_renamed(spec))
            yield Opaque(by=manifest, namespace=manifest.namespace, stems=(*stems, *more), anything=False, wide=False)
        case (("Prometheus" | "PrometheusAgent" | "Alertmanager" | "ThanosRuler"), "monitoring.coreos.com"):
            stems = (f"{manifest.kind.lower()}-{manifest.name}", f"{manifest.kind.lower()}-operated")
            yield Opaque(by=manifest, namespace=manifest.namespace, stems=stems, anything=False, wide=False)
        case _, group if group not in PASSIVE:
            yield Opaque(
                by=manifest,
                namespace=manifest.namespace or EVERYWHERE,
                stems=(manifest.name,),
                anything=False,
                wide=False,
            )
        case _:
            return


def _release(manifest: Manifest, spec: Body) -> Opaque:
    """A release of Flux, or of a helmfile."""
    brought = [each.name for each in charts_of(manifest)]
    names = (release_name(manifest), manifest.name, *brought, *_renamed(mapping_at(spec, "values")))
    namespace = text_at(spec, "targetNamespace") or manifest.namespace
    if manifest.kind == helmfiles.KIND and helmfiles.is_anywhere(manifest):
        namespace = EVERYWHERE
    return Opaque(by=manifest, namespace=namespace, stems=tuple(each for each in names if each))


def _application(manifest: Manifest, spec: Body, files: Callable[[str], bool]) -> Iterator[Opaque]:
    sources = [mapping_at(spec, "source"), *mappings_at(spec, "sources")]
    given = [each for each in sources if each]
    if all(text_at(each, "path") and files(text_at(each, "path")) for each in given) and given:
        return
    stems = [manifest.name, *(text_at(each, "chart") for each in given)]
    stems += [text_at(each, "helm", "releaseName") for each in given]
    space = text_at(spec, "destination", "namespace") or EVERYWHERE
    yield Opaque(by=manifest, namespace=space, stems=tuple(each for each in stems if each))


def _renamed(values: Body) -> Iterator[str]:
    """Names that values give to what is made."""
    for path, value in walk(values):
        if path and path[-1] in ("fullnameOverride", "nameOverride") and isinstance(value, str) and value:
            yield value


def generated(kustomization: Manifest) -> Iterator[Made]:
    """What a kustomization generates: ConfigMaps and Secrets, their hashes left out."""
    for key, kind in (("configMapGenerator", "ConfigMap"), ("secretGenerator", "Secret")):
        for each in mappings_at(kustomization.body, key):
            yield Made(kind=kind, namespace=EVERYWHERE, name=text_at(each, "name"))


def brings_more(kustomization: Manifest) -> bool:
    """Whether a kustomization takes in what is not in the tree: charts, addresses; or is a helmfile not read."""
    if kustomization.kind == helmfiles.UNREAD:
        return True
    taken = [*texts_at(kustomization.body, "resources"), *texts_at(kustomization.body, "bases")]
    return bool(list_at(kustomization.body, "helmCharts")) or any("//" in each or "?ref=" in each for each in taken)
