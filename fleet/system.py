"""What the operating system says went wrong, in its own words."""

import os

__all__ = ["system_said"]


def system_said(error: OSError) -> str:
    """The system's own words: event loops and `socket` wrap them into sentences of their own."""
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    # Names that do not resolve have numbers of their own.
    return error.strerror or str(error)
