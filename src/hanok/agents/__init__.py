"""Agents: a model, tools and a bound, run to an end that is always stated.

Data flows one way: an `Order` becomes a `Run` (its row is written first), a worker leases it, its pattern (a LangGraph
`StateGraph`) steps through `Work`, which is all that a step may do (ask the model, use tools, ask a person), and every
step tells `Event`s. What a step has finished has a receipt, so that a run that goes on after a crash repeats nothing.
"""
