"""What this process says: its own log as a gateway or as the leader, pokes, lines of the journal.

Rule: what is said in one round is what is new by then; while Redis is slow or away nothing piles
      up but what the outbox holds.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from math import inf
from typing import Protocol, TypeVar

from fleet.bus.journal import MOST_LINES
from fleet.bus.redis.answers import FIELD
from fleet.bus.redis.gatewaylog import GatewayTold
from fleet.bus.redis.hosttime import HostTime
from fleet.bus.redis.leaderlog import LeaderTold
from fleet.bus.redis.outbox import Outbox
from fleet.bus.redis.ownlog import Command, Keys, OwnLog
from fleet.bus.redis.parcels import (
    Fresh,
    GatewayNews,
    LeaderNews,
    OddParcelError,
    written,
)
from fleet.channel.messages import Poked
from fleet.messages import CostReport, DecisionReport
from fleet.names import GatewayName

__all__ = ["GATEWAY", "LEADER", "Leading", "Reporter", "Saying", "TimedReporter"]

GATEWAY = "gateway:"
"""What the names of gateways' logs begin with."""
LEADER = "leader:"
"""What those of leaders' logs do; the term follows."""
_LINES = 100
"""Lines of the journal in one round."""
_REPORT_S, _BILL_S = 1.0, 10.0
"""How often decisions, and the bill, are told at most."""
_T = TypeVar("_T")


class Reporter(Protocol):
    """Who decides, for people to look at."""

    def decisions(self) -> Iterable[DecisionReport]:
        """The last decision for every revision."""
        ...

    def decided_at(self) -> float:
        """When all of them held, Unix time."""
        ...

    def cost(self) -> CostReport:
        """The bill so far."""
        ...


