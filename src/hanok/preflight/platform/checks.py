"""The checks of Hanok's own file, in the order in which they are asked."""

from hanok.preflight.platform import apis, capacity, door, file, models

MODULES = (
    file,
    models,
    capacity,
    apis,
    door,
)
