"""A `Bus` over Redis.

Rule 1: no call waits, and none raises because Redis is away, slow or full: what is to be said goes
        into a bounded outbox, what was heard is read from memory. One task does the talking.
Rule 2: what is heard has the age that Redis' clock gives it. No host's clock is compared with
        another's.
Rule 3: what cannot be understood is counted, and logged once for each place that it came from; so
        is news that whoever was told it failed over.
"""

import logging
import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import TypeVar

from fleet.bus.journal import Journal, brief
from fleet.bus.redis.gatewaylog import Reported
from fleet.bus.redis.hearing import Hearing, Hears, News
from fleet.bus.redis.leaderlog import LeaderHeard
from fleet.bus.redis.link import Dial
from fleet.bus.redis.outbox import Outbox
from fleet.bus.redis.ownlog import Keys
from fleet.bus.redis.parcels import OddParcelError
from fleet.bus.redis.saying import Reporter, Saying
from fleet.bus.redis.talking import Talking
from fleet.clock import Clock
from fleet.messages import (
    Allot,
    CostReport,
    DecisionReport,
    Entry,
    Held,
    Look,
    Looked,
    Received,
    Sample,
)
from fleet.names import GatewayName, ReplicaName, RevisionName
from fleet.subscribers import Subscribers
from fleet.telemetry import log

__all__ = ["BusState", "Hears", "Lost", "RedisBus"]

_log = log(__name__)
_T = TypeVar("_T")
_MOST_KINDS = 100
"""Places that odd messages are told apart by in the log."""


class Lost(Enum):
    """Why a message came to nothing."""

    ODD = "odd"
    """It was heard, and not understood."""
    FAILED = "failed"
    """It was heard, and whoever was told failed over it."""
    UNWRITABLE = "unwritable"
    """It was to be said, and could not be written as a message."""
    CROWDED = "crowded"
    """A line of the journal or a poke, given up for newer ones before it could be said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BusState:
    """How this process stands to Redis."""

    connected: bool
    heard_at: float | None
    """When it answered last, on this process's clock; None: never."""
    why: str
    """What went wrong last; empty while all goes well."""
    lost: Mapping[Lost, int]
    """Messages that came to nothing so far, by why."""


class _Timed:
    """A reporter, by this process's own clock."""

    def __init__(self, reporter: Reporter, clock: Clock) -> None:
        self.decisions, self.cost = reporter.decisions, reporter.cost
        self.decided_at, self._clock = reporter.decided_at, clock

    def held_at(self) -> float:
        return self.decided_at() - self._clock.wall() + self._clock.now()


