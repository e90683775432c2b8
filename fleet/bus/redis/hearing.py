"""What this process hears: the logs of others, pokes, and the journal. Pure.

Rule 1: nothing is believed: what is malformed, or speaks in another's name, is counted and left
        out, whatever else came with it.
Rule 2: of several leaders the one of the highest term counts, for as long as its log lives.
Rule 3: everything is bounded: the logs that are followed, and what is kept of them, the pokes not
        told yet, the lines kept.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from fleet.bus.drained import Drained
from fleet.bus.journal import Journal
from fleet.bus.redis.answers import OddAnswerError, messages_of, names_of, streams_of
from fleet.bus.redis.gatewaylog import GatewayHeard, Reported
from fleet.bus.redis.hosttime import HostTime
from fleet.bus.redis.leaderlog import LeaderHeard
from fleet.bus.redis.ownlog import Command, Keys
from fleet.bus.redis.parcels import Fresh, Line, OddParcelError, Parcel, read
from fleet.bus.redis.saying import GATEWAY, LEADER
from fleet.channel.messages import Poked
from fleet.messages import Received
from fleet.names import GatewayName, RevisionName

__all__ = ["Hearing", "Hears", "News"]

_MOST_LOGS = 1000
_MOST_KEPT = {False: 128 * 2**20, True: 256 * 2**20}
"""Bytes of all that the logs say, as they were written; of gateways' logs there are more."""
_MOST_POKES = 10_000
_MOST_LIVES = 1000
_MOST_NAME = 300
_MESSAGES, _LINES = 32, 200
"""Read at once, of each log and of the journal."""
_BEGINNING = b"0"
_TERM = re.compile(rf"{LEADER}[0-9]{{1,15}}")
_MISSING = 3
"""Beats for which a log that is not there any more is believed: Redis may have begun anew."""
_IN_VAIN = 3
"""Times that a log may have nothing new although that was told: it was read meanwhile."""
_LONGEST_LINE = 16 * 2**10
"""Bytes of a line of the journal: several times what `brief` leaves of one."""
_LONG = 4096
"""Bytes of a message after which others get their turn."""


