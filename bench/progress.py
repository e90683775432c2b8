"""Lines that say what is going on, on standard error: the report alone goes to standard output."""

import sys

__all__ = ["say"]


def say(text: str) -> None:
    """One line, at once."""
    print(f"bench: {text}", file=sys.stderr, flush=True)
