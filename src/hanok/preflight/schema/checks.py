"""The checks of the schema layer, in the order in which they are asked."""

from hanok.preflight.schema import kinds, objects, pods, amounts, names, schedules

MODULES = (kinds, objects, pods, amounts, names, schedules,)
