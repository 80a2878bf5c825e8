"""The checks of Hanok's own file, in the order in which they are asked."""

from hanok.preflight.platform import apis, door, file, models

MODULES = (
    file,
    models,
    apis,
    door,
)
