"""The checks of the schema layer, in the order in which they are asked."""

from hanok.preflight.schema import kinds

MODULES = (kinds,)
