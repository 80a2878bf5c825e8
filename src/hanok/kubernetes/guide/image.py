"""The step that makes Hanok's image: its registry, the build, the push, and its digest in the platform file. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from hanok.kubernetes.components.karpenter.kinds import node_kinds
from hanok.kubernetes.components.own.image import kept_files, recipe_is_needed
from hanok.kubernetes.guide.page import Page, quoted, sh
from hanok.kubernetes.plan import ClusterPlan

_ECR = re.compile(r"^(\d{12}\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com)/([^:@]+)")
_ARCHES = {"amd64": "x86_64-unknown-linux-gnu", "arm64": "aarch64-unknown-linux-gnu"}


def steps(page: Page) -> Iterator[str]:
    """What is declared is built under its name; what is not, under one that can be pulled, which is then declared."""
    plan = page.plan
    if recipe_is_needed(plan):
        yield "Nobody has named an image yet: build one, where the cluster can pull it.\n"
    elif "@" in plan.image:
        yield f"The tree names `{plan.image}`. Is it in its registry? Then go on with the next step. A new one:\n"
    if files := kept_files(plan):
        yield f"It takes along {', '.join(f'`{each}`' for each in files)} from beside the platform file.\n"
    yield sh(f"IMAGE={_name(plan)}", *_registry(plan), *_build(plan))
    yield (
        f"Where `hanok=={plan.version}` is in no index, put its wheel into `$TREE/image` and add "
        '`--find-links "$TREE/image"` to the first of these. '
        "Name the image with its digest, so that the cluster runs these bytes and no others, and render anew:\n"
    )
    yield sh(
        'echo "cluster: {hanok: {image: ${IMAGE%:*}@$(cat image.digest)}}"   # write it into the platform file so',
        f'hanok render {quoted(plan.loaded.file.name)} --target {plan.target} --format {page.form} --out "$TREE"',
    )
    if not (plan.on_aws and _is_own(plan)):
        yield "Nodes must be able to pull it: Hanok's pods name no secret for a registry.\n"


def _name(plan: ClusterPlan) -> str:
    """As a shell takes it, with a tag to build under."""
    if not recipe_is_needed(plan):
        name = plan.image.partition("@")[0]
        return quoted(name if ":" in name.rpartition("/")[2] else f"{name}:{plan.version}")
    if plan.on_aws:
        return f'"$AWS_ACCOUNT.dkr.ecr.$AWS_REGION.amazonaws.com/hanok:{plan.version}"'
    return f"registry.example.com/hanok:{plan.version}   # your registry"


def _is_own(plan: ClusterPlan) -> bool:
    """Whether nodes may pull it by their own role."""
    found = _ECR.match(plan.image)
    return recipe_is_needed(plan) or (found is not None and plan.cluster.account in (None, found[1].partition(".")[0]))


def _registry(plan: ClusterPlan) -> Iterator[str]:
    found = _ECR.match(plan.image)
    if found:
        host, region, name = found[1], found[2], found[3]
    elif recipe_is_needed(plan) and plan.on_aws:
        host, region, name = '"${IMAGE%%/*}"', '"$AWS_REGION"', "hanok"
    else:
        yield 'podman login "${IMAGE%%/*}"'
        return
    yield f"aws ecr create-repository --region {region} --repository-name {quoted(name)}"
    yield f"aws ecr get-login-password --region {region} | podman login --username AWS --password-stdin {host}"


def _build(plan: ClusterPlan) -> Iterator[str]:
    arches, python = _arches(plan), plan.lock.pin("python").version.rpartition(".")[0]
    target = _ARCHES[arches[0]] if len(arches) == 1 else ""
    which = f"--python-platform {target}" if target else "--universal"
    yield f"uv pip compile --generate-hashes --python-version {python} {which} \\"
    yield '  "$TREE/image/requirements.in" -o "$TREE/image/requirements.txt"'
    kept = "-t" if len(arches) == 1 else "--manifest"
    yield f'podman build --platform {",".join(f"linux/{each}" for each in arches)} --build-arg TREE="$TREE" \\'
    yield f'  --ignorefile "$TREE/image/.containerignore" -f "$TREE/image/Containerfile" {kept} "$IMAGE" .'
    push = "podman push" if len(arches) == 1 else "podman manifest push --all"
    yield f'{push} --digestfile image.digest "$IMAGE"'


def _arches(plan: ClusterPlan) -> Sequence[str]:
    """Of the machines that Hanok's pods may stand on."""
    if not plan.on_aws:
        return ["amd64"]
    general = next(iter(node_kinds(plan)))
    return sorted({each.arch for _, each in general.instances}) or ["amd64"]
