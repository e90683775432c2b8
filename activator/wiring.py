"""What a line needs from the world around it, handed over once.

`Guest` is the request path's half of a request: it is told of a dispatch or a refusal, on the event
loop, and must not raise.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Protocol

from activator.core.balance import Dice
from activator.core.lately import Lately
from activator.core.ledger import Seat, Ticket
from activator.core.room import Room
from activator.core.vacancy import Vacancy
from activator.core.wakes import Wakes
from activator.probe import Pace
from fleet.bus import Reports
from fleet.clock import Clock
from fleet.cluster import Cluster
from fleet.model import RuntimeName
from fleet.names import ReplicaName, RevisionName
from fleet.reasons import Reason
from fleet.runtimes import ModelServer
from fleet.settings import Settings

__all__ = ["Guest", "Outside", "Refusal", "Wiring"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a request will not be served, and after how many seconds a later try may be."""

    reason: Reason
    retry_after: float | None = None


class Guest(Protocol):
    """One request, as its holder sees it."""

    def dispatched(self, ticket: Ticket, seat: Seat) -> None:
        """Send it to this seat now."""
        ...

    def refused(self, ticket: Ticket, refusal: Refusal) -> None:
        """It will not be sent; its ticket has left already."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """The ports a hall works with, and the task group its probes and wakes live in."""

    cluster: Cluster
    bus: Reports
    clock: Clock
    servers: Callable[[RuntimeName], ModelServer]
    settings: Settings
    group: asyncio.TaskGroup
    allotted: Callable[[ReplicaName], int | None] = lambda _: None
    """How many of a replica's slots are this gateway's; None: all of them."""
    crowded: Callable[[RevisionName], None] = lambda _: None
    """Called when somebody waits and no wake is needed: more of the slots would help."""
    dice: Dice = field(default_factory=lambda: Random().randrange)  # noqa: S311 - to spread load


@dataclass(frozen=True, slots=True, kw_only=True)
class Wiring:
    """What a hall gives to each of its lines."""

    outside: Outside
    publish: Callable[[], None]
    """Publish a sample now."""
    poke: Callable[[RevisionName], None]
    """Publish a sample and then poke the leader, now or very soon."""
    quiet: Callable[[ReplicaName], None]
    """Nothing runs any more on a replica that takes nothing new."""
    waits: Callable[[float | None], None]
    """Somebody waits; the first in that line until this moment."""
    room: Room
    """How many may wait, over all lines."""
    wakes: Wakes
    """How many each caller may wake."""
    vacancy: Vacancy = field(default_factory=Vacancy)
    """Which GPUs are free for all their wakes."""
    lately: Lately = field(default_factory=Lately)
    """Which there were a moment ago."""
    pace: Pace = field(default_factory=Pace)
    """How often all its probes ask."""
