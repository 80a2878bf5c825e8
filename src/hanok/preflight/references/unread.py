"""Configuration that stands in the tree and reaches nobody: ConfigMaps that nothing names, files that nothing opens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from hanok.preflight.case import Case
from hanok.preflight.findings import Finding, Rule
from hanok.preflight.manifests import Manifest, mapping_at, mappings_at, text_at
from hanok.preflight.references.uses import is_name
from hanok.preflight.sharing import operators
from hanok.preflight.workloads import Container, Workload

UNREAD = Rule(
    "HK251", "warning", "a ConfigMap that nothing reads", "mount it, name it to what should read it, or delete it"
)
UNREAD_SECRET = Rule("HK252", "info", "a Secret that nothing reads", "delete it, or name it to what should read it")
UNOPENED = Rule("HK253", "error", "a mounted file that its program is not told of", "name the file in its arguments")

_READ_BY_LABEL = ("grafana_dashboard", "grafana_datasource", "grafana_alert", "grafana_folder", "rclone", "owner")
_SYSTEM = ("kube-root-ca.crt", "aws-auth", "coredns", "kube-proxy", "cluster-info")
_SYSTEM_SPACES = ("kube-system", "kube-public", "kube-node-lease", "argocd", "flux-system")
"""Where controllers read objects of names that they know."""
_OWN_TYPES = (
    "kubernetes.io/service-account-token", "helm.sh/release.v1", "bootstrap.kubernetes.io/token",
    "kubernetes.io/dockerconfigjson",
)  # fmt: skip


def check_config_maps(case: Case) -> Iterator[Finding]:
    for each in case.cluster.of("ConfigMap", group=""):
        if (
            _is_for_somebody(each)
            or _is_of_gpus(case, each)
            or case.inventory.is_mentioned(each.name)
            or not _has_readers(case, each.namespace)
        ):
            continue
        message = "nothing in these files names it: no pod mounts it, and no release or argument means it"
        yield UNREAD.on(each, "metadata", "name", message=message)


def check_secrets(case: Case) -> Iterator[Finding]:
    for each in case.cluster.of("Secret", group=""):
        own = text_at(each.body, "type") in _OWN_TYPES or _is_for_somebody(each)
        if not own and not case.inventory.is_mentioned(each.name) and _has_readers(case, each.namespace):
            yield UNREAD_SECRET.on(each, "metadata", "name", message="nothing in these files names it")


def _has_readers(case: Case, namespace: str) -> bool:
    """Whether the tree shows who works there at all."""
    return case.inventory.is_peopled(namespace) or bool(case.inventory.selected(namespace, {}))


def _is_for_somebody(manifest: Manifest) -> bool:
    """Whether a controller finds it by a label or a name of its own."""
    if manifest.namespace in _SYSTEM_SPACES or manifest.name in _SYSTEM or not is_name(manifest.name):
        return True
    labels = (*manifest.labels, *manifest.annotations)
    return any("/" in key or key in _READ_BY_LABEL or key.endswith(("_dashboard", "_datasource")) for key in labels)


def _is_of_gpus(case: Case, manifest: Manifest) -> bool:
    """Whether it is the GPU operator's, where that is here: what is not read of it is told more closely there."""
    data = mapping_at(manifest.body, "data")
    layouts = any(isinstance(text, str) and "mig-configs" in text for text in data.values())
    return "mig.strategy" in data or (layouts and any(True for _ in operators(case.cluster)))


# --- Files that a program must be told of -----------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Program:
    """A program that opens no configuration file by itself."""

    title: str
    images: Sequence[str]
    flags: Sequence[str]
    variables: Sequence[str] = ()
    defaults: Sequence[str] = ()
    """Files that it opens unasked."""


PROGRAMS: Sequence[Program] = (
    Program(title="LiteLLM", images=("litellm",), flags=("--config", "-c"), variables=("CONFIG_FILE_PATH",)),
    Program(
        title="the endpoint picker",
        images=("llm-d-router-endpoint-picker", "llm-d-inference-scheduler", "/epp"),
        flags=("--config-file", "--config-text"),
    ),
    Program(
        title="the collector",
        images=("opentelemetry-collector", "otelcol"),
        flags=("--config",),
        defaults=("/etc/otelcol", "/etc/otelcol-contrib"),
    ),
)
"""litellm 1.109 (`proxy_cli.py`: `--config`, CONFIG_FILE_PATH); llm-d-router 0.10; otelcol 0.158."""


def check_mounted_files(case: Case) -> Iterator[Finding]:
    for workload in case.workloads:
        volumes = {text_at(each, "name"): each for each in mappings_at(workload.spec, "volumes")}
        for container in workload.containers:
            program = _program(container)
            if program is not None and not _is_told(container, program):
                yield from _unopened(workload, container, program, volumes)


def _program(container: Container) -> Program | None:
    image = container.image.split("@")[0]
    return next((each for each in PROGRAMS if any(word in image for word in each.images)), None)


def _is_told(container: Container, program: Program) -> bool:
    variables = {text_at(each, "name") for each in mappings_at(container.body, "env")}
    words = [piece for word in container.words for piece in word.split()]
    flags = {word.partition("=")[0].lstrip("-") for word in words if word.startswith("-")}
    told = flags & {flag.lstrip("-") for flag in program.flags}
    return bool(told or variables & set(program.variables))


def _unopened(
    workload: Workload, container: Container, program: Program, volumes: Mapping[str, Mapping[str, object]]
) -> Iterator[Finding]:
    for index, mount in enumerate(mappings_at(container.body, "volumeMounts")):
        path, volume = text_at(mount, "mountPath"), volumes.get(text_at(mount, "name"), {})
        if "configMap" not in volume or not _is_settings(path, mount, program):
            continue
        if any(path in word for word in (*container.words, *container.env.values())):
            continue
        flag = program.flags[0]
        file = path if path.endswith((".yaml", ".yml", ".json")) else f"{path.rstrip('/')}/config.yaml"
        hint = f'`args: ["{flag}", "{file}"]`'
        message = f"{program.title} is not told of {path}: without `{flag}` it starts with no configuration at all"
        where = (*container.path, "volumeMounts", index)
        yield UNOPENED.on(workload.manifest, *where, message=message, hint=hint)


def _is_settings(path: str, mount: Mapping[str, object], program: Program) -> bool:
    """Whether what is mounted is the program's configuration, and not a certificate, a script or a hook."""
    if any(path.startswith(each) for each in program.defaults):
        return False
    return "config" in f"{path} {text_at(mount, 'subPath')} {text_at(mount, 'name')}".lower()


CHECKS = (check_config_maps, check_secrets, check_mounted_files)
