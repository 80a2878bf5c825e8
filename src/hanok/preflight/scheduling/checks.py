"""The checks of scheduling, in the order in which they are asked."""

from hanok.preflight.scheduling import shared_gpus, unplaced

MODULES = (
    unplaced,
    shared_gpus,
)
