"""Which endpoint takes a call: pure functions over what the fleet looks like now."""

from hanok.routing.pick import HasLoad, pick_least_busy
from hanok.routing.retry import backoff_s, order_of_models

__all__ = ["HasLoad", "backoff_s", "order_of_models", "pick_least_busy"]
