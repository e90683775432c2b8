"""What a call's metadata says of the hops it took: via, x-forwarded-*, forwarded. Pure.

The rules are those of `gateway.core.forwarding`. Heads and edges are shared by many calls, so what
one is told by way of the other is made once, and kept with the head.
"""

from fleet.reasons import Reason
from gateway.core.forwarding import Edge, Style, speaks_for_others, told_lines
from gateway.core.refused import RefusedError
from gateway.grpc.core.heads import Call, block_of
from gateway.grpc.core.hpack import Field

__all__ = ["look_for_loop", "told_block"]


def told_block(head: Call, edge: Edge) -> bytes:
    """The block of `head` as it goes on, with the fields of this hop."""
    told = head.told
    if told.edge is edge:
        return told.block
    block = head.block
    if edge.via or edge.style is not Style.OFF:
        fields = list(head.fields)
        if edge.style is not Style.OFF:
            fields = _told(fields, head.authority, edge)
        if edge.via:
            fields.append((b"via", b"2.0 " + edge.via))
        block = block_of(head, fields)
    told.edge, told.block = edge, block
    return block


def look_for_loop(head: Call, edge: Edge) -> None:
    """Raises `RefusedError` where `head` has come by here twice already."""
    hops = b",".join(head.vias).lower().split(b",")
    if edge.via and [hop.split()[1:2] for hop in hops].count([edge.via.lower()]) > 1:
        raise RefusedError(Reason.REQUEST_LOOP)


def _told(fields: list[Field], authority: bytes, edge: Edge) -> list[Field]:
    spoken = [b"%b: %b" % field for field in fields if speaks_for_others(field[0])]
    kept = [field for field in fields if not speaks_for_others(field[0])]
    for line in told_lines(spoken, authority, edge):
        name, _, value = line.partition(b": ")
        kept.append((name.lower(), value))
    return kept
