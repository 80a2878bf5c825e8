"""Which endpoint takes a call, what is tried next and when, whose turn it is: pure functions and values.

`features` says where a call may go, `pick` who of these has room, `policies` who of those is given it; `router` places
prompts by what engines should have cached (`prefix`) and how long the rest takes them (`estimate`). `breaker` leaves
failing endpoints alone, `failures` and `retry` say what a failure means for the next attempt, `fair` keeps the order of
those who wait. `tiers` finds how much work a request is.
"""

from hanok.routing.failures import Kind, fallbacks_for, kind_of
from hanok.routing.fair import FairQueue
from hanok.routing.features import Features, by_preference, features_of, open_to
from hanok.routing.pick import HasLoad, pick_least_busy, will_have_room, with_room
from hanok.routing.policies import policy_of
from hanok.routing.retry import again_s, asked_wait_s, backoff_s, order_of_models
from hanok.routing.router import PrefixRouter, Prompt, Ticket

__all__ = [
    "FairQueue",
    "Features",
    "HasLoad",
    "Kind",
    "PrefixRouter",
    "Prompt",
    "Ticket",
    "again_s",
    "asked_wait_s",
    "backoff_s",
    "by_preference",
    "fallbacks_for",
    "features_of",
    "kind_of",
    "open_to",
    "order_of_models",
    "pick_least_busy",
    "policy_of",
    "will_have_room",
    "with_room",
]
