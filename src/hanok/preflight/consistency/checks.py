"""The checks of consistency, in the order in which they are asked."""

from hanok.preflight.consistency import (
    apis,
    embeddings,
    fetched,
    images,
    metrics,
    names,
    probes,
    releases,
    secrets,
    settings,
)

MODULES = (
    embeddings,
    names,
    settings,
    probes,
    metrics,
    apis,
    images,
    secrets,
    fetched,
    releases,
)
