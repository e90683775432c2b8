"""Which model a call goes to, as far as it tells yet."""

from typing import TYPE_CHECKING

from fleet.reasons import Reason
from fleet.runtimes import CallKind
from gateway.core.limits import KEPT_BYTES
from gateway.core.refused import RefusedError
from gateway.core.table import Entry
from gateway.grpc.core.leads import by_name
from gateway.grpc.wishing import waits_for_more

if TYPE_CHECKING:
    from gateway.grpc.call import Call

__all__ = ["entry_of"]


def entry_of(call: "Call") -> Entry | None:
    """The model, as soon as it is known and the call can go on. Raises `RefusedError`."""
    lead, asked = call.lead, call.asked
    name = asked.name
    if lead.field is None:
        return lead.entry
    if name is None:
        _read_on(call)
        return None
    # Only what is an inference begins before it is complete: it may be large.
    infers = call.kind is CallKind.INFER
    if not (infers or asked.complete):
        return None
    entry = by_name(call.table, lead, name)
    if infers and not asked.complete and waits_for_more(entry, asked.kept or ()):
        _read_on(call)
        return None
    asked.measure(entry)
    return entry


def _read_on(call: "Call") -> None:
    """No name yet: what came is taken, so that more can come. Raises `RefusedError`."""
    if call.asked.complete or call.asked.size > KEPT_BYTES:
        detail = f"the first {KEPT_BYTES} bytes of a message must name its model"
        raise RefusedError(Reason.NO_MODEL, detail)
    owed, call.owed = call.owed, 0
    call.stream.give_back(owed)
