"""Secrets and ConfigMaps that pods and other objects read, and the keys that they read of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from hanok.preflight.case import Case
from hanok.preflight.charts import space_at
from hanok.preflight.findings import Finding, Rule
from hanok.preflight.makers import branches, spots
from hanok.preflight.manifests import Body, Manifest, Step, at, mapping_at, mappings_at, text_at
from hanok.preflight.references.uses import Use, and_others, follow, is_name, outside, together
from hanok.preflight.workloads import Workload

NO_CONFIG_MAP = Rule("HK201", "error", "a ConfigMap that does not exist", "add it, or name one that there is")
NO_KEY = Rule("HK202", "error", "a key that a ConfigMap or Secret does not have", "add the key, or name one it has")
NO_SECRET = Rule(
    "HK203",
    "warning",
    "a Secret that nothing here makes",
    "create it before, or let an ExternalSecret or SealedSecret make it",
    open=True,
)
NO_PROVIDER = Rule("HK228", "error", "a SecretProviderClass that does not exist", "add it beside the pod")

_MADE_THERE = {"privateKeySecretRef", "writeConnectionSecretToRef", "publishConnectionDetailsTo"}
"""References to Secrets that are written, not read."""
_MONITORED = {"username", "password", "credentials", "bearerTokenSecret", "keySecret", "secret", "clientSecret"}
_LISTED: Mapping[str, tuple[tuple[str, str], ...]] = {
    "Gateway": (("spec.listeners[].tls.certificateRefs[]", "Secret"),),
    "TriggerAuthentication": (("spec.secretTargetRef[]", "Secret"), ("spec.configMapTargetRef[]", "ConfigMap")),
}
_TEXTS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "Ingress": (("spec.tls[].secretName", ""),),
    "ModelConfig": (("spec.apiKeySecret", "apiKeySecretKey"), ("spec.apiKeySecretRef", "apiKeySecretKey")),
}
"""Where a kind names a Secret by its name alone, and what beside it names the key."""
_WITH_KINDS: Mapping[str, tuple[str, str]] = {
    "valuesFrom": ("valuesKey", "values.yaml"),
    "substituteFrom": ("", ""),
    "headersFrom": ("key", ""),
}


def check_configuration(case: Case) -> Iterator[Finding]:
    """All that is read of ConfigMaps and Secrets."""
    uses = [each for each in config_uses(case) if each.namespace]
    config_maps = (each for each in uses if each.kind == "ConfigMap")
    yield from follow(case, config_maps, NO_CONFIG_MAP, "what reads it does not start")
    yield from _without_secret(case, [each for each in uses if each.kind == "Secret"])
    yield from _without_key(case, uses)


def _without_secret(case: Case, uses: list[Use]) -> Iterator[Finding]:
    """Nobody commits Secrets, so one that is not in the tree refutes nothing."""
    for users in together(each for each in uses if not each.optional):
        first = users[0]
        standing = case.inventory.standing("Secret", first.name, first.namespace, user=first.manifest)
        if standing == "missing":
            message = f"nothing here makes {first.title}{and_others(users)}: until somebody does, pods wait"
            yield first.say(NO_SECRET, message)
        elif standing == "perhaps":
            yield outside(case, first)


def _without_key(case: Case, uses: list[Use]) -> Iterator[Finding]:
    said: set[tuple[str, str, str, str]] = set()
    for each in uses:
        held = case.inventory.keys(each.kind, each.name, each.namespace)
        what = (each.kind, each.namespace, each.name, each.key)
        if not each.key or each.optional or held is None or each.key in held or what in said:
            continue
        if is_name(each.key):
            said.add(what)
            has = ", ".join(f"`{key}`" for key in sorted(held)[:6])
            yield each.say(NO_KEY, f"{each.title} has no key `{each.key}`; it has {has}")


def check_providers(case: Case) -> Iterator[Finding]:
    uses = (
        Use(
            manifest=workload.manifest,
            path=(*workload.path, *path),
            kind="SecretProviderClass",
            name=str(name),
            namespace=workload.namespace,
        )
        for workload in case.workloads
        for path, name in spots(workload.template, "spec.volumes[].csi.volumeAttributes.secretProviderClass")
    )
    yield from follow(case, uses, NO_PROVIDER, "the volume cannot be mounted")


def config_uses(case: Case) -> list[Use]:
    """Every use of a Secret or ConfigMap in the tree, in the order of the manifests."""
    found = [use for manifest in case.cluster.manifests for use in _in_manifest(manifest)]
    return found + [use for workload in case.workloads for use in _sub_paths(workload)]


def _in_manifest(manifest: Manifest) -> Iterator[Use]:
    if manifest.kind in ("CustomResourceDefinition", "ConfigMap", "Secret"):
        return
    for path, value in branches(manifest.body):
        key = path[-1] if path else 0
        if isinstance(key, str):
            yield from _at_key(manifest, path, key, value)
    for pattern, key in _TEXTS.get(manifest.kind, ()):
        for path, name in spots(manifest.body, pattern):
            if isinstance(name, str):
                beside = text_at(manifest.body, *path[:-1], key) if key else ""
                yield _use(manifest, path, "Secret", {"name": name, "key": beside})
    for pattern, kind in _LISTED.get(manifest.kind, ()):
        for path, each in spots(manifest.body, pattern):
            yield _use(manifest, path, kind, mapping_at(each))


def _at_key(manifest: Manifest, path: tuple[Step, ...], key: str, value: object) -> Iterator[Use]:
    """Uses in what stands at one key, wherever in the manifest that is."""
    body = mapping_at(value)
    if key in ("configMapKeyRef", "configMapRef"):
        yield _use(manifest, path, "ConfigMap", body)
    elif key.lower().endswith(("secretref", "secretkeyref")) and key not in _MADE_THERE:
        yield _use(manifest, path, "Secret", body)
    elif key == "imagePullSecrets":
        for index, each in enumerate(mappings_at(value)):
            yield _use(manifest, (*path, index), "Secret", each)
    elif key in _WITH_KINDS:
        yield from _of_kinds(manifest, path, value, *_WITH_KINDS[key])
    elif manifest.group == "monitoring.coreos.com" and key in _MONITORED and "key" in body:
        yield _use(manifest, path, "Secret", body)
    elif _is_volume(path):
        yield from _volume(manifest, path, key, body)


def _of_kinds(manifest: Manifest, path: tuple[Step, ...], value: object, key: str, default: str) -> Iterator[Use]:
    """Items that say themselves whether they mean a Secret or a ConfigMap."""
    for index, item in enumerate(mappings_at(value)):
        each = mapping_at(item, "valueFrom") or item
        kind = text_at(each, "kind") or text_at(each, "type")
        if kind in ("Secret", "ConfigMap"):
            wanted = (text_at(each, key) or default) if key else ""
            yield _use(manifest, (*path, index), kind, {**each, "key": wanted})


def _is_volume(path: tuple[Step, ...]) -> bool:
    return len(path) >= 3 and path[-3] in ("volumes", "sources") and isinstance(path[-2], int)


def _volume(manifest: Manifest, path: tuple[Step, ...], key: str, body: Body) -> Iterator[Use]:
    kind = {"secret": "Secret", "configMap": "ConfigMap"}.get(key)
    if kind is None:
        return
    source = {"name": text_at(body, "secretName") or text_at(body, "name"), "optional": at(body, "optional")}
    yield _use(manifest, path, kind, source)
    for index, item in enumerate(mappings_at(body, "items")):
        yield _use(manifest, (*path, "items", index), kind, {**source, "key": text_at(item, "key")})


def _use(manifest: Manifest, path: tuple[Step, ...], kind: str, body: Body) -> Use:
    return Use(
        manifest=manifest,
        path=path,
        kind=kind,
        name=text_at(body, "name"),
        namespace=text_at(body, "namespace") or space_at(manifest, path),
        key=text_at(body, "key"),
        optional=at(body, "optional") is True,
    )


def _sub_paths(workload: Workload) -> Iterator[Use]:
    """A `subPath` is a key of what is mounted; of one that is not there an empty folder is made."""
    volumes = {text_at(each, "name"): each for each in mappings_at(workload.spec, "volumes")}
    for container in (*workload.containers, *workload.inits):
        for index, mount in enumerate(mappings_at(container.body, "volumeMounts")):
            key = text_at(mount, "subPath").split("/")[0]
            volume = volumes.get(text_at(mount, "name"), {})
            for kind, part, named in (("ConfigMap", "configMap", "name"), ("Secret", "secret", "secretName")):
                body = mapping_at(volume, part)
                if key and body and "items" not in body:
                    source = {"name": text_at(body, named), "key": key, "optional": at(body, "optional")}
                    yield _use(workload.manifest, (*container.path, "volumeMounts", index, "subPath"), kind, source)


CHECKS = (check_configuration, check_providers)
