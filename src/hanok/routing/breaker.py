"""The circuit breaker: an endpoint that keeps failing is left alone for a while, then tried with one call.

Closed (calls pass) → open after `failures` in a row (no calls for `cooldown_s`) → half-open (one call passes, the
probe) → closed when the probe is answered, open for twice as long when it fails. A circuit is a value; these functions
give the next one. Only the probe's outcome counts while a circuit is not closed: older calls say nothing new.

The pattern: Michael Nygard, *Release It!*, chapter "Stability Patterns".
"""

from __future__ import annotations

from hanok.serving.fleet import CLOSED, Circuit

MOST_DOUBLINGS = 4
"""The cooldown grows to 2⁴ = 16 times `cooldown_s`."""


def admits(circuit: Circuit, now: float) -> bool:
    """Whether a call may pass at `now`, in seconds of a monotonic clock."""
    return circuit.until == 0.0 or (now >= circuit.until and not circuit.probing)


def started(circuit: Circuit) -> Circuit:
    """A call that was admitted passes: the probe, unless the circuit is closed."""
    return circuit if circuit.until == 0.0 else circuit.but(probing=True)


def answered(circuit: Circuit, *, probe: bool) -> Circuit:
    """The engine answered a call, be it with a refusal that is not its failure."""
    return CLOSED if probe or circuit.until == 0.0 else circuit


def failed(circuit: Circuit, *, probe: bool, now: float, failures: int, cooldown_s: float) -> Circuit:
    """A call failed. `failures` in a row open the circuit for `cooldown_s` seconds; a failed probe opens it again."""
    if probe:
        doublings = min(circuit.doublings + 1, MOST_DOUBLINGS)
        return Circuit(failures=failures, until=now + cooldown_s * 2**doublings, doublings=doublings)
    if circuit.until != 0.0:
        return circuit
    if circuit.failures + 1 < failures:
        return Circuit(failures=circuit.failures + 1)
    return Circuit(failures=failures, until=now + cooldown_s)


def abandoned(circuit: Circuit, *, probe: bool) -> Circuit:
    """A call ended without an outcome: given up by its caller, say. The next call may be the probe."""
    return circuit.but(probing=False) if probe else circuit


def rested(circuit: Circuit, *, until: float) -> Circuit:
    """The engine asked to be left alone until then."""
    return Circuit(failures=circuit.failures, until=max(until, circuit.until), doublings=circuit.doublings)
