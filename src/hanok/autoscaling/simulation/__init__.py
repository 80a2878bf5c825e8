"""What a rule would have done with a trace: replicas, waiting, dollars, in simulated time. Pure.

`hardware` says what one replica can do, `replica` is an engine, `pool` replays, `sweep` compares rules.
"""

from hanok.autoscaling.simulation.hardware import Hardware, Pace, Reckoned, Steady
from hanok.autoscaling.simulation.outcome import Moment, Outcome
from hanok.autoscaling.simulation.planned import hardware_of
from hanok.autoscaling.simulation.pool import simulate
from hanok.autoscaling.simulation.sweep import Setting, Tried, as_yaml, candidates, cheapest, fixed, worthwhile

__all__ = [
    "Hardware",
    "Moment",
    "Outcome",
    "Pace",
    "Reckoned",
    "Setting",
    "Steady",
    "Tried",
    "as_yaml",
    "candidates",
    "cheapest",
    "fixed",
    "hardware_of",
    "simulate",
    "worthwhile",
]
