"""The workers of one `ebbtide up`: started, listened to, replaced, and ended.

Rule 1: a worker that ends although nobody told it to is replaced; only its own requests are lost.
        One that says nothing for `worker_timeout` is killed first.
Rule 2: one that ends soon after its start is replaced more and more slowly; one that cannot even
        start the first time ends the process.
Rule 3: each keeps its name from one process to the next, so the members that the autoscaler must
        hear stay the same: while one is missing the load is unknown, and nothing is scaled down.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from math import ceil

from ebbtide.sharing.sharing import Sharing
from ebbtide.signals import Stop
from ebbtide.workers.listeners import Listeners
from ebbtide.workers.messages import (
    Begin,
    Crowded,
    Leave,
    Listening,
    Reload,
    Report,
    Retiring,
    TurnAway,
)
from ebbtide.workers.post import Post, spawn
from ebbtide.workers.retiring import Retired
from ebbtide.workers.slots import Slots
from ebbtide.workers.sums import Totals
from ebbtide.workers.worker import LAST_WORDS_S
from fleet.bus import Bus
from fleet.bus.drained import Drained
from fleet.bus.far import share_bus
from fleet.clock import Clock
from fleet.cluster.far import share_cluster
from fleet.cluster.local.cluster import LocalCluster
from fleet.errors import UnavailableError
from fleet.messages import Held, RevisionSample, Sample
from fleet.names import GatewayName, ReplicaName
from fleet.settings import Settings
from fleet.telemetry import log

__all__ = ["Crew", "Means"]

_log = log(__name__)
_LOOK_S = 1.0
_START_LOOKS = 60
"""Looks that a worker has from its start until it takes connections."""
_STEADY_S = 10.0
"""One that lives this long is replaced at once."""
_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 5.0
_SLACK_S = 2.0
_DIVIDED = ("max_connections", "max_waiting", "max_waiting_bytes", "held_bodies")
"""Settings that hold over all: each worker has its part of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What the crew works with."""

    cluster: LocalCluster
    bus: Bus
    clock: Clock
    group: asyncio.TaskGroup
    listeners: Listeners
    environ: Mapping[str, str]


class Crew:
    """`count` workers."""

    def __init__(self, count: int, means: Means, settings: Settings) -> None:
        self._names = tuple(GatewayName(f"up-{number}") for number in range(1, count + 1))
        self._means = means
        self._settings = settings
        self._posts: dict[GatewayName, Post] = {}
        self.totals = Totals()
        self._retired = Retired()
        self._sharing = Sharing(self._names, Slots(self._send))
        self._drained = Drained()
        self._begun = asyncio.Event()
        """All have taken connections once."""
        self._turning_away = False
        self._leaving: Leave | None = None
        self._keeping: list[asyncio.Task[None]] = []
        means.cluster.subscribe(lambda _: self._observe())

    def members(self) -> tuple[GatewayName, ...]:
        """The gateways that must be heard: all, or those that are still there at the end."""
        return self._names if self._leaving is None else tuple(self._posts)

    def running_on(self, replica: ReplicaName) -> int:
        """Requests on a replica that takes nothing new; at least as many as there are."""
        return self._retired.running(replica, [post.seen for post in self._posts.values()])

    async def start(self) -> None:
        """Return when all take connections. Raises `UnavailableError` if one cannot start."""
        group = self._means.group
        self._keeping = [
            group.create_task(self._keep(index), name=f"worker {index + 1}")
            for index in range(len(self._names))
        ]
        await self._begun.wait()

    async def run(self) -> None:
        """Endless: kill those that hang."""
        while True:
            await self._means.clock.sleep(_LOOK_S)
            patience = ceil(self._settings.worker_timeout / _LOOK_S)
            for post in tuple(self._posts.values()):
                # Counted in looks: when this process was stopped itself, nobody else is to blame.
                if post.look() > (patience if post.listening else _START_LOOKS):
                    _log("worker_hangs", level=logging.ERROR, worker=post.begin.number)
                    post.kill()

    def reload(self, settings: Settings) -> None:
        """Let all go by `settings`, and read files again."""
        self._settings = settings
        for post in self._posts.values():
            post.channel.send(Reload(settings=self._part(settings)))

    def turn_away(self) -> None:
        """Let health calls send new requests elsewhere; those that come are served."""
        self._turning_away = True
        for post in self._posts.values():
            post.channel.send(TurnAway())

    async def leave(self, stop: Stop, settings: Settings) -> None:
        """Let all finish what they have in the grace time; returns when all have ended."""
        self._leaving = Leave(grace=settings.shutdown_grace)
        for name, keeping in zip(self._names, self._keeping, strict=True):
            if name in self._posts:
                self._send(name, self._leaving)
            else:
                # Between one process and the next.
                keeping.cancel()
        self._means.listeners.close()
        patience = settings.shutdown_grace + LAST_WORDS_S + _SLACK_S
        await stop.unless_urgent(asyncio.wait(self._keeping, timeout=patience))
        for post in self._posts.values():
            post.kill()
        await asyncio.wait(self._keeping)

    def close(self) -> None:
        """End what is left, at once."""
        for keeping in self._keeping:
            keeping.cancel()

    # One worker after the other in one place.

    async def _keep(self, index: int) -> None:
        pause = 0.0
        clock = self._means.clock
        while not self._ending():
            began = clock.now()
            post = await self._begin(index)
            code = await self._tended(post)
            if self._ending():
                return
            worker = post.begin.number
            _log("worker_died", level=logging.ERROR, worker=worker, code=code)
            if not post.listening and not self._begun.is_set():
                msg = f"worker {worker} ended with code {code} before it took connections"
                raise UnavailableError(msg)
            short = clock.now() - began < _STEADY_S
            pause = min(_LONGEST_PAUSE_S, max(_PAUSE_S, 2 * pause)) if short else 0.0
            await clock.sleep(pause)

    def _ending(self) -> bool:
        return self._leaving is not None

    async def _begin(self, index: int) -> Post:
        name, means = self._names[index], self._means
        begin = Begin(number=index + 1, name=name, settings=self._part(self._settings))
        post = await spawn(
            begin,
            means.listeners.of(index),
            environ=means.environ,
            counted=self.totals.begin(),
            number=means.cluster.fleet().number,
        )
        self._posts[name] = post
        _log("worker_started", worker=begin.number, pid=post.process.pid)
        return post

    async def _tended(self, post: Post) -> int:
        """Answer it until it has ended."""
        name, channel = post.begin.name, post.channel
        channel.handle(Listening, lambda _: self._listens(post))
        channel.handle(Report, partial(self.totals.take, post.counted))
        channel.handle(Held, partial(self._sharing.held, name))
        channel.handle(Crowded, lambda told: self._lacks(name, told.sample))
        channel.handle(Retiring, partial(self._retires, post))
        unheard = share_bus(self._means.bus, channel, name, published=self._published)
        unshare = share_cluster(self._means.cluster, channel, self._means.group)
        if self._turning_away:
            channel.send(TurnAway())
        if self._leaving is not None:
            channel.send(self._leaving)
        try:
            return await post.end()
        finally:
            unheard()
            unshare()
            post.kill()
            del self._posts[name]
            self._sharing.forget(name)
            self.totals.end(post.counted)
            self._quiet(post.seen.running)

    def _listens(self, post: Post) -> None:
        post.listening = True
        there = [self._posts.get(name) for name in self._names]
        if all(one is not None and one.listening for one in there):
            self._begun.set()

    # What they say.

    def _published(self, sample: Sample) -> None:
        self._sharing.report_all(sample.gateway, sample.revisions)
        for name in self._drained.news(sample.gateway, sample.revisions):
            # A drain is acknowledged: the leader need not wait for its next tick.
            self._means.bus.poke(name)

    def _lacks(self, name: GatewayName, sample: RevisionSample) -> None:
        self._sharing.report(name, {sample.revision: sample})

    def _retires(self, post: Post, told: Retiring) -> None:
        post.seen.number = max(post.seen.number, told.number)
        post.seen.running = told.running
        self._quiet(told.running)

    def _quiet(self, replicas: Mapping[ReplicaName, int]) -> None:
        for replica in replicas:
            self._means.cluster.quiet(replica)

    def _observe(self) -> None:
        fleet = self._means.cluster.fleet()
        self._retired.observe(fleet)
        self.totals.keep(fleet.revisions)

    def _send(self, name: GatewayName, message: object) -> bool:
        post = self._posts.get(name)
        if post is not None:
            post.channel.send(message)
        return post is not None

    def _part(self, settings: Settings) -> Settings:
        """What one worker goes by."""
        count = len(self._names)
        parts = {name: ceil(getattr(settings, name) / count) for name in _DIVIDED}
        return replace(settings, **parts)
