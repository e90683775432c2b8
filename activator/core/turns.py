"""Whose turn it is, among those who wait for one model. Pure.

Rule 1: a higher precedence goes first, always: it may starve a lower one, for as long as that may
        wait at all. Only callers that are trusted have one.
Rule 2: within a precedence callers take turns, one request each: who has just had a turn, or has
        only just come, is behind all others. So nobody waits for more requests of another caller
        than it has sent itself, and one for each that stood there before it.
Rule 3: within one caller first come, first served.
Rule 4: a ticket whose replica broke has had its turn: it goes before all that have not, in the
        order of arrival.
Rule 5: joining, leaving and taking a turn cost the same however many wait.
Rule 6: who finds the queue full and has nobody in it gets the place of the newest of whoever has
        most there, unless that has a higher precedence: a full queue is no way to keep others out.
"""

from bisect import insort
from collections import OrderedDict

from activator.core.seats import Ticket

__all__ = ["Turns"]

_Queue = OrderedDict[Ticket, None]


class Turns:
    """Those who wait."""

    __slots__ = ("_again", "_levels", "_line", "_ranks", "count")

    def __init__(self) -> None:
        self.count = 0
        """How many wait. Kept beside the sets, since every request of a ready model asks for it."""
        self._again: list[Ticket] = []
        """Those whose replica broke, the next one first."""
        self._line: _Queue = OrderedDict()
        """All others, by arrival."""
        self._levels: dict[int, OrderedDict[str, _Queue]] = {}
        """The same by precedence, then by caller, whose turn it is first."""
        self._ranks: list[int] = []
        """The precedences there are, the highest last."""

    def join(self, ticket: Ticket) -> None:
        """It waits, behind whatever its caller has waiting."""
        self.count += 1
        self._line[ticket] = None
        level = self._levels.get(ticket.precedence)
        if level is None:
            level = self._levels[ticket.precedence] = OrderedDict()
            insort(self._ranks, ticket.precedence)
        queue = level.get(ticket.caller)
        if queue is None:
            queue = level[ticket.caller] = OrderedDict()
        queue[ticket] = None

    def rejoin(self, ticket: Ticket) -> None:
        """Its replica broke: it waits again, in the place its arrival gives it."""
        self.count += 1
        insort(self._again, ticket, key=lambda one: (-one.precedence, one.number))

    @property
    def next(self) -> Ticket | None:
        """Whose turn it is."""
        again, ranks = self._again, self._ranks
        if again and (not ranks or again[0].precedence >= ranks[-1]):
            return again[0]
        if not ranks:
            return None
        queue = next(iter(self._levels[ranks[-1]].values()))
        return next(iter(queue))

    def take(self, ticket: Ticket) -> None:
        """It has its turn: its caller's next one comes when all the other callers have had one."""
        level = self._levels.get(ticket.precedence)
        had = ticket in self._line
        self.leave(ticket)
        if had and level is not None and ticket.caller in level:
            level.move_to_end(ticket.caller)

    def leave(self, ticket: Ticket) -> None:
        """It waits no more, and has not had its turn: its caller's place stays as it is."""
        self.count -= 1
        if ticket not in self._line:
            self._again.remove(ticket)
            return
        del self._line[ticket]
        level = self._levels[ticket.precedence]
        queue = level[ticket.caller]
        del queue[ticket]
        if not queue:
            del level[ticket.caller]
            if not level:
                del self._levels[ticket.precedence]
                self._ranks.remove(ticket.precedence)

    def yields(self, ticket: Ticket) -> Ticket | None:
        """Who gives way to `ticket`, which finds no place; None: nobody."""
        if ticket.caller in self._levels.get(ticket.precedence, ()):
            return None
        if len(self._line) == sum(map(len, self._levels.values())):
            # Everybody has one: told without looking at each.
            return None
        ranks = (rank for rank in self._ranks if rank <= ticket.precedence)
        queues = (queue for rank in ranks for queue in self._levels[rank].values())
        longest = max(queues, key=len, default=None)
        return next(reversed(longest)) if longest is not None and len(longest) > 1 else None

    def clear(self) -> list[Ticket]:
        """Nobody waits any more; returns those who did, by arrival."""
        cleared = sorted((*self._again, *self._line), key=lambda ticket: ticket.number)
        self.count = 0
        self._again.clear()
        self._line.clear()
        self._levels.clear()
        self._ranks.clear()
        return cleared

    @property
    def eldest(self) -> Ticket | None:
        """Of all that wait, the one that arrived first."""
        first = next(iter(self._line), None)
        known = self._again if first is None else [first, *self._again]
        return min(known, key=lambda ticket: ticket.number, default=None)

    @property
    def since(self) -> float | None:
        """When whoever has waited longest began to; None when nobody waits."""
        begun = [ticket.since for ticket in self._again]
        first = next(iter(self._line), None)
        if first is not None:
            begun.append(first.since)
        return min(begun, default=None)

    def since_before(self, moment: float) -> list[Ticket]:
        """Everyone who has waited since `moment` or longer, by arrival."""
        found = [ticket for ticket in self._again if ticket.since <= moment]
        for ticket in self._line:
            if ticket.since > moment:
                break
            found.append(ticket)
        return sorted(found, key=lambda ticket: ticket.number)
