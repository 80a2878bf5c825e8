"""How many replicas of an engine there should be: one rule and one pure `decide`, for the supervisor of one machine,
for the simulator (`simulation`) and, as KEDA's ScaledObject, for a cluster. Opens no door.
"""

from hanok.autoscaling.decide import Decision, Demand, Past, decide
from hanok.autoscaling.rule import Rule, Steps, Target, TargetName

__all__ = ["Decision", "Demand", "Past", "Rule", "Steps", "Target", "TargetName", "decide"]
