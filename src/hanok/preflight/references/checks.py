"""The checks of the references, in the order in which they are asked."""

from hanok.preflight.references import (
    configuration,
    hosts,
    links,
    replicas,
    routes,
    scaling,
    services,
    sidecars,
    storage,
    tree,
    unread,
    uses,
    waiting,
    walls,
)

MODULES = (
    uses,
    tree,
    configuration,
    storage,
    links,
    services,
    sidecars,
    routes,
    scaling,
    hosts,
    replicas,
    walls,
    unread,
    waiting,
)
