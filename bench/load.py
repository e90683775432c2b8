"""What a load generator says it did, whichever it is: one line of JSON at the end of its output."""

import json
from dataclasses import dataclass

__all__ = ["BrokenLoadError", "Load", "read_load"]


class BrokenLoadError(Exception):
    """Requests failed, or none was answered: what was measured is not the thing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What one run of a load generator did."""

    requests: int
    seconds: float
    p50_us: float
    p99_us: float


def read_load(text: str) -> Load:
    """That last line as a value. Raises `BrokenLoadError` when it is no measurement."""
    lines = text.strip().splitlines()
    if not lines or not lines[-1].startswith("{"):
        msg = f"the load did not finish: {text.strip() or 'it printed nothing'}"
        raise BrokenLoadError(msg)
    found = json.loads(lines[-1])
    if found["errors"] or not found["requests"]:
        why = f": {found['first_error']}" if found.get("first_error") else ""
        msg = f"{found['errors']} of {found['requests'] + found['errors']} requests failed{why}"
        raise BrokenLoadError(msg)
    return Load(
        requests=found["requests"],
        seconds=found["us"] / 1e6,
        p50_us=float(found["p50_us"]),
        p99_us=float(found["p99_us"]),
    )