class RedisBus:
    """One process's. `name`: the gateway that it is; None: it is none.

    `run` is its task; until that runs, and while Redis is away, it knows what it knew.
    """

    def __init__(
        self,
        dial: Dial,
        clock: Clock,
        *,
        prefix: str,
        hears: frozenset[Hears],
        name: GatewayName | None = None,
    ) -> None:
        self._clock, self._name = clock, name
        life = secrets.token_hex(8)
        keys = Keys(prefix=prefix)
        self._outbox = Outbox(life)
        self._saying = Saying(keys, self._outbox, life, name)
        self._journal = Journal()
        self._hearing = Hearing(keys, hears, self._journal, life)
        self._reports = Subscribers[Reported]()
        self._pokes = Subscribers[RevisionName]()
        self._news = News(
            reported=self._contained("a sample", self._reports.tell),
            led=self._contained("the leader's word", self._led),
            poked=self._contained("a poke", self._pokes.tell),
            dropped=lambda what, why: self._drop(Lost.ODD, what, why),
        )
        self._looks = Subscribers[Look]()
        self._allots = Subscribers[Allot]()
        self._talking = Talking(dial, clock, self._saying, self._hearing, self._news)
        self._looked: Looked | None = None
        self._allotted = "", 0
        self._odd: set[str] = set()
        self._lost = dict.fromkeys(Lost, 0)

    # What a gateway says.

    def publish(self, sample: Sample) -> None:
        self._outbox.publish(sample, self._clock.now())
        self._talking.wake()

    def hold(self, held: Held) -> None:
        """What this gateway takes up of the slots it was allotted: all of it."""
        self._outbox.hold(held)
        self._talking.wake()

    def poke(self, revision: RevisionName) -> None:
        self._outbox.poke(revision)
        self._talking.wake()

    def append(self, entry: Entry) -> None:
        entry = brief(entry)
        if self._journal.add(entry):
            self._outbox.append(entry)
            self._talking.wake()

    # What it hears.

    def last_look(self) -> Looked | None:
        return self._looked

    def on_look(self, listener: Callable[[Look], None]) -> Callable[[], None]:
        return self._looks.add(listener)

    def on_allot(self, listener: Callable[[Allot], None]) -> Callable[[], None]:
        """Call `listener` with this gateway's shares as the leader tells them.

        First of all of what a new leader has told, be it nothing; then of what has changed, be it
        only the number: others' shares have.
        """
        return self._allots.add(listener)

    def decision(self, revision: RevisionName) -> DecisionReport | None:
        """The leader's last answer for a revision; None: none is known.

        Its time is Unix time as this host has it, whatever the leader's has.
        """
        leader = self._hearing.leader()
        try:
            found = None if leader is None else leader.decision(revision)
        except OddParcelError as error:
            self._drop(Lost.ODD, "a decision", str(error))
            found = None
        ahead = self._clock.wall() - self._clock.now()
        return None if found is None else replace(found, at=found.at + ahead)

    def decisions(self) -> Sequence[DecisionReport]:
        """All of them."""
        leader = self._hearing.leader()
        names = () if leader is None else leader.revisions()
        found = (self.decision(name) for name in names)
        return [report for report in found if report is not None]

    def cost(self) -> CostReport | None:
        """The leader's bill; None: none is known."""
        leader = self._hearing.leader()
        try:
            return None if leader is None else leader.cost()
        except OddParcelError as error:
            self._drop(Lost.ODD, "a bill", str(error))
            return None

    # What an autoscaler hears and says.

    def samples(self) -> Mapping[GatewayName, Received]:
        found = dict(self._hearing.received())
        if self._name is not None and self._outbox.sample is not None:
            # Nobody knows it better.
            found[self._name] = Received(sample=self._outbox.sample, at=self._outbox.made)
        return found

    def on_poke(self, listener: Callable[[RevisionName], None]) -> Callable[[], None]:
        return self._pokes.add(listener)

    def on_report(self, listener: Callable[[Reported], None]) -> Callable[[], None]:
        """Call `listener` with what is new in every gateway's sample, when it comes in."""
        return self._reports.add(listener)

    def looked(self, look: Look) -> None:
        self._looked = Looked(look=look, at=self._clock.now())
        self._saying.lead(look.term).told.looked(self._looked)
        self._talking.wake()
        self._looks.tell(look)

    def lead(self, term: int) -> str:
        """Speak as the leader of this term from now on; returns what its `Allot`s are told by."""
        life = self._saying.lead(term).life
        self._talking.wake()
        return life

    def follow(self) -> None:
        """Speak as the leader no more."""
        self._saying.follow()

    def report_of(self, reporter: Reporter) -> None:
        """While this process leads, ask `reporter` now and then what to show people.

        What it decided at is Unix time.
        """
        self._saying.reporter = _Timed(reporter, self._clock)

    def allot(self, gateway: GatewayName, allot: Allot) -> bool:
        """Tell a gateway its shares. False: this process does not lead."""
        leading = self._saying.leading
        if leading is None:
            return False
        leading.told.allot(gateway, allot)
        self._talking.wake()
        return True

    def drop(
        self, replicas: Collection[ReplicaName] = (), gateways: Collection[GatewayName] = ()
    ) -> None:
        """Replicas, or gateways, are gone: nothing more is shared out about them."""
        leading = self._saying.leading
        if leading is not None:
            leading.told.drop(replicas, gateways)

    def tail(self, limit: int, *, revision: RevisionName | None = None) -> Sequence[Entry]:
        return self._journal.tail(limit, revision)

    def state(self) -> BusState:
        """How it stands to Redis now."""
        return BusState(
            connected=self._talking.connected,
            heard_at=self._talking.heard_at,
            why=self._talking.why,
            lost={
                **self._lost,
                Lost.UNWRITABLE: self._saying.unsaid,
                Lost.CROWDED: self._outbox.lost,
            },
        )

    async def run(self) -> None:
        """Endless: all talking with Redis."""
        await self._talking.run()

    # What was heard.

    def _led(self, leader: LeaderHeard) -> None:
        own = self._saying.leading
        if own is not None and own.life == leader.life:
            return
        looked = leader.looked
        if looked is not None and looked != self._looked:
            self._looked = looked
            self._looks.tell(looked.look)
        if self._name is not None:
            allot = leader.allot(self._name)
            if allot.slots or (allot.leader, allot.number) != self._allotted:
                self._allotted = allot.leader, allot.number
                self._allots.tell(allot)

    def _contained(self, what: str, tell: Callable[[_T], None]) -> Callable[[_T], None]:
        """As `tell`; what it raises concerns that one piece of news."""

        def told(news: _T) -> None:
            try:
                tell(news)
            except Exception as error:  # noqa: BLE001 - others write the news, and must end nobody
                self._drop(Lost.FAILED, f"{what}, when told", repr(error))

        return told

    def _drop(self, lost: Lost, what: str, why: str) -> None:
        self._lost[lost] += 1
        if what not in self._odd and len(self._odd) < _MOST_KINDS:
            self._odd.add(what)
            _log("bus_message_dropped", level=logging.WARNING, what=what, why=why)