class Hears(Enum):
    """Whom a process listens to. All hear the journal."""

    GATEWAYS = "gateways"
    """What an autoscaler decides on."""
    LEADER = "leader"
    """What a gateway goes by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """Whom to tell of what was heard."""

    reported: Callable[[Reported], None]
    led: Callable[[LeaderHeard], None]
    """The leader that counts said something."""
    poked: Callable[[RevisionName], None]
    dropped: Callable[[str, str], None]
    """Something was left out: what, and why."""


class _Log:
    """One that is followed."""

    __slots__ = ("heard", "in_vain", "missing", "read_to", "size", "writer")

    def __init__(self, writer: str, heard: GatewayHeard | LeaderHeard) -> None:
        self.writer, self.heard = writer, heard
        self.read_to = _BEGINNING
        self.in_vain = 0
        """How often there was to be something new, and was not."""
        self.size = 0
        """Bytes since it began to say all there is."""
        self.missing = 0
        """For how many beats it has not been among the logs there are."""


class Hearing:
    """One process's."""

    def __init__(self, keys: Keys, hears: frozenset[Hears], journal: Journal, life: str) -> None:
        self._keys, self._hears, self._life = keys, hears, life
        self.journal = journal
        self._logs: dict[str, _Log] = {}
        self._room = _MOST_KEPT[Hears.GATEWAYS in hears]
        """What of `_MOST_KEPT` is left."""
        self._fresh: dict[str, None] = {}
        """Logs with something new, by name."""
        self._pokes: dict[RevisionName, None] = {}
        self._due: dict[RevisionName, None] = {}
        """Pokes from before the last reading was asked for: to be told behind what it brings."""
        self._drained = Drained()
        self._lines_to = _BEGINNING
        self._lines_checked = False
        self._lives: dict[str, int] = {}
        """The newest line that was read of each writer."""
        self._read: list[tuple[str, list[Any]]] = []
        self._lines_read: list[Any] = []
        self._more = False
        self._counts: str | None = None
        """The life of the leader whose word was told last."""
        self._apart = False
        """Logs are read one by one: one of those keys is no stream."""

    @property
    def channels(self) -> list[str]:
        """What is published to this process."""
        gateways = [self._keys.gateways, self._keys.pokes]
        found = gateways if Hears.GATEWAYS in self._hears else []
        return [*found, self._keys.leaders] if Hears.LEADER in self._hears else found

    def received(self) -> Mapping[GatewayName, Received]:
        """The newest sample of every gateway that lives."""
        return {
            GatewayName(log.writer): log.heard.received
            for log in self._logs.values()
            if isinstance(log.heard, GatewayHeard) and log.heard.received is not None
        }

    def leader(self) -> LeaderHeard | None:
        """The leader that counts; None: none does."""
        found = [
            log.heard
            for log in self._logs.values()
            if isinstance(log.heard, LeaderHeard) and log.heard.life is not None
        ]
        return max(found, key=lambda leader: leader.term, default=None)

    @property
    def full(self) -> bool:
        """There is something to read now."""
        return bool(self._fresh or self._pokes or self._due or self._more)

    # What comes in.

    def published(self, channel: bytes, message: bytes, news: News) -> None:
        """A message on a channel."""
        try:
            if channel == self._keys.pokes.encode():
                poked = read(Poked, message)
                if len(self._pokes) < _MOST_POKES:
                    self._pokes[poked.revision] = None
            else:
                name = read(Fresh, message).log
                if self._followed(name):
                    self._fresh[name] = None
        except OddParcelError as error:
            news.dropped(channel.decode(errors="replace"), str(error))

    def begin_anew(self) -> None:
        """The connection is new: it may be another Redis."""
        for log in self._logs.values():
            log.read_to = _BEGINNING
        self._fresh = dict.fromkeys(self._logs)
        self._lines_checked = False

    def commands(self, *, beat: bool, now_ms: int) -> Iterator[Command]:
        """Read what is new. `beat`: look for all that there is."""
        names, self._fresh, self._more = list(self._fresh), {}, False
        self._due |= self._pokes
        self._pokes = {}
        for name in names:
            self._hope(self._logs[name])
        if beat:
            # What was published while this process did not listen is found, too.
            names += [name for name in self._logs if name not in names]
            yield from self._look_around(now_ms)
        found = [(self._keys.log(name), self._logs[name].read_to) for name in names]
        size = 1 if self._apart else max(1, len(found))
        for first in range(0, len(found), size):
            some = dict(found[first : first + size])
            yield _xread(_MESSAGES, some, self._take_logs, refused=self._read_apart)

    def _hope(self, log: _Log) -> None:
        """It is to be read."""
        log.in_vain += 1
        if log.in_vain > _IN_VAIN:
            # What it says has earlier numbers: it was made anew, after the clock was set back.
            log.read_to, log.in_vain = _BEGINNING, 0

    def _look_around(self, now_ms: int) -> Iterator[Command]:
        journal = self._keys.journal
        yield Command(
            words=("ZRANGE", self._keys.logs, f"({now_ms}", "+inf", "BYSCORE"),
            answered=self._living,
        )
        if not self._lines_checked:
            self._lines_checked = True
            words = ("XREVRANGE", journal, "+", "-", "COUNT", 1)
            yield Command(words=words, answered=self._check_lines)
        yield _xread(_LINES, {journal: self._lines_to}, self._take_lines)

    def digest(self, host: HostTime, now: float, news: News) -> Iterator[None]:
        """Take in what was read, a piece at a time, and tell of it; then the pokes."""
        pokes, self._due = self._due, {}
        read_now, self._read = self._read, []
        for name, messages in read_now:
            yield from self._digest_log(name, messages, host=host, now=now, news=news)
        lines, self._lines_read = self._lines_read, []
        for data in lines:
            self._digest_line(data, news)
        self._tell_led(news)
        for revision in pokes:
            news.poked(revision)

    # Reading.

    def _followed(self, name: str) -> _Log | None:
        """The log of this name; None: it is not one that this process reads."""
        log = self._logs.get(name)
        if log is None and len(self._logs) < _MOST_LOGS and len(name) <= _MOST_NAME:
            heard: GatewayHeard | LeaderHeard
            if name.startswith(GATEWAY) and Hears.GATEWAYS in self._hears:
                writer = name.removeprefix(GATEWAY)
                heard = GatewayHeard(GatewayName(writer))
            elif Hears.LEADER in self._hears and _TERM.fullmatch(name):
                writer = name.removeprefix(LEADER)
                heard = LeaderHeard(int(writer))
            else:
                return None
            log = self._logs[name] = _Log(writer, heard)
        return log

    def _living(self, answer: Any) -> None:
        """The logs there are now."""
        names = {name.decode(errors="replace") for name in names_of(answer)}
        for name in sorted(names):
            log = self._followed(name)
            if log is not None:
                if log.read_to == _BEGINNING:
                    self._fresh[name] = None
                log.missing = 0
        for name in [name for name in self._logs if name not in names]:
            log = self._logs[name]
            log.missing += 1
            if log.missing > _MISSING:
                self._drained.forget(GatewayName(log.writer))
                self._room += log.size
                del self._logs[name]
                self._fresh.pop(name, None)

    def _read_apart(self) -> None:
        self._apart = True

    def _take_logs(self, answer: Any) -> None:
        skipped = len(self._keys.prefix)
        for key, messages in streams_of(answer):
            name = key.decode(errors="replace")[skipped:]
            self._read.append((name, messages))
            if len(messages) >= _MESSAGES and name in self._logs:
                self._fresh[name] = None

    def _check_lines(self, answer: Any) -> None:
        """Begin at the journal's beginning when this is another than before."""
        newest = max((_order(number) for number, _ in messages_of(answer)), default=(0, 0))
        if newest < _order(self._lines_to):
            self._lines_to = _BEGINNING

    def _take_lines(self, answer: Any) -> None:
        for _, messages in streams_of(answer):
            for number, data in messages_of(messages):
                self._lines_to = number
                self._lines_read.append(data)
            self._more = len(messages) >= _LINES

    # Taking in.

    def _digest_log(
        self, name: str, messages: list[Any], *, host: HostTime, now: float, news: News
    ) -> Iterator[None]:
        log = self._logs.get(name)
        if log is None:
            return
        for number, data in messages_of(messages):
            log.read_to, log.in_vain = number, 0
            try:
                parcel = _parcel(data, log.writer)
                self._make_room(log, parcel, size=len(data or b""))
            except OddParcelError as error:
                news.dropped(name, str(error))
            else:
                self._tell(log.heard, parcel, now - host.age(parcel.at, now), news)
            if data is not None and len(data) > _LONG:
                yield
        if log.heard.following.life is None and len(messages) < _MESSAGES:
            # One was missed: from the beginning, at the next beat.
            log.read_to = _BEGINNING

    def _make_room(self, log: _Log, parcel: Parcel, *, size: int) -> None:
        """For what is kept of a message; for the whole, all before it goes."""
        if parcel.whole:
            self._room, log.size = self._room + log.size, 0
        if size > self._room:
            msg = "more than is kept of all logs together"
            raise OddParcelError(msg)
        self._room, log.size = self._room - size, log.size + size

    def _tell_led(self, news: News) -> None:
        """Tell what the leader said, once all of it is read: it may have taken some of it back."""
        unread = [self._logs[name].heard for name in self._fresh if name in self._logs]
        leader = self.leader()
        if leader is None or not leader.news:
            return
        if not any(isinstance(one, LeaderHeard) and one.term >= leader.term for one in unread):
            leader.news = False
            if leader.life != self._counts:
                self._counts = leader.life
                leader.begin_anew()
            news.led(leader)

    def _tell(
        self, heard: GatewayHeard | LeaderHeard, parcel: Parcel, at: float, news: News
    ) -> None:
        if isinstance(heard, LeaderHeard):
            heard.take(parcel, at)
            return
        reported = heard.take(parcel, at)
        if reported is None:
            return
        drained = self._drained.news(reported.gateway, reported.revisions, reported.gone)
        news.reported(reported)
        for revision in drained:
            # The leader need not wait for its next tick.
            news.poked(revision)

    def _digest_line(self, data: bytes | None, news: News) -> None:
        try:
            line = _line(data)
        except OddParcelError as error:
            news.dropped(self._keys.journal, str(error))
            return
        known = self._lives.pop(line.life, 0)
        self._lives[line.life] = max(known, line.number)
        if len(self._lives) > _MOST_LIVES:
            del self._lives[next(iter(self._lives))]
        # Its own lines are in it since they were told.
        if line.number > known and line.life != self._life:
            self.journal.add(line.entry)


def _parcel(data: bytes | None, writer: str) -> Parcel:
    parcel = read(Parcel, data)
    if parcel.writer != writer:
        msg = f"{parcel.writer} speaks in the name of {writer}"
        raise OddParcelError(msg)
    return parcel


def _line(data: bytes | None) -> Line:
    if data is not None and len(data) > _LONGEST_LINE:
        msg = f"a line of {len(data)} bytes, at most {_LONGEST_LINE}"
        raise OddParcelError(msg)
    return read(Line, data)


def _xread(
    most: int,
    where: Mapping[str, bytes],
    answered: Callable[[Any], None],
    *,
    refused: Callable[[], None] = lambda: None,
) -> Command:
    words = ("XREAD", "COUNT", most, "STREAMS", *where, *where.values())
    return Command(words=words, answered=answered, refused=refused)


def _order(number: bytes) -> tuple[int, int]:
    """Where an ID of a stream's message comes."""
    milliseconds, _, counted = number.partition(b"-")
    try:
        return int(milliseconds), int(counted or 0)
    except ValueError:
        raise OddAnswerError("XREVRANGE") from None
