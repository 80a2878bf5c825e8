"""Images: which of them cannot be pulled, and which will be another one tomorrow.

Each is told wherever it stands, so that what is accepted of one place is not accepted of all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache

from hanok.preflight.case import Case
from hanok.preflight.consistency.environment import environment
from hanok.preflight.consistency.load import load_figures
from hanok.preflight.findings import Finding, Rule
from hanok.preflight.image import Image, component, read_image
from hanok.preflight.workloads import Container, Workload

NO_TAG = Rule(
    "HK551", "warning", "an image that changes by itself", "write the version that you tried, and best its digest"
)
NO_DIGEST = Rule("HK552", "info", "an image that is not pinned by its digest", "write `name:tag@sha256:…`")
INVENTED = Rule("HK553", "error", "an image that there never was", "take what the message names")
STAND_IN = Rule(
    "HK554",
    "warning",
    "an image that only stands in for one",
    "build your image, push it to your registry, write its name",
)
MOVED = Rule(
    "HK555",
    "warning",
    "an image of Bitnami's that is served no more",
    "take the project's own image; docker.io/bitnamilegacy has the old ones, without updates",
)
NO_STORES = Rule(
    "HK556",
    "error",
    "a Langfuse without its stores",
    "take the chart oci://ghcr.io/langfuse/langfuse-k8s/charts/langfuse, which brings worker, ClickHouse, Redis and S3",
)
NO_ROUTER = Rule(
    "HK557",
    "error",
    "a router that llm-d does not have",
    "take the chart oci://ghcr.io/llm-d/charts/llm-d-router-gateway: a Gateway, an InferencePool, the endpoint picker",
)
OLD = Rule("HK558", "info", "an old release", "read what changed, and take a current one")

_STAND_IN = re.compile(
    r"^your[-_]?[a-z]|^my[-_]?(?:registry|repo|repository|org|company|account)(?=[-/:]|$)|^ai-platform/|"
    r"(?:^|\.)example\.(?:com|org|net|io)(?=[:/]|$)|^(?:REPLACE|CHANGE[-_]?ME|PLACEHOLDER|TODO)|"
    r"^(?:123456789012|000000000000|111122223333)\.dkr\.ecr\.|[<>]",
    re.IGNORECASE,
)
"""Names that handbooks and articles write where the reader's own belongs."""
_FILLED_IN = re.compile(r"\$[({]|\{\{|\s")
"""What is filled in on the way to the cluster, by Flux, say."""
LANGFUSE_NEEDS = (
    ("ClickHouse", ("CLICKHOUSE_URL",)),
    ("Redis", ("REDIS_CONNECTION_STRING", "REDIS_HOST", "REDIS_SENTINEL_NODES", "REDIS_CLUSTER_NODES")),
    ("S3", ("LANGFUSE_S3_EVENT_UPLOAD_BUCKET",)),
)
"""What Langfuse asks for at its start since version 3. Source: langfuse's packages/shared/src/env.ts."""
_LLMD_VARIABLES = ("BACKENDS", "ROUTING_STRATEGY")


def _images(case: Case) -> Iterator[tuple[Workload, Container]]:
    """Each container that names an image."""
    for workload in case.workloads:
        for container in (*workload.containers, *(each for each in workload.inits if not each.sidecar)):
            if container.image:
                yield workload, container


def check_names(case: Case) -> Iterator[Finding]:
    """What each image's name says."""
    for workload, container in _images(case):
        where = (*container.path, "image")
        for rule, message in _judge(container.image):
            yield rule.on(workload.manifest, *where, message=message)


@cache
def _judge(text: str) -> Sequence[tuple[Rule, str]]:
    return list(_told_of(text))


def _told_of(text: str) -> Iterator[tuple[Rule, str]]:
    image = read_image(text)
    if _STAND_IN.search(text):
        yield STAND_IN, f"{text} is a stand-in: nothing can be pulled by that name"
    if image is None or _STAND_IN.search(text) or _FILLED_IN.search(text):
        return
    instead = load_figures()["invented"]["images"].get(image.name)
    if instead:
        yield INVENTED, f"{image.name} was never published; {instead}"
        return
    if image.registry in ("", "docker.io") and image.repository.startswith("bitnami/"):
        yield MOVED, f"{text}: Bitnami took its free images away in September 2025, but for `latest`"
    yield from _judge_tag(image)


def _judge_tag(image: Image) -> Iterator[tuple[Rule, str]]:
    if image.digest:
        return
    if not image.tag or image.tag == "latest" or image.tag.endswith("-latest"):
        said = f"{image.text} has no tag, which means latest" if not image.tag else f"{image.text} moves on by itself"
        yield NO_TAG, f"{said}: pods started on different days may run different versions"
    else:
        yield NO_DIGEST, f"{image.text}: whoever may push to the registry can change what {image.tag} means"


def check_langfuse(case: Case) -> Iterator[Finding]:
    """Langfuse since version 3 does not start without ClickHouse, Redis and S3. Version 2 needs none of them."""
    worker = any(component(each) == "langfuse-worker" for workload in case.workloads for each in workload.containers)
    for workload in case.workloads:
        for container in workload.containers:
            image = read_image(container.image)
            if component(container) != "langfuse" or image is None or (image.version and image.version[0] < 3):
                continue
            given = environment(case.cluster, workload, container)
            missing = [name for name, names in LANGFUSE_NEEDS if not given.may_have(*names)]
            said = (
                f"{', '.join(missing)}{'' if worker else ' and a langfuse-worker'}" if missing else "a langfuse-worker"
            )
            where = (*container.path, "image")
            if missing:
                message = f"{container.image} is version 3 or later, and has no {said}: it does not start"
                yield NO_STORES.on(workload.manifest, *where, message=message)
            elif not worker and not given.sealed:
                message = (
                    "there is no langfuse-worker here: traces are taken and never shown, unless one runs elsewhere"
                )
                yield NO_STORES.on(workload.manifest, *where, message=message, severity="warning")


def check_routers(case: Case) -> Iterator[Finding]:
    """Images of llm-d that are told where engines are: its router finds them by an InferencePool."""
    for workload in case.workloads:
        for container in workload.containers:
            image = read_image(container.image)
            told = all(name in container.env for name in _LLMD_VARIABLES)
            if image and told and re.search(r"(^|/)llm-d(/|$)", image.name):
                message = f"no component of llm-d reads {' and '.join(_LLMD_VARIABLES)}, and {image.name} is no router"
                yield NO_ROUTER.on(workload.manifest, *container.path, "image", message=message)


def check_age(case: Case) -> Iterator[Finding]:
    """Releases from long ago; engines are looked at elsewhere."""
    for workload, container in _images(case):
        old, image = load_figures()["old"].get(component(container)), read_image(container.image)
        if old and image and image.version and image.version < tuple(old["before"]):
            said = ".".join(str(each) for each in image.version)
            message = f"{old['name']} {said}; {old['current']} was current in November 2026"
            yield OLD.on(workload.manifest, *container.path, "image", message=message)


CHECKS = (check_names, check_langfuse, check_routers, check_age)
