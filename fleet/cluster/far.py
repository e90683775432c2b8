"""A `Cluster` that another process of this machine holds, and that process's side of it.

Rule 1: news of the fleet and answers to writes go the same way, in order: a writer has seen the
        snapshot of its write before the write returns.
Rule 2: an end that does not keep up gets the newest snapshot when it does again, not every one.
Rule 3: when the channel is gone every write, also one under way, is `UnavailableError`; the
        snapshot stays as it was.
"""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import TypeVar

from fleet.channel.channel import Channel
from fleet.channel.messages import MarkAsked, Noted, ScaleAsked, Written, Wrong
from fleet.channel.news import FleetNews, news_since, with_news
from fleet.cluster import Cluster
from fleet.errors import ConflictError, EbbtideError, GoneError, UnavailableError
from fleet.model import Drain, Fleet
from fleet.names import RevisionName
from fleet.reasons import Reason
from fleet.subscribers import Subscribers

__all__ = ["FarCluster", "share_cluster"]

_T = TypeVar("_T")
_ERRORS: dict[Wrong, type[EbbtideError]] = {
    Wrong.CONFLICT: ConflictError,
    Wrong.GONE: GoneError,
    Wrong.UNAVAILABLE: UnavailableError,
}


class FarCluster:
    """The side without the cluster. `known` waits for the first snapshot."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._fleet = Fleet()
        self._known = asyncio.Event()
        self._subscribers = Subscribers[Fleet]()
        self._numbers = itertools.count(1)
        self._asked: dict[int, asyncio.Future[Written]] = {}
        channel.handle(FleetNews, self._observe)
        channel.handle(Written, self._written)

    async def known(self) -> None:
        """Return once there is a snapshot. Raises `UnavailableError` if there will be none."""
        await self._or_gone(self._known.wait())

    def fleet(self) -> Fleet:
        return self._fleet

    def subscribe(self, listener: Callable[[Fleet], None]) -> Callable[[], None]:
        return self._subscribers.add(listener)

    async def scale(
        self, revision: RevisionName, replicas: int, *, expect: str, reason: Reason
    ) -> str:
        number = next(self._numbers)
        asked = ScaleAsked(
            number=number, revision=revision, replicas=replicas, expect=expect, reason=reason
        )
        return await self._write(number, asked)

    async def mark(self, revision: RevisionName, drain: Drain | None, *, expect: str) -> str:
        number = next(self._numbers)
        asked = MarkAsked(number=number, revision=revision, drain=drain, expect=expect)
        return await self._write(number, asked)

    async def note(self, revision: RevisionName, reason: str, message: str) -> None:
        self._channel.send(Noted(revision=revision, reason=reason, message=message))

    async def _write(self, number: int, asked: ScaleAsked | MarkAsked) -> str:
        future = asyncio.get_running_loop().create_future()
        self._asked[number] = future
        self._channel.send(asked)
        try:
            answer: Written = await self._or_gone(future)
        finally:
            self._asked.pop(number, None)
        if answer.wrong is not None:
            raise _ERRORS[answer.wrong](answer.message)
        return answer.version

    async def _or_gone(self, work: Awaitable[_T]) -> _T:
        wanted = asyncio.ensure_future(work)
        gone = asyncio.ensure_future(self._channel.closed.wait())
        try:
            await asyncio.wait((wanted, gone), return_when=asyncio.FIRST_COMPLETED)
            if not wanted.done():
                msg = "the process that holds the cluster is gone"
                raise UnavailableError(msg)
            return await wanted
        finally:
            wanted.cancel()
            gone.cancel()

    def _observe(self, news: FleetNews) -> None:
        self._fleet = with_news(self._fleet, news)
        self._known.set()
        self._subscribers.tell(self._fleet)

    def _written(self, answer: Written) -> None:
        future = self._asked.get(answer.number)
        if future is not None and not future.done():
            future.set_result(answer)


def share_cluster(
    cluster: Cluster, channel: Channel, group: asyncio.TaskGroup
) -> Callable[[], None]:
    """Let the other end of `channel` use `cluster`; returns what ends that."""
    return _Sharer(cluster, channel, group).end


class _Sharer:
    """The side that has the cluster."""

    def __init__(self, cluster: Cluster, channel: Channel, group: asyncio.TaskGroup) -> None:
        self._cluster, self._channel, self._group = cluster, channel, group
        self._told = Fleet()
        channel.handle(ScaleAsked, self._asked)
        channel.handle(MarkAsked, self._asked)
        channel.handle(Noted, self._noted)
        channel.on_room(self._tell)
        self.end = cluster.subscribe(lambda _: self._observe())
        self._tell()

    def _observe(self) -> None:
        if not self._channel.crowded:
            self._tell()

    def _tell(self) -> None:
        fleet = self._cluster.fleet()
        if fleet is not self._told:
            self._channel.send(news_since(self._told, fleet))
            self._told = fleet

    def _asked(self, asked: ScaleAsked | MarkAsked) -> None:
        self._group.create_task(self._write(asked), name=f"far write {asked.revision}")

    async def _write(self, asked: ScaleAsked | MarkAsked) -> None:
        try:
            version = await self._written(asked)
            answer = Written(number=asked.number, version=version)
        except EbbtideError as error:
            wrong = next((w for w, kind in _ERRORS.items() if isinstance(error, kind)), None)
            answer = Written(
                number=asked.number, wrong=wrong or Wrong.UNAVAILABLE, message=str(error)
            )
        self._tell()
        self._channel.send(answer)

    async def _written(self, asked: ScaleAsked | MarkAsked) -> str:
        if isinstance(asked, MarkAsked):
            return await self._cluster.mark(asked.revision, asked.drain, expect=asked.expect)
        return await self._cluster.scale(
            asked.revision, asked.replicas, expect=asked.expect, reason=asked.reason
        )

    def _noted(self, noted: Noted) -> None:
        self._group.create_task(
            self._cluster.note(noted.revision, noted.reason, noted.message), name="far note"
        )
