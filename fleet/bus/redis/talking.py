"""The talking with Redis: one connection after the other, one round after the other.

Rule 1: a round says all that is new and reads all that is new, in one go; what is to be said
        meanwhile waits for the next one. So nothing piles up behind a slow Redis.
Rule 2: about once a second there is a round in any case, the *beat*: what was published while
        nobody listened is found, and both connections are known to live.
Rule 3: after every new connection all is told and read anew: it may be another Redis, or an empty
        one. Tries to connect get rarer, and not all processes try at once.
Rule 4: that Redis is away, or refuses something, is logged when it begins and when it ends.
"""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from random import Random

from fleet.bus.redis.answers import OddAnswerError, seconds_of
from fleet.bus.redis.hearing import Hearing, News
from fleet.bus.redis.hosttime import HostTime
from fleet.bus.redis.link import Dial, Link, Refused
from fleet.bus.redis.ownlog import Command
from fleet.bus.redis.saying import Saying
from fleet.clock import Clock
from fleet.errors import UnavailableError
from fleet.telemetry import log

__all__ = ["Talking"]

_log = log(__name__)
_BEAT_S = 1.0
_DEAF_S = 5.0
"""Nothing was heard for this long, not even a sign of life that was asked for: it is broken."""
_SOONEST_S, _LATEST_S = 0.1, 5.0
"""Between two tries to connect."""
_MOST_WHYS = 10
"""Different words for one trouble that are logged before it ends."""
_LONG = 4096
"""Bytes of a message that takes a millisecond or so to make."""


class _Trouble:
    """Tells the log when something begins and ends."""

    def __init__(self, event: str, over: str) -> None:
        self._event, self._over = event, over
        self.why = ""
        self._told: set[str] = set()

    def begin(self, why: str) -> None:
        self.why = why
        if why not in self._told and len(self._told) < _MOST_WHYS:
            self._told.add(why)
            _log(self._event, level=logging.WARNING, why=why)

    def end(self, *, first: bool = False) -> None:
        if self.why or first:
            _log(self._over)
        self.why = ""
        self._told.clear()


class Talking:
    """One process's."""

    def __init__(
        self, dial: Dial, clock: Clock, saying: Saying, hearing: Hearing, news: News
    ) -> None:
        self._dial, self._clock, self._news = dial, clock, news
        self._saying, self._hearing = saying, hearing
        self._random = Random()  # noqa: S311 - so that not all come back at once
        self._work = asyncio.Event()
        self._away = _Trouble("bus_away", "bus_connected")
        self._refused = _Trouble("bus_refused", "bus_accepted")
        self.connected = False
        self.heard_at: float | None = None
        """When Redis answered last."""
        self._ear_at = 0.0

    @property
    def why(self) -> str:
        """What went wrong last; empty while all goes well."""
        return self._away.why or self._refused.why

    def wake(self) -> None:
        """There is something to say."""
        self._work.set()

    async def run(self) -> None:
        """Endless."""
        failures = 0
        while True:
            why = await self._converse()
            failures = 0 if self.connected else failures + 1
            self.connected = False
            self._away.begin(why)
            pause = min(_LATEST_S, _SOONEST_S * 2 ** min(failures, 10))
            await self._clock.sleep(pause * self._random.uniform(0.5, 1.0))
            if "[SSL" in why:
                self._dial.read_again()

    async def _converse(self) -> str:
        """Talk for as long as it goes well; returns why it does not any more."""
        link = Link(self._dial, self._hearing.channels)
        why = ""
        try:
            await link.open()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._listen(link), name="bus ear")
                group.create_task(self._talk(link), name="bus mouth")
        except* UnavailableError as errors:
            why = str(errors.exceptions[0])
        except* OddAnswerError as errors:
            why = f"an odd answer to {errors.exceptions[0]}"
        finally:
            await link.close()
        return why

    async def _listen(self, link: Link) -> None:
        while True:
            told = await link.hear()
            self._ear_at = self._clock.now()
            if told is not None:
                self._hearing.published(*told, self._news)
                self._work.set()

    async def _talk(self, link: Link) -> None:
        self._saying.begin_anew()
        self._hearing.begin_anew()
        host = HostTime()
        beat_at = self._ear_at = self._clock.now()
        # Whatever is said needs its time.
        await self._ask(link, host, [])
        while True:
            now = self._clock.now()
            beat = now >= beat_at
            if beat:
                beat_at = now + _BEAT_S
                await self._check_ear(link, now)
            self._work.clear()
            await self._round(link, host, beat=beat)
            if not (self._hearing.full or self._saying.full):
                await self._until(beat_at)

    async def _round(self, link: Link, host: HostTime, *, beat: bool) -> None:
        """Say all that is new, read all that is new."""
        commands: list[Command] = []
        now = self._clock.now()
        for command in self._saying.commands(host, now, beat=beat):
            commands.append(command)
            if len(command.words[-1]) > _LONG:
                # Making such a message took a while: requests go on.
                await self._clock.sleep(0)
        now_ms = int(host.earliest(now) * 1000)
        commands += self._hearing.commands(beat=beat, now_ms=now_ms)
        # Without any there may be a poke to tell, with nothing to read before it.
        refused = bool(commands) and await self._ask(link, host, commands)
        if beat and not refused:
            # All that had been refused was asked again.
            self._refused.end()
        for _ in self._hearing.digest(host, self._clock.now(), self._news):
            await self._clock.sleep(0)

    async def _ask(self, link: Link, host: HostTime, commands: Sequence[Command]) -> bool:
        """Ask all of them; returns whether any was refused."""
        asked = self._clock.now()
        time, *answers = await link.ask([("TIME",), *(command.words for command in commands)])
        answered = self.heard_at = self._clock.now()
        if isinstance(time, Refused):
            msg = f"TIME is refused: {time}"
            raise UnavailableError(msg)
        host.hear(seconds_of(time), asked=asked, answered=answered)
        refused = ""
        for command, answer in zip(commands, answers, strict=True):
            if isinstance(answer, Refused):
                refused = refused or f"{command.words[0]}: {answer}"
                command.refused()
            else:
                command.answered(answer)
        self._away.end(first=not self.connected)
        self.connected = True
        if refused:
            self._refused.begin(refused)
            self._saying.wait()
        return bool(refused)

    async def _check_ear(self, link: Link, now: float) -> None:
        """What is published must be heard, too."""
        if now - self._ear_at > _DEAF_S:
            msg = f"nothing heard for {_DEAF_S:g} s"
            raise UnavailableError(msg)
        await link.ask_for_life()

    async def _until(self, beat_at: float) -> None:
        """Return when there is something to do, or the next beat is due."""
        left = beat_at - self._clock.now()
        if left > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._work.wait()
