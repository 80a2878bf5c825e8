"""Spec in, running house out: the only room that knows every other.

    Informed(gateway) → Tiered(gateway) → Metered(ledger) → Routed(gateway) → engines(serving)

The HTTP door, the CLI's own questions, and later agents and evaluations hold the same outer object, `House.models`.
`house` is what runs and how its parts are made from the spec, `build` puts it together, `run` starts and stops it,
`config` notices that platform.yaml was written, `change` takes it up, `differences` tells in words what it changed.
"""

from hanok.assemble.house import Crew, House, prices
from hanok.assemble.needs import models_of
from hanok.assemble.run import engines_running, http_server, only, plan, running

__all__ = ["Crew", "House", "engines_running", "http_server", "models_of", "only", "plan", "prices", "running"]
