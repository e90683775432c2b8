"""One worker: a hall and a front on sockets that it inherits, over a cluster that it does not hold.

Rule 1: it ends when it is told to, or when the process over it is gone: it accepts nothing more,
        finishes what it has within the grace time, and exits.
Rule 2: signals are the other process's to hear: one for the whole group must not end this one
        first.
Rule 3: of what it inherits it keeps its sockets and standard streams, and closes the rest: a pipe
        of another child held here would never end.
"""

import asyncio
import os
import signal
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import NoReturn

from activator.hall import Hall
from activator.wiring import Outside
from ebbtide.loops import new_event_loop
from ebbtide.memory import keep_pieces, settle
from ebbtide.sharing.allotment import Allotment
from ebbtide.workers.messages import Begin, Leave, Listening, Reload, TurnAway, codec
from ebbtide.workers.slots import Sharer
from ebbtide.workers.telling import Telling
from fleet.bus.far import FarBus
from fleet.channel.channel import Channel
from fleet.clock import LoopClock
from fleet.cluster.far import FarCluster
from fleet.errors import UnavailableError
from fleet.reasons import Reason
from fleet.runtimes.asking import Asker
from fleet.runtimes.servers import servers
from fleet.settings import Settings
from fleet.tasks import endless
from fleet.telemetry import configure_logging, log, set_level
from fleet.tls import Certificates
from gateway.front import Front

__all__ = ["LAST_WORDS_S", "main"]

_log = log(__name__)
LAST_WORDS_S = 1.0
"""What is refused at the end has this long to be read."""


def main(words: Sequence[str]) -> int:
    """Work; `words` are the numbers of the channel's descriptor and of the sockets that listen."""
    numbers = [int(word) for word in words]
    _close_others(numbers)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    channel, *listening = (socket.socket(fileno=number) for number in numbers)
    keep_pieces()
    with asyncio.Runner(loop_factory=new_event_loop) as runner, suppress(UnavailableError):
        runner.run(_work(channel, listening))
    return 0


def _close_others(kept: Sequence[int]) -> None:
    low = 3
    for number in sorted(kept):
        os.closerange(low, number)
        low = number + 1
    os.closerange(low, os.sysconf("SC_OPEN_MAX"))


class _DoneError(Exception):
    """The work is over: what is left of it is cancelled."""


def _done() -> NoReturn:
    raise _DoneError


async def _work(end: socket.socket, listening: Sequence[socket.socket]) -> None:
    channel = Channel(codec())
    cluster = FarCluster(channel)
    begun: asyncio.Future[Begin] = asyncio.get_running_loop().create_future()
    channel.handle(Begin, begun.set_result)
    await asyncio.get_running_loop().create_unix_connection(lambda: channel, sock=end)
    await cluster.known()
    begin = await begun
    configure_logging(begin.settings.log_level, tag=f"worker={begin.number}")
    clock = LoopClock()
    allotment = Allotment(Sharer(channel), clock)
    try:
        certificates = Certificates(begin.settings)
        async with asyncio.TaskGroup() as group:
            outside = Outside(
                cluster=cluster,
                bus=FarBus(channel, clock),
                clock=clock,
                servers=servers(Asker(certificates)),
                settings=begin.settings,
                group=group,
                allotted=allotment.of,
                crowded=allotment.crowded,
            )
            hall = Hall(begin.name, outside)
            allotment.use(hall)
            endless(group, certificates.run(clock), name="certificates")
            with _fronted(hall, begin.settings, certificates) as front:
                worker = _Worker(hall, front, channel, begin.settings)
                endless(group, front.keys.run(clock), name="keys")
                channel.handle(Reload, partial(worker.reload, certificates))
                await worker.serve(outside, listening)
            _done()
    except* _DoneError:
        allotment.close()
    channel.close()
    await channel.closed.wait()


@contextmanager
def _fronted(hall: Hall, settings: Settings, certificates: Certificates) -> Iterator[Front]:
    front = Front(hall, settings, certificates=certificates)
    try:
        yield front
    finally:
        front.close()
        hall.close()


class _Worker:
    """The parts of one worker, from its first connection to its last."""

    def __init__(self, hall: Hall, front: Front, channel: Channel, settings: Settings) -> None:
        self._hall, self._front, self._channel = hall, front, channel
        self._settings = settings
        self._telling = Telling(hall, front, channel)
        self._told = asyncio.Event()
        self._grace: float | None = None
        channel.handle(TurnAway, lambda _: front.turn_away())
        channel.handle(Leave, self._leave)

    async def serve(self, outside: Outside, listening: Sequence[socket.socket]) -> None:
        """Serve until told to leave, then leave."""
        endless(outside.group, self._hall.run(), name="hall")
        endless(outside.group, self._telling.run(outside.clock), name="telling")
        await self._front.adopt(listening)
        self._channel.send(Listening())
        settle()
        gone = asyncio.ensure_future(self._channel.closed.wait())
        told = asyncio.ensure_future(self._told.wait())
        await asyncio.wait((gone, told), return_when=asyncio.FIRST_COMPLETED)
        for task in (gone, told):
            task.cancel()
        self._front.stop_accepting()
        grace = self._settings.shutdown_grace if self._grace is None else self._grace
        _log("worker_leaving", grace=grace, told=self._told.is_set())
        await self._front.drained(outside.clock.now() + grace)
        self._hall.refuse_waiting(Reason.SHUTTING_DOWN)
        await self._front.drained(outside.clock.now() + LAST_WORDS_S)
        self._telling.report()

    def reload(self, certificates: Certificates, reload: Reload) -> None:
        """Go by other settings, and read the files again that they name."""
        self._settings = reload.settings
        certificates.follow(reload.settings)
        set_level(reload.settings.log_level)
        self._hall.reload(reload.settings)
        self._front.reload(reload.settings)

    def _leave(self, leave: Leave) -> None:
        self._grace = leave.grace
        self._told.set()
