"""The cause of a failed start, out of the last lines that a process printed. Pure."""

import re
from collections.abc import Sequence

__all__ = ["last_line", "traceback_cause"]

_HEADING = "Traceback (most recent call last):"
_CAUSE = re.compile(r"[A-Za-z_][\w.]*(:\s.*)?")


def last_line(lines: Sequence[str]) -> str:
    """The last line that says anything; empty when none does."""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def traceback_cause(lines: Sequence[str]) -> str:
    """The exception that ended the last Python traceback, else the last line."""
    heads = [index for index, line in enumerate(lines) if line.rstrip().endswith(_HEADING)]
    if heads:
        # Frames are indented by what stands before the heading (a log prefix) plus two spaces.
        indent = len(lines[heads[-1]].rstrip()) - len(_HEADING)
        for line in lines[heads[-1] + 1 :]:
            text = line[indent:]
            if not text.startswith(" ") and _CAUSE.fullmatch(text.strip()):
                return text.strip()
    return last_line(lines)
