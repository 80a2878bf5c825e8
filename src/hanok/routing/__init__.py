"""Which endpoint takes a call, what is tried next and when, whose turn it is: pure functions and values.

`pick` chooses among endpoints, `breaker` leaves failing ones alone, `failures` and `retry` say what a failure means for
the next attempt, `fair` keeps the order of those who wait. `router` places prompts by what engines should have cached
(`prefix`) and how long the rest takes them (`estimate`).
"""

from hanok.routing.failures import Kind, fallbacks_for, kind_of
from hanok.routing.fair import FairQueue
from hanok.routing.pick import HasLoad, pick_least_busy, will_have_room
from hanok.routing.retry import again_s, asked_wait_s, backoff_s, order_of_models
from hanok.routing.router import PrefixRouter, Prompt, Ticket

__all__ = [
    "FairQueue",
    "HasLoad",
    "Kind",
    "PrefixRouter",
    "Prompt",
    "Ticket",
    "again_s",
    "asked_wait_s",
    "backoff_s",
    "fallbacks_for",
    "kind_of",
    "order_of_models",
    "pick_least_busy",
    "will_have_room",
]
