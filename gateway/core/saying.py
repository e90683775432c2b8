"""What a request's head says of its sender, and the head as it goes on from there. Pure.

Rule 1: a key for the gateway goes no further: Authorization that holds it is taken out. A sender
        that gives its key as `Ebbtide-Key` may send an Authorization to the model server as well,
        but not with that key in it.
Rule 2: where nobody is asked for a key, Authorization is the model server's own.
"""

from copy import copy

from gateway.core.callers import Said, bearer
from gateway.core.head import RequestHead

__all__ = ["forwarded_in", "said_by", "without_key"]

_FIELD = b"authorization:"


def said_by(head: RequestHead, *, keyed: object, trusted: object) -> Said:
    """What `head` says. `keyed`: a key is asked for; `trusted`: the peer may speak for others."""
    secret = precedence = None
    forwarded: list[bytes] = []
    # Two fields of one name are joined: no key that anyone has, no precedence that is a number.
    if head.ours:
        secret = b", ".join(_values(head.ours, b"ebbtide-key")) or None
        precedence = b", ".join(_values(head.ours, b"ebbtide-precedence")) or None
    if secret is None and keyed:
        secret = bearer(b", ".join(_values(head.fields, b"authorization")))
    if trusted:
        forwarded = forwarded_in(head)
    return Said(secret=secret, precedence=precedence, forwarded=forwarded)


def forwarded_in(head: RequestHead) -> list[bytes]:
    """The values of its `X-Forwarded-For`, else of its `Forwarded`."""
    return _values(head.fields, b"x-forwarded-for") or _values(head.fields, b"forwarded")


def without_key(head: RequestHead, said: Said) -> RequestHead:
    """The head without the key that it gave. The same head gives the same one again."""
    if said.secret is None:
        return head
    if _values(head.ours, b"ebbtide-key") and not _repeats(head.fields, said.secret):
        return head
    made = head.keyless
    if made is None:
        made = head.keyless = copy(head)
        made.fields = [line for line in head.fields if line[: len(_FIELD)].lower() != _FIELD]
        made.led = made.start = None
    return made


def _repeats(lines: list[bytes], secret: bytes) -> bool:
    """Whether an Authorization among `lines` gives the same key."""
    return any(bearer(value) == secret for value in _values(lines, b"authorization"))


def _values(lines: list[bytes], name: bytes) -> list[bytes]:
    """What the fields called `name`, in lower case, say."""
    pairs = (line.partition(b":") for line in lines)
    return [value.strip(b" \t") for found, _, value in pairs if found.lower() == name]
