"""Asks a call whose it is, before anything else is looked at; the rules are those of HTTP/1.1.

Rule: health stands open to whoever has no key; for them no model is there.
"""

from gateway.core.callers import Admitted
from gateway.core.refused import RefusedError
from gateway.grpc.core.heads import Call
from gateway.grpc.core.saying import said_by, without_key
from gateway.grpc.core.v2 import HEALTH_CHECK, SERVER_LIVE, SERVER_READY
from gateway.visitor import Visitor

__all__ = ["ask"]

_OPEN = frozenset({SERVER_LIVE, SERVER_READY, HEALTH_CHECK})
_NOBODY = Admitted(caller="", models=())


def ask(visitor: Visitor, head: Call) -> tuple[Admitted, Call]:
    """Whose it is, and the head as it goes on: without its key. Raises `RefusedError`."""
    said = said_by(head, keyed=visitor.keyed, trusted=visitor.trusted)
    try:
        admitted = visitor.ask(said)
    except RefusedError:
        if head.method not in _OPEN:
            raise
        admitted = _NOBODY
    return admitted, without_key(head, said)
