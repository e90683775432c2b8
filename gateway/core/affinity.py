"""The key by which requests that belong together find the same replica. Pure.

Rule 1: a request that does not hold what its model's `affinity` names has no key: it goes wherever
        there is most room.
Rule 2: a body with more values than `gateway.core.naming` reads has no prompt.
Rule 3: of a prompt its first bytes count: what a server has computed for a beginning that many
        requests share is of use only where it was computed.
"""

import json
from collections.abc import Iterable, Sequence

from activator.core.seats import key_of
from fleet.model import Affinity, AffinityKind
from gateway.core.naming import has_too_many

__all__ = ["affinity_key"]

_PROMPTS = ("messages", "prompt", "input", "text_input")


def affinity_key(
    affinity: Affinity, fields: Sequence[bytes], *, client: str, body: Iterable[bytes]
) -> int | None:
    """The key of a request; None: it has none.

    `fields`: the lines of its head; `body` is read for a prompt alone.
    """
    text: bytes | None
    match affinity.kind:
        case AffinityKind.HEADER:
            text = _field(fields, affinity.name.lower().encode())
        case AffinityKind.COOKIE:
            text = _cookie(fields, affinity.name.encode())
        case AffinityKind.CLIENT:
            text = client.encode()
        case AffinityKind.PROMPT:
            text = _prompt(b"".join(body))
            text = None if text is None else text[: affinity.size]
    return key_of(text) if text else None


def _field(fields: Sequence[bytes], wanted: bytes) -> bytes | None:
    for line in fields:
        name, _, value = line.partition(b":")
        if name.lower() == wanted:
            return value.strip(b" \t")
    return None


def _cookie(fields: Sequence[bytes], wanted: bytes) -> bytes | None:
    for line in fields:
        name, _, value = line.partition(b":")
        if name.lower() == b"cookie":
            for pair in value.split(b";"):
                key, _, text = pair.partition(b"=")
                if key.strip() == wanted:
                    return text.strip()
    return None


def _prompt(body: bytes) -> bytes | None:
    """What the model is asked: text as it is, anything else as JSON."""
    if has_too_many(body):
        return None
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    asked = next((found[key] for key in _PROMPTS if key in found), None)
    if asked is None:
        return None
    text = asked if isinstance(asked, str) else json.dumps(asked, ensure_ascii=False)
    return text.encode(errors="surrogatepass")
