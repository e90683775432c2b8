"""How long an idle replica stays. Pure.

A fixed keep-alive is honoured as it is. `auto` is ten times what the model took to get ready, and
at least half a minute: a model that is dear to wake is kept for longer. Where nobody saw it get
ready, since gateways and autoscalers were all started anew, it counts as one that takes a minute.
"""

__all__ = ["AUTO_FACTOR", "AUTO_LEAST", "AUTO_UNKNOWN", "keep_alive"]

AUTO_LEAST = 30.0
AUTO_FACTOR = 10.0
AUTO_UNKNOWN = 600.0


def keep_alive(fixed: float | None, ready_after: float | None) -> float:
    """Seconds from the later of Ready and the last request's end until it may sleep.

    `fixed` is the annotation (None: `auto`), `ready_after` the measured seconds from having its GPU
    to ready (None: not measured yet).
    """
    if fixed is not None:
        return fixed
    if ready_after is None:
        return AUTO_UNKNOWN
    return max(AUTO_LEAST, AUTO_FACTOR * ready_after)
