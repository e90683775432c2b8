"""The gateways there are, read from their Leases in Kubernetes: the shell around `membership`.

Rule 1: the Leases are listed every two seconds, and once more right before a scale is lowered: a
        list is what the API server knows at that moment, which a watch need not have told yet.
Rule 2: only where a gateway's Lease has expired is its pod asked for; one that renews is there.
Rule 3: a list that was long in coming, or failed, breaks the chain: before it nothing has expired.
Rule 4: while nothing can be read, the members are those known last.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection, Mapping
from random import Random
from typing import Protocol

from fleet.clock import Clock
from fleet.errors import EbbtideError, GoneError, UnavailableError
from fleet.kubernetes.objects import Object
from fleet.leases.lives import has_ended
from fleet.leases.membership import LABEL, Sighting, gone, observe, pod_of
from fleet.leases.record import Record, lease_path
from fleet.names import GatewayName
from fleet.telemetry import log

__all__ = ["KubernetesMembers", "Listing"]

_EVERY_S = 2.0
_BREAK_S = 6.0
"""Between two lists: from more on there was a break."""
_PATIENCE_S = 4.0
_log = log(__name__)


class Listing(Protocol):
    """What is needed of an `Api`."""

    async def get(self, path: str, *, query: Mapping[str, str] | None = None) -> Object: ...


class KubernetesMembers:
    """`Members` in ebbtide's own `namespace`. `run` it in a task.

    `now`: seconds, read anew at each call, what the machine sleeps included.
    """

    def __init__(
        self,
        api: Listing,
        namespace: str,
        *,
        clock: Clock,
        now: Callable[[], float],
        luck: Random,
    ) -> None:
        self._api = api
        self._namespace = namespace
        self._clock = clock
        self._now = now
        self._luck = luck
        self._sightings: dict[GatewayName, Sighting] = {}
        self._names: frozenset[GatewayName] = frozenset()
        self._chain: tuple[float, float] | None = None
        """The unbroken lists until now: when the first and the last of them were here."""
        self._asking = asyncio.Lock()
        self.cut_since: float | None = clock.now()
        """Since when the Leases could not be read; None while they can. On the clock's `now`."""
        self.trouble = ""
        """Why not."""

    def names(self) -> Collection[GatewayName]:
        """Those of the last list."""
        return self._names

    async def confirm(self) -> Collection[GatewayName]:
        """Those there are now. Raises `UnavailableError`."""
        async with self._asking:
            try:
                async with asyncio.timeout(_PATIENCE_S):
                    self._names = await self._read()
            except TimeoutError as error:
                self._cut("no answer in time")
                msg = "the Leases of the gateways: no answer in time"
                raise UnavailableError(msg) from error
            except EbbtideError as error:
                self._cut(str(error))
                msg = f"the Leases of the gateways: {error}"
                raise UnavailableError(msg) from error
        self.cut_since, self.trouble = None, ""
        return self._names

    async def run(self) -> None:
        """Endless."""
        while True:
            # What goes wrong was said; those known last stay.
            with contextlib.suppress(UnavailableError):
                await self.confirm()
            await self._clock.sleep(_EVERY_S * (0.8 + 0.2 * self._luck.random()))

    async def _read(self) -> frozenset[GatewayName]:
        asked = self._now()
        query = {"labelSelector": ",".join(f"{key}={value}" for key, value in LABEL.items())}
        listed = await self._api.get(lease_path(self._namespace), query=query)
        now = self._now()
        self._chain = (self._unbroken(asked, now), now)
        items = listed.get("items")
        leases = [raw for raw in items if isinstance(raw, dict)] if isinstance(items, list) else []
        self._sightings = observe(self._sightings, leases, now)
        ended = await self._ended(now)
        since = self._chain[0]
        return frozenset(
            name
            for name, sighting in self._sightings.items()
            if not gone(sighting, self._namespace, ended=ended, since=since, now=now)
        )

    def _unbroken(self, asked: float, now: float) -> float:
        """From when on the Leases could be read without a break."""
        if self._chain is None or now - asked > _BREAK_S or asked - self._chain[1] > _BREAK_S:
            return now
        return self._chain[0]

    async def _ended(self, now: float) -> frozenset[str]:
        """The pods whose gateways are no more, of those whose Leases have expired."""
        asked = {
            pod: sighting.record
            for name, sighting in self._sightings.items()
            if (pod := pod_of(name, self._namespace)) is not None and not sighting.fresh(now)
        }
        over = await asyncio.gather(*(self._over(*each) for each in asked.items()))
        return frozenset(pod for pod, ends in zip(asked, over, strict=True) if ends)

    async def _over(self, pod: str, record: Record) -> bool:
        """Whether the holder of this Lease is no more. After the list: it was there before."""
        try:
            found = await self._api.get(f"/api/v1/namespaces/{self._namespace}/pods/{pod}")
        except GoneError:
            return True
        return has_ended(record, found)

    def _cut(self, words: str) -> None:
        if words != self.trouble:
            _log("members_unread", level=logging.WARNING, error=words)
        if self.cut_since is None:
            self.cut_since = self._clock.now()
        self.trouble = words
