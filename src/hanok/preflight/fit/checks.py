"""The checks of the memory layer, in the order in which they are asked."""

from hanok.preflight.fit import flags, gpu_operator, host, memory, readiness

MODULES = (
    flags,
    memory,
    readiness,
    host,
    gpu_operator,
)