class TimedReporter(Reporter, Protocol):
    """Whose times are known on this process's clock, too."""

    def held_at(self) -> float:
        """`decided_at`, on this process's clock."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Leading:
    """What a process that leads has to say."""

    term: int
    life: str
    log: OwnLog[LeaderNews]
    told: LeaderTold


class Saying:
    """One process's. `name` is that of a gateway; None: this is none."""

    def __init__(self, keys: Keys, outbox: Outbox, life: str, name: GatewayName | None) -> None:
        self._keys, self._outbox, self._life = keys, outbox, life
        self._gateway = None if name is None else _gateway_log(name, life)
        self._told = GatewayTold()
        self._turns = 0
        """How often this process has led."""
        self._leader: Leading | None = None
        self.reporter: TimedReporter | None = None
        self._reported = self._billed = -inf
        self._unsaid = 0
        self._waits = False

    @property
    def leading(self) -> Leading | None:
        """What is said as the leader; None: this process does not lead."""
        return self._leader

    def lead(self, term: int) -> Leading:
        """Speak as the leader of `term` from now on."""
        if self._leader is None or self._leader.term != term:
            self.follow()
            self._turns += 1
            life = f"{self._life}.{self._turns}"
            log = _leader_log(term, life)
            self._leader = Leading(term=term, life=life, log=log, told=LeaderTold())
            self._reported = self._billed = -inf
        return self._leader

    def follow(self) -> None:
        """Speak as the leader no more."""
        if self._leader is not None:
            self._unsaid += self._leader.told.unsaid + self._leader.log.unsaid
        self._leader = None

    def begin_anew(self) -> None:
        """The connection is new."""
        for log in self._logs():
            log.begin_anew()

    def wait(self) -> None:
        """Something was refused: say nothing more that would be, until the next beat."""
        self._waits = True

    @property
    def full(self) -> bool:
        """There is something to say now."""
        untold = self._leader is not None and self._leader.told.untold
        return (self._outbox.full or untold or any(self._lost())) and not self._waits

    def commands(self, host: HostTime, now: float, *, beat: bool) -> Iterator[Command]:
        """Say all that is new. `beat`: about once a second."""
        self._waits = self._waits and not beat
        if not self._waits:
            # A poke is about what the sample and the journal say: those come first.
            yield from self._lines()
            yield from self._say_gateway(host)
            yield from self._say_leader(host, now)
        for revision in self._outbox.pokes():
            yield Command(words=("PUBLISH", self._keys.pokes, written(Poked(revision=revision))))
        if beat:
            at = host.earliest(now)
            for log in self._logs():
                yield from log.alive(self._keys, at=at)
            yield Command(words=("ZREMRANGEBYSCORE", self._keys.logs, "-inf", str(int(at * 1000))))

    @property
    def unsaid(self) -> int:
        """Pieces of news that could not be written, so far."""
        told = 0 if self._leader is None else self._leader.told.unsaid
        return self._unsaid + told + sum(log.unsaid for log in self._logs())

    def _logs(self) -> Iterator[OwnLog[GatewayNews] | OwnLog[LeaderNews]]:
        if self._gateway is not None:
            yield self._gateway
        if self._leader is not None:
            yield self._leader.log

    def _lines(self) -> Iterator[Command]:
        for line in self._outbox.lines(_LINES):
            try:
                data = written(line)
            except OddParcelError:
                self._unsaid += 1
                self._outbox.wrote(line.number)
                continue
            yield Command(
                words=("XADD", self._keys.journal, "MAXLEN", "~", MOST_LINES, "*", FIELD, data),
                answered=partial(self._wrote, line.number),
            )

    def _wrote(self, number: int, _: object) -> None:
        self._outbox.wrote(number)

    def _lost(self) -> Iterator[bool]:
        """Whether a log has to be told anew of which there is something to tell."""
        if self._gateway is not None and self._outbox.sample is not None:
            yield self._gateway.anew
        if self._leader is not None:
            yield self._leader.log.anew

    def _say_gateway(self, host: HostTime) -> Iterator[Command]:
        log, box = self._gateway, self._outbox
        if log is None or box.sample is None or not (box.news or log.anew):
            return
        if log.anew:
            self._told = GatewayTold()
        box.news = False
        made = box.made
        news = self._told.news(box.sample, box.held, made)
        yield from self._said(log, news, self._keys.gateways, at=host.earliest(made))

    def _say_leader(self, host: HostTime, now: float) -> Iterator[Command]:
        if self._leader is None:
            return
        log, told = self._leader.log, self._leader.told
        self._report(told, now)
        if told.untold or log.anew:
            news = told.news(now, whole=log.anew)
            yield from self._said(log, news, self._keys.leaders, at=host.earliest(now))

    def _said(
        self, log: OwnLog[_T], news: Iterator[_T], channel: str, *, at: float
    ) -> Iterator[Command]:
        anew, before = log.anew, log.number
        yield from log.commands(news, self._keys, at=at)
        if log.number > before:
            if anew:
                yield from log.alive(self._keys, at=at)
            yield Command(words=("PUBLISH", channel, written(Fresh(log=log.name))))

    def _report(self, told: LeaderTold, now: float) -> None:
        """Ask for decisions and bill, if it is time."""
        if self.reporter is None:
            return
        if now - self._reported >= _REPORT_S:
            self._reported = now
            reporter = self.reporter
            told.decided(reporter.decisions(), reporter.held_at(), reporter.decided_at())
        if now - self._billed >= _BILL_S:
            self._billed = now
            told.billed(self.reporter.cost())


def _gateway_log(name: GatewayName, life: str) -> OwnLog[GatewayNews]:
    return OwnLog(
        f"{GATEWAY}{name}",
        writer=name,
        life=life,
        packed=lambda parcel, news: replace(parcel, gateway=news),
        nothing=GatewayNews(),
    )


def _leader_log(term: int, life: str) -> OwnLog[LeaderNews]:
    return OwnLog(
        f"{LEADER}{term}",
        writer=str(term),
        life=life,
        packed=lambda parcel, news: replace(parcel, leader=news),
        nothing=LeaderNews(),
    )
