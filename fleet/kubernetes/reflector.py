"""Keeps the objects of one resource as the API server has them: a list, then a watch.

Rule 1: a watch that ends is resumed where it ended; only where the server no longer knows that
        version (410) is everything listed again, and then only what differs is told.
Rule 2: a server that is down is asked again and again, with pauses; what is known stays.
Rule 3: what is not allowed is said, and asked for again now and then; what is known stays.
Rule 4: a resource that a cluster may lack has no objects where it is not found. One that every
        cluster has is not gone: whoever says so (a proxy in between) is not the API server.
"""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field

from fleet.clock import Clock
from fleet.collector import collecting_later
from fleet.errors import EbbtideError, ForbiddenError, GoneError, UnavailableError
from fleet.kubernetes.api import Api, ExpiredError
from fleet.kubernetes.objects import Key, Object, metadata, version_of
from fleet.kubernetes.pauses import LONGEST, SELDOM, Pauses
from fleet.kubernetes.store import Listing, Store, Trim
from fleet.subscribers import Subscribers
from fleet.telemetry import log

__all__ = ["Reflector", "Resource"]

_log = log(__name__)
_FIRST_PAGE, _PAGE = "500", "100"
"""Objects that are listed at once: later there is somebody who waits while they are read."""
_LIST_S = 60.0
# The server ends a watch after this; a little different for each, so that they do not all come back
# at once. A server that is stuck, behind a socket that lives, does not: one more time will tell.
_WATCH_S = 40.0
_LATE_S = 10.0
_SHORT_S = 1.0
_BREATH = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """What to list and watch."""

    path: str
    """Like `/apis/apps/v1/deployments`, or of one namespace."""
    trim: Trim
    query: Mapping[str, str] = field(default_factory=dict)
    """Selectors."""
    optional: bool = False
    """Whether there are clusters without it: not found is no objects then."""


class Reflector:
    """One resource. `run` it in a task."""

    def __init__(self, api: Api, resource: Resource, *, clock: Clock, luck: random.Random) -> None:
        self._api = api
        self.resource = resource
        self._clock = clock
        self._luck = luck
        self._store = Store(resource.trim)
        self._version = ""
        self._pauses = Pauses()
        self._listeners = Subscribers[None]()
        self._hopeful = Subscribers[None]()
        self.cut_since: float | None = clock.now()
        """Since when there is no watch; None while there is one. On the clock's `now`."""
        self.error: EbbtideError | None = None
        """Why there is none."""
        self._absent = False
        """There is no such resource, and that was said."""
        self.asked = asyncio.Event()
        """Set once the server has answered for the first time, be it that we may not."""
        self.listed = asyncio.Event()
        """Set once the objects were listed for the first time."""

    @property
    def objects(self) -> Mapping[Key, Object]:
        """What there is, trimmed, by namespace and name. Changes while the loop runs."""
        return self._store.objects

    def subscribe(self, listener: Callable[[None], None]) -> Callable[[], None]:
        """Call `listener` after each change from now on; returns what ends that."""
        return self._listeners.add(listener)

    def on_resumed(self, listener: Callable[[None], None]) -> Callable[[], None]:
        """Call `listener` when there is a watch again after something went wrong."""
        return self._hopeful.add(listener)

    def fold(self, item: Object) -> None:
        """Take in an object that a write of ours was answered with."""
        self._tell(changed=self._store.put(item))

    def amend(self, item: Object, *, base: str) -> None:
        """Take in, trimmed already, what a write of ours has made of version `base`."""
        self._tell(changed=self._store.amend(item, base=base))

    async def run(self) -> None:
        """Endless."""
        while True:
            try:
                if not self._version:
                    await self._list()
                await self._watch()
            except ExpiredError as error:
                self._version = ""
                await self._pause(error)
            except EbbtideError as error:
                await self._pause(self._meant(error))

    def _meant(self, error: EbbtideError) -> EbbtideError:
        if isinstance(error, GoneError) and not self.resource.optional:
            return UnavailableError(f"{error} (every cluster has this: not the API server's word)")
        return error

    async def _list(self) -> None:
        try:
            await self._pages(_PAGE if self.listed.is_set() else _FIRST_PAGE)
        except ExpiredError:
            # Too slow for the version that the pages were of: all at once, then.
            await self._pages("")

    async def _pages(self, limit: str) -> None:
        query = {**self.resource.query, **({"limit": limit} if limit else {})}
        listing: Listing = {}
        while True:
            page = await self._api.get(self.resource.path, query=query, timeout=_LIST_S)
            with collecting_later():
                self._store.list(listing, _items(page))
            told = metadata(page)
            if not told.get("continue"):
                break
            query["continue"] = str(told["continue"])
        self._version = version_of(page)
        self.asked.set()
        self.listed.set()
        self._tell(changed=self._store.replace(listing, self._version))

    async def _watch(self) -> None:
        lasts = _WATCH_S * (0.8 + 0.2 * self._luck.random())
        query = {
            **self.resource.query,
            "resourceVersion": self._version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(int(lasts)),
        }
        silence = lasts + _LATE_S
        async with self._api.watch(self.resource.path, query, silence=silence) as events:
            self._connected()
            began = self._clock.now()
            try:
                await self._take(events)
            finally:
                if self._clock.now() - began >= _SHORT_S:
                    self._pauses = Pauses()
        if self._clock.now() - began < _SHORT_S:
            # Accepted and ended at once, over and over: no reason to spin.
            self._pauses = self._pauses.more()
            await self._clock.sleep(self._pauses.seconds(self._luck.random()))

    async def _take(self, events: AsyncIterator[Object]) -> None:
        told = 0
        async for event in events:
            self._event(event)
            told += 1
            if told % _BREATH == 0:
                await self._clock.sleep(0)

    def _event(self, event: Object) -> None:
        kind, item = event.get("type"), event.get("object")
        if not isinstance(item, dict) or not version_of(item):
            self._version = ""
            msg = f"watch {self._api.server}{self.resource.path}: not an event: {str(event)[:200]}"
            raise UnavailableError(msg)
        self._version = version_of(item)
        if kind == "DELETED":
            self._tell(changed=self._store.drop(item))
        elif kind != "BOOKMARK":
            self._tell(changed=self._store.put(item))

    def _tell(self, *, changed: bool) -> None:
        if changed:
            self._listeners.tell(None)

    def _connected(self) -> None:
        since, error = self.cut_since, self.error
        self.cut_since = self.error = None
        self._absent = False
        if error is not None and since is not None:
            _log("watch_resumed", resource=self.resource.path, away=self._clock.now() - since)
            self._hopeful.tell(None)

    async def _pause(self, error: EbbtideError) -> None:
        self._pauses = self._pauses.more(type(error))
        if self.cut_since is None:
            self.cut_since = self._clock.now()
        if self.error is None or type(self.error) is not type(error):
            self._say(error)
        self.error = error
        longest = LONGEST
        if isinstance(error, ForbiddenError | GoneError):
            longest = SELDOM
            self.asked.set()
        if isinstance(error, GoneError):
            self._version = ""
            self._tell(changed=self._store.clear())
        await self._clock.sleep(self._pauses.seconds(self._luck.random(), longest=longest))

    def _say(self, error: EbbtideError) -> None:
        if isinstance(error, GoneError):
            if not self._absent:
                _log("not_served", level=logging.INFO, resource=self.resource.path)
            self._absent = True
        elif not self._absent:
            level = logging.INFO if isinstance(error, ExpiredError) else logging.WARNING
            _log("watch_cut", level=level, resource=self.resource.path, error=error)


def _items(page: Object) -> list[Object]:
    found = page.get("items")
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []
