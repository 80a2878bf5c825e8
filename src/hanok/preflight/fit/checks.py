"""The checks of the memory layer, in the order in which they are asked."""

from hanok.preflight.fit import flags, host, memory, readiness

MODULES = (
    flags,
    memory,
    readiness,
    host,
)
