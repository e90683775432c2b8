"""Reads the annotation `affinity`. Pure."""

import re

from fleet.model import Affinity, AffinityKind
from fleet.quantities import parse_int

__all__ = ["parse_affinity"]

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
_LONGEST_PROMPT = 64 * 2**10


def parse_affinity(text: str) -> Affinity | None:
    """``none``, ``client``, ``header:NAME``, ``cookie:NAME`` or ``prompt:BYTES``.

    None for ``none``. Raises `ValueError` with what is allowed.
    """
    word, colon, rest = text.strip().partition(":")
    if not colon and word == "none":
        return None
    if not colon and word == AffinityKind.CLIENT.value:
        return Affinity(kind=AffinityKind.CLIENT)
    if word in (AffinityKind.HEADER.value, AffinityKind.COOKIE.value) and _NAME.fullmatch(rest):
        return Affinity(kind=AffinityKind(word), name=rest)
    if word == AffinityKind.PROMPT.value:
        return Affinity(kind=AffinityKind.PROMPT, size=_bytes(rest))
    msg = "none, client, header:NAME, cookie:NAME, or prompt:BYTES"
    raise ValueError(msg)


def _bytes(text: str) -> int:
    try:
        return parse_int(text, low=1, high=_LONGEST_PROMPT)
    except ValueError as error:
        msg = f"prompt:BYTES, {error}"
        raise ValueError(msg) from None
