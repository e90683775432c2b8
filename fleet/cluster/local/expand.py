"""`$(VAR)` as Kubernetes replaces it, and mount paths as this machine has them. Pure."""

import re
from collections.abc import Mapping

__all__ = ["expand", "mentions", "relocate"]

_REFERENCE = re.compile(r"\$(?:\$|\(([^)]*)\))")
_BEFORE = r"(?:(?<![\w.~/-])|(?<=file://))"
_AFTER = r"(?![\w.~-])"


def expand(text: str, variables: Mapping[str, str]) -> str:
    """`text` with `$(VAR)` replaced; `$$` is one `$`, an unknown variable stays as it is."""

    def value(match: re.Match[str]) -> str:
        name = match[1]
        return "$" if name is None else variables.get(name, match[0])

    return _REFERENCE.sub(value, text)


def mentions(text: str, variable: str) -> bool:
    """Whether `expand` would replace `variable` in `text`."""
    return any(match[1] == variable for match in _REFERENCE.finditer(text))


def relocate(text: str, moves: Mapping[str, str]) -> str:
    """`text` with each absolute path at or under a key of `moves` put under its value.

    Whole components only (`/models` is not in `/models2` nor in `/data/models`), the longest key
    first. A path may stand anywhere in a word: `--repository=/models`, `a:/models/b`.
    """
    if not moves:
        return text
    keys = "|".join(re.escape(key) for key in sorted(moves, key=len, reverse=True))
    return re.sub(f"{_BEFORE}(?:{keys}){_AFTER}", lambda match: moves[match[0]], text)
