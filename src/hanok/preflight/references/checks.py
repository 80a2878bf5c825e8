"""The checks of the references, in the order in which they are asked."""

from hanok.preflight.references import (
    configuration,
    hosts,
    links,
    routes,
    scaling,
    services,
    storage,
    tree,
    unread,
    uses,
    waiting,
)

MODULES = (
    uses,
    tree,
    configuration,
    storage,
    links,
    services,
    routes,
    scaling,
    hosts,
    unread,
    waiting,
)
