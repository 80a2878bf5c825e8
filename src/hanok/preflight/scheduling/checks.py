"""The checks of scheduling, in the order in which they are asked."""

from hanok.preflight.scheduling import unplaced, shared_gpus

MODULES = (unplaced, shared_gpus,)
