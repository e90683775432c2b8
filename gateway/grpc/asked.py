"""What a client sends in one call: looked through for its model's name, kept, renamed.

Rule 1: every message of a call to the V2 service names its model, and all of them the same one; the
        last bytes of a message do not go on before that is known of it.
Rule 2: what has gone on is kept up to 1 MiB, so that it can be sent again, while there is room.
Rule 3: what is held in memory is counted: what came before the call waits and while it does here,
        what it had when it began to wait with its ticket (`activator.core.room`).
"""

from activator.core.room import Room
from fleet.reasons import Reason
from gateway.core.limits import KEPT_BYTES, UNCOUNTED_BYTES
from gateway.core.refused import RefusedError
from gateway.core.table import Entry
from gateway.grpc.core.leads import Lead
from gateway.grpc.core.messages import PREFIX, Messages
from gateway.grpc.core.renaming import Renaming
from gateway.grpc.core.walking import read_name

__all__ = ["Asked"]

_LARGEST = 2**32


class Asked:
    """The bytes of one call's request."""

    __slots__ = (
        "_field",
        "_lead",
        "_messages",
        "_renaming",
        "_room",
        "complete",
        "counted",
        "kept",
        "name",
        "size",
    )

    def __init__(self, lead: Lead, room: Room) -> None:
        self.complete = False
        """Nothing follows."""
        self.kept: list[bytes] | None = []
        """All of it so far, as it goes on; None: it was too much to keep."""
        self.size = 0
        """Bytes so far."""
        self.name: bytes | None = None
        """The model that its messages name; None: not known yet, or not looked for."""
        self.counted = 0
        """What of it is counted here."""
        self._room = room
        self._lead = lead
        self._field = lead.field
        self._messages: Messages | None = None
        self._renaming: Renaming | None = None

    @property
    def between(self) -> bool:
        """One message of it has come whole, perhaps more, and no part of another."""
        messages = self._messages
        return messages is not None and messages.count > 0 and messages.between

    def take(self, payload: bytes, end: int) -> bytes:
        """The next bytes -> what is to go on now. Raises `RefusedError`."""
        if self._field is not None:
            payload = self._looked_through(payload, self._field, end)
        if end:
            self.complete = True
        self.size += len(payload)
        if self.kept is not None and payload:
            self.kept.append(payload)
        return payload

    def whole(self, payload: bytes) -> None:
        """All of it, looked through already, that goes on as it is."""
        self.kept, self.size, self.complete = [payload], len(payload), True

    def hold(self, size: int) -> None:
        """So much more came before it could go on. Raises `RefusedError` where it has no room."""
        if not self._room.has(size):
            raise RefusedError(Reason.HELD_BODIES_FULL)
        self._room.take(size)
        self.counted += size

    def hand_back(self) -> None:
        """What was counted here is its ticket's to count now, or gone."""
        if self.counted:
            self._room.give_back(self.counted)
            self.counted = 0

    def drop(self) -> None:
        """None of it is kept any more."""
        self.kept = None
        if self.counted:
            self.hand_back()

    def sent(self) -> None:
        """What there is of it has gone on: it is kept on while there is room."""
        if self.size <= UNCOUNTED_BYTES or self.kept is None:
            return
        more = self.size - self.counted
        if self.size <= KEPT_BYTES and self._room.has(more):
            self._room.take(more)
            self.counted = self.size
        else:
            self.drop()

    def measure(self, entry: Entry) -> None:
        """It goes to `entry`: hold all messages to its limit, and name them as it does.

        Raises `RefusedError`.
        """
        most = entry.revision.policy.max_body
        kept = self.kept or []
        prefix = kept[0] if len(kept) == 1 else b"".join(kept[:PREFIX])
        if int.from_bytes(prefix[1:PREFIX], "big") > most:
            raise RefusedError(Reason.BODY_TOO_LARGE, f"a message of at most {most} bytes")
        messages, field = self._messages, self._field
        if messages is not None:
            messages.bound(most)
        served = entry.served.encode()
        if field is not None and self.name != served:
            encoding = self._lead.head.encoding
            renaming = Renaming(field, served, encoding=encoding, most=most)
            if messages is not None:
                self._renaming = renaming
            renamed = renaming.feed(b"".join(kept))
            self.kept = [renamed] if renamed else []

    def _looked_through(self, payload: bytes, field: int, end: int) -> bytes:
        messages = self._messages
        if messages is None:
            if end and not self.size:
                # Nearly every call of one message: whole, in one frame.
                self.name = read_name(payload, field)
                if self.name is not None:
                    return payload
            encoding = self._lead.head.encoding
            messages = self._messages = Messages(field, encoding=encoding, most=_LARGEST)
        messages.feed(payload)
        if end:
            messages.end()
        self.name = messages.first
        return payload if self._renaming is None else self._renaming.feed(payload)
