"""Processes that talk over a Redis in memory, round by round, as a test lets them."""

from collections.abc import Callable
from dataclasses import dataclass, field

from redis.exceptions import ResponseError

from fleet.bus.journal import Journal
from fleet.bus.redis.gatewaylog import Reported
from fleet.bus.redis.hearing import Hearing, Hears, News
from fleet.bus.redis.hosttime import HostTime
from fleet.bus.redis.leaderlog import LeaderHeard
from fleet.bus.redis.outbox import Outbox
from fleet.bus.redis.ownlog import Keys
from fleet.bus.redis.saying import Saying
from fleet.messages import Allot
from fleet.names import GatewayName, RevisionName
from tests.fakes.redis_memory import RedisMemory

KEYS = Keys(prefix="ebbtide:")


@dataclass
class Process:
    """One process's half of the bus without its tasks: what it does in a round.

    Its own clock is `redis.now` less `ahead`: no two processes agree on the time.
    """

    redis: RedisMemory
    name: str | None = None
    life: str = "life"
    ahead: float = 0.0
    reported: list[Reported] = field(default_factory=list)
    allots: list[Allot] = field(default_factory=list)
    pokes: list[RevisionName] = field(default_factory=list)
    dropped: list[tuple[str, str]] = field(default_factory=list)
    led: list[LeaderHeard] = field(default_factory=list)
    meanwhile: Callable[[], object] = lambda: None
    """What happens while Redis' answers are on their way."""

    def __post_init__(self) -> None:
        gateway = None if self.name is None else GatewayName(self.name)
        self.outbox = Outbox(self.life)
        self.saying = Saying(KEYS, self.outbox, self.life, gateway)
        self.hearing = Hearing(KEYS, frozenset(Hears), Journal(), self.life)
        self.host = HostTime()
        self._heard_to = len(self.redis.published)
        self._allotted = "", 0
        self.news = News(
            reported=self.reported.append,
            led=self._led,
            poked=self.pokes.append,
            dropped=lambda what, why: self.dropped.append((what, why)),
        )

    @property
    def now(self) -> float:
        return self.redis.now - self.ahead

    def _led(self, leader: LeaderHeard) -> None:
        self.led.append(leader)
        if self.name is not None:
            allot = leader.allot(GatewayName(self.name))
            if allot.slots or (allot.leader, allot.number) != self._allotted:
                self._allotted = allot.leader, allot.number
                self.allots.append(allot)

    def reconnect(self) -> None:
        """A new connection; what was published meanwhile is lost."""
        self.saying.begin_anew()
        self.hearing.begin_anew()
        self.host = HostTime()
        self._heard_to = len(self.redis.published)

    def hear(self) -> None:
        """Hear what has been published."""
        for channel, message in self.redis.published[self._heard_to :]:
            if channel.decode() in self.hearing.channels:
                self.hearing.published(channel, message, self.news)
        self._heard_to = len(self.redis.published)

    def round(self, *, beat: bool = True) -> None:
        """Say and read once."""
        self.hear()
        now = self.now
        self.host.hear(self.redis.now, asked=now, answered=now)
        commands = list(self.saying.commands(self.host, now, beat=beat))
        now_ms = int(self.host.earliest(now) * 1000)
        commands += self.hearing.commands(beat=beat, now_ms=now_ms)
        answers = self.redis.ask([command.words for command in commands])
        self.meanwhile()
        self.hear()
        for command, answer in zip(commands, answers, strict=True):
            if isinstance(answer, ResponseError):
                command.refused()
                self.saying.wait()
            else:
                command.answered(answer)
        for _ in self.hearing.digest(self.host, now, self.news):
            pass

    def rounds(self, count: int) -> None:
        """So many seconds with a round each."""
        for _ in range(count):
            self.redis.now += 1.0
            self.round()
