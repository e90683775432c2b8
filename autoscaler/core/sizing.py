"""How many replicas a load asks for. Pure arithmetic.

Source: M/M/k rules of thumb; Little's law makes arrivals x service the requests in service.
"""

import math

__all__ = ["BUSY", "DRAIN_WITHIN", "replicas_for"]

BUSY = 0.7
"""From this share of a GPU's time on it counts as busy; also what is aimed for."""
DRAIN_WITHIN = 30.0
"""Seconds within which what waits now should be served."""


def replicas_for(requests: float, room: float) -> int:
    """Replicas that take `requests` at once, `room` each; a rounding error asks for none more.

    load:  arrivals/s x service s, over slots x target
    drain: (waiting / DRAIN_WITHIN + arrivals/s) x service s, over slots
    use:   replicas x GPU use, over BUSY
    """
    return math.ceil(requests / room - 1e-9)
