"""What Milvus is to hold, how large its parts are for that, and machines with GPUs where indexes want one. Pure.

Everything that is searched lies in the memory of query nodes, so their number and the passages say all.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil

from hanok.gpu import Catalog
from hanok.gpu.catalog import Instance
from hanok.kubernetes.objects import label
from hanok.kubernetes.pools import Pool
from hanok.spec.tree import Platform, Recipe
from hanok.spec.tree.cluster import MilvusServer

GPU_INDEX = "GPU_IVF_FLAT"
GPU_CAPABILITY = 7.0
"""The least that Milvus' GPU indexes work on. Source: Milvus' documentation, requirements for GPU."""
DIMENSIONS = 1024
"""Taken where no recipe says how long its vectors are: those of common models have 384 to 1536."""
TEXT_BYTES = 6 * 1024
"""Of one passage beside its vector: its text, the terms that words are looked up by, and what is known of it."""
LINK_BYTES = 8
"""Of one link of HNSW, there and back, as 32 bits each."""
HEADROOM = 1.3
"""What indexes take while segments are loaded anew, and what the process takes."""
LEAST_GIB = 4
FREE_MIB = 1024
"""What the machine's own pods take of a GPU machine's memory."""


def recipes(platform: Platform) -> list[Recipe]:
    """What happens to documents: of each knowledge base, and of vector stores where there are any."""
    stores = [platform.vector_stores] if "vector_stores" in platform.model_fields_set else []
    return [*platform.knowledge, *stores]


def wants_gpu(platform: Platform) -> bool:
    """Whether any index is built and searched on GPUs."""
    return any(each.index.type == GPU_INDEX for each in recipes(platform))


def passage_bytes(platform: Platform) -> int:
    """Memory of one passage, of the largest kind."""
    return max((_bytes(each) for each in recipes(platform)), default=_bytes(Recipe()))


def _bytes(recipe: Recipe) -> int:
    links = recipe.index.m * LINK_BYTES if recipe.index.type == "HNSW" else 0
    return (recipe.embed.dimensions or DIMENSIONS) * 4 + links + TEXT_BYTES


def memory_gib(platform: Platform, server: MilvusServer) -> int:
    """Memory of one query node, so that all of them together hold all passages."""
    held = passage_bytes(platform) * server.passages * HEADROOM / server.query_nodes / 1024**3
    return max(LEAST_GIB, ceil(held))


def index_gpus(platform: Platform, server: MilvusServer) -> int:
    """GPUs of Milvus: one for each query node, and one for the data node that builds indexes."""
    if not wants_gpu(platform):
        return 0
    return 1 if server.mode == "standalone" else server.query_nodes + 1


def index_pool(platform: Platform, server: MilvusServer, catalog: Catalog) -> Pool | None:
    """Machines with one GPU each that a query node finds room on, cheapest first; None where there are none."""
    least = memory_gib(platform, server) * 1024 + FREE_MIB
    on_gpu = vectors_mib(platform, server)
    fitting = sorted(_usable(catalog, least, on_gpu), key=lambda each: (each[1].usd_hour or 0, each[0]))
    if not fitting:
        return None
    alike = [each for each in fitting if each[1].accelerator == fitting[0][1].accelerator]
    return Pool(
        name=label(f"gpu-milvus-{alike[0][0]}"),
        accelerator=alike[0][1].accelerator,
        machines=alike,
        gpus=1,
        profile=None,
        mode="whole",
        shares=1,
        claimed=False,
        engines=[],
        others=index_gpus(platform, server),
    )


def vectors_mib(platform: Platform, server: MilvusServer) -> int:
    """Memory on the GPU of one query node: its part of the vectors alone."""
    dimensions = max((each.embed.dimensions or DIMENSIONS for each in recipes(platform)), default=DIMENSIONS)
    return ceil(dimensions * 4 * server.passages * HEADROOM / server.query_nodes / 1024**2)


def _usable(catalog: Catalog, least_mib: int, least_gpu_mib: int) -> Iterable[tuple[str, Instance]]:
    for name, each in catalog.instances.items():
        alone = each.gpus == 1 and each.share == 1 and each.arch == "amd64" and each.usd_hour is not None
        if alone and each.memory_mib >= least_mib:
            accelerator = catalog.accelerators[each.accelerator]
            able = accelerator.refused is None and (accelerator.capability or 0) >= GPU_CAPABILITY
            if able and (accelerator.memory_mib or 0) >= least_gpu_mib:
                yield name, each
