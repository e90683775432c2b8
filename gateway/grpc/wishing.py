"""Where a call would like to run: read from it, where its model asks for that.

Rule: of a stream its first message tells; the others go where the call goes.
"""

from collections.abc import Sequence

from activator.core.seats import ANYWHERE, Wish
from gateway.core.affinity import affinity_key
from gateway.core.limits import KEPT_BYTES
from gateway.core.table import Entry
from gateway.grpc.core.heads import Call
from gateway.grpc.core.saying import forwarded_in
from gateway.grpc.core.steps import first_is_here, step_in
from gateway.visitor import Visitor

__all__ = ["waits_for_more", "wish_of"]


def waits_for_more(entry: Entry, kept: Sequence[bytes]) -> bool:
    """Whether more of the first message is to be read before the wish is known."""
    if not entry.line.sequential:
        return False
    data = b"".join(kept)
    return len(data) <= KEPT_BYTES and not first_is_here(data)


def wish_of(entry: Entry, head: Call, kept: Sequence[bytes], visitor: Visitor) -> Wish:
    """The wish of a call; `kept`: its request so far."""
    if entry.line.sequential:
        most = entry.revision.policy.max_body
        step = step_in(b"".join(kept), head.encoding, min(most, KEPT_BYTES))
        if step is not None:
            return Wish(step=step)
    if entry.affinity is None:
        return ANYWHERE
    lines = [b"%b: %b" % field for field in head.fields]
    client = visitor.address(forwarded_in(head) if visitor.trusted else ())
    return Wish(key=affinity_key(entry.affinity, lines, client=client, body=()))
