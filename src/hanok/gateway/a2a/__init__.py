"""Agents over A2A 1.0, and 0.3 for those who speak that: a task is a run, its context the run's thread.

What is known of a task is what the run's row and events say, so any process of the house answers for it, and nothing is
lost with one. Protocol: https://a2a-protocol.org/latest/specification/. Its words are those of `a2a-sdk`, which is
imported with the first call: `desk`, `paths` and what pushes are read before.
"""

from hanok.gateway.a2a.desk import A2a

__all__ = ["A2a"]
