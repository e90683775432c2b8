"""From a call's head, and the name in its messages, to its model, and what may pass. Pure.

A model is named by the metadata `ebbtide-model`, by the authority under the configured suffix, or
by the messages of the V2 service themselves.

Rule 1: sources that name different models: `model_conflict`.
Rule 2: what the runtime's allow-list does not name (as method ``GRPC``) does not pass.
Rule 3: a call to the V2 service of a Triton model must name the model in every message, whatever
        else names it: Triton goes by that name alone.
"""

from fleet.model import RuntimeName
from fleet.reasons import Reason
from fleet.runtimes import CallKind
from gateway.core.refused import RefusedError
from gateway.core.sources import named_beside
from gateway.core.table import Entry, Table
from gateway.grpc.core.heads import Call
from gateway.grpc.core.v2 import METHODS, Method

__all__ = ["Lead", "Note", "by_name", "find_lead", "lead_of"]

_GRPC = "GRPC"
_OURS = ("/inference.", "/grpc.health.")
"""Services that the gateway speaks itself: what they have beside `METHODS` is not there."""


class Note:
    """In which table a name led to which model."""

    __slots__ = ("entry", "most", "name", "table")

    def __init__(self, table: Table, name: bytes, entry: Entry, most: int) -> None:
        self.table = table
        self.name = name
        self.entry = entry
        self.most = most
        """The largest message that goes there as it is, with nothing more to be read from it; -1:
        none does."""


class Lead:
    """What the head of a call leads to. Immutable by use: many calls share one."""

    __slots__ = ("entry", "field", "head", "kind", "noted", "suffix", "table", "unary")

    def __init__(
        self, head: Call, kind: CallKind, entry: Entry | None, method: Method | None
    ) -> None:
        self.table: Table | None = None
        self.suffix = ""
        """Among which names it was found (`lead_of`)."""
        self.head = head
        self.kind = kind
        self.entry = entry
        """None: the messages name the model, or the gateway answers."""
        self.field = None if method is None else method.field
        """Where the messages name it; None where they are not looked at."""
        self.unary = method is not None and not method.streaming
        """One message makes the request: what has begun is soon complete."""
        self.noted: Note | None = None
        """A note of `by_name`."""


def lead_of(table: Table, head: Call, suffix: str) -> Lead:
    """As `find_lead`, which is asked once for the same head, table and suffix."""
    lead = head.led
    # The head without a key is made as a copy of the one with it, note and all.
    if (
        lead is None
        or lead.table is not table
        or lead.head is not head
        or lead.suffix is not suffix
    ):
        lead = head.led = find_lead(table, head, suffix)
        lead.table, lead.suffix = table, suffix
    return lead


def find_lead(table: Table, head: Call, suffix: str) -> Lead:
    """Where `head` leads. Raises `RefusedError`."""
    named = named_beside(table, head.model, head.authority, suffix)
    method = METHODS.get(head.method)
    if named is not None:
        kind = _kind(named, head.method)
        if kind is not None and kind is not CallKind.SERVER:
            looked_at = named.profile.name is RuntimeName.TRITON
            return Lead(head, kind, named, method if looked_at else None)
        if method is None or method.kind is not CallKind.SERVER:
            raise RefusedError(Reason.NOT_ALLOWED)
    if method is not None:
        return Lead(head, method.kind, None, method)
    if head.method.startswith(_OURS):
        raise RefusedError(Reason.NOT_ALLOWED)
    raise RefusedError(Reason.NO_MODEL)


def by_name(table: Table, lead: Lead, name: bytes) -> Entry:
    """The model that a message names. Raises `RefusedError`."""
    noted = lead.noted
    if noted is not None and noted.table is table and noted.name == name:
        return noted.entry
    entry = _named(table, lead, name)
    simple = lead.kind is CallKind.INFER and lead.unary and not entry.wishes
    most = entry.revision.policy.max_body if simple and entry.served.encode() == name else -1
    lead.noted = Note(table, name, entry, most)
    return entry


def _named(table: Table, lead: Lead, name: bytes) -> Entry:
    text = name.decode("utf-8", "replace")
    entry = table.names.get(text)
    named = lead.entry
    if named is not None and entry is not named:
        # The served name is the model server's own; a client that goes by the head may know it.
        if entry is None and text == named.served:
            return named
        raise RefusedError(Reason.MODEL_CONFLICT, "the message names another model")
    if entry is None:
        raise RefusedError(Reason.UNKNOWN_MODEL)
    if _kind(entry, lead.head.method) is not lead.kind:
        raise RefusedError(Reason.NOT_ALLOWED)
    return entry


def _kind(entry: Entry, method: str) -> CallKind | None:
    call = entry.profile.classify(_GRPC, method, entry.revision.allow)
    return None if call is None else call.kind
