"""What the head of a call says of its sender, and the head as it goes on from there. Pure.

The rules are those of `gateway.core.saying`; the fields are `authorization`, `ebbtide-key`,
`ebbtide-precedence`.
"""

from copy import copy

from gateway.core.callers import Said, bearer
from gateway.grpc.core.heads import Call, Told, block_of
from gateway.grpc.core.hpack import Field

__all__ = ["forwarded_in", "said_by", "without_key"]

_AUTHORIZATION = b"authorization"
_KEY = b"ebbtide-key"


def said_by(head: Call, *, keyed: object, trusted: object) -> Said:
    """What `head` says. `keyed`: a key is asked for; `trusted`: the peer may speak for others."""
    secret = _joined(head.ours, _KEY)
    if secret is None and keyed:
        secret = bearer(_joined(head.fields, _AUTHORIZATION) or b"")
    forwarded = forwarded_in(head) if trusted else []
    precedence = _joined(head.ours, b"ebbtide-precedence")
    return Said(secret=secret, precedence=precedence, forwarded=forwarded)


def forwarded_in(head: Call) -> list[bytes]:
    """The values of its `x-forwarded-for`, else of its `forwarded`."""
    return _values(head.fields, b"x-forwarded-for") or _values(head.fields, b"forwarded")


def without_key(head: Call, said: Said) -> Call:
    """The head without the key that it gave. The same head gives the same one again."""
    if said.secret is None:
        return head
    if _values(head.ours, _KEY) and not _repeats(head.fields, said.secret):
        return head
    made = head.keyless
    if made is None:
        made = head.keyless = copy(head)
        made.fields = tuple(field for field in head.fields if field[0] != _AUTHORIZATION)
        made.block = block_of(made, made.fields)
        made.told = Told()
    return made


def _repeats(fields: tuple[Field, ...] | list[Field], secret: bytes) -> bool:
    """Whether an authorization among `fields` gives the same key."""
    return any(bearer(value) == secret for value in _values(fields, _AUTHORIZATION))


def _joined(fields: list[Field] | tuple[Field, ...], name: bytes) -> bytes | None:
    """What the fields called `name` say, as one; two are no key that anyone has, and no number."""
    return b", ".join(_values(fields, name)) or None


def _values(fields: list[Field] | tuple[Field, ...], name: bytes) -> list[bytes]:
    return [value for found, value in fields if found == name]
