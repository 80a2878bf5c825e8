"""What a rule would have done with a trace: replicas, waiting, dollars, in simulated time. Pure.

`hardware` says what one replica can do, `replica` is an engine, `pool` replays, `sweep` compares rules.
"""

from hanok.autoscaling.simulation.hardware import Hardware, Pace, Reckoned, Steady
from hanok.autoscaling.simulation.outcome import Moment, Outcome
from hanok.autoscaling.simulation.pool import simulate

__all__ = ["Hardware", "Moment", "Outcome", "Pace", "Reckoned", "Steady", "simulate"]
