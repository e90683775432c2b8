"""Asks a request of HTTP/1.1 whose it is, before anything else is looked at.

Rule: health stands open to whoever has no key, so that load balancers need none; for them no model
      is there.
"""

from gateway.core.head import RequestHead
from gateway.core.refused import RefusedError
from gateway.core.saying import said_by, without_key
from gateway.visitor import Visitor

__all__ = ["ask"]

_OPEN = frozenset({b"/v2/health/live", b"/v2/health/ready"})


def ask(visitor: Visitor, head: RequestHead) -> RequestHead:
    """The head as it goes on: without the key that it gave. Raises `RefusedError`."""
    said = said_by(head, keyed=visitor.keyed, trusted=visitor.trusted)
    try:
        visitor.ask(said)
    except RefusedError:
        if head.target.partition(b"?")[0] not in _OPEN:
            raise
    return without_key(head, said)
