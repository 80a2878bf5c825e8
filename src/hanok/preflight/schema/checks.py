"""The checks of the schema layer, in the order in which they are asked."""

from hanok.preflight.schema import amounts, kinds, lifetimes, names, objects, pods, schedules

MODULES = (
    kinds,
    objects,
    pods,
    amounts,
    names,
    schedules,
    lifetimes,
)
