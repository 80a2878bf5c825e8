"""The checks of scheduling, in the order in which they are asked."""

from hanok.preflight.scheduling import gates, limits, namespaces, queues, shared_gpus, spreading, unplaced

MODULES = (
    unplaced,
    shared_gpus,
    gates,
    limits,
    namespaces,
    queues,
    spreading,
)
