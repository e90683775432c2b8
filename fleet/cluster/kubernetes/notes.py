"""Tells the cluster's users what ebbtide does, as Events on their Deployments.

Rule 1: telling never fails for who tells, and nothing waits for it: what cannot be written is lost.
Rule 2: an Event's reason is the same word as in log, journal and API.
Rule 3: what is so once, that a replica got ready, is one Event, whoever tells it: two leaders, one
        after the other, may have seen it.
"""

import asyncio
import hashlib
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from fleet.clock import Clock
from fleet.cluster.kubernetes.ration import Ration, Telling
from fleet.errors import ConflictError, EbbtideError, GoneError
from fleet.kubernetes.api import Api
from fleet.kubernetes.objects import Key, Object, key_of, metadata
from fleet.names import RevisionName
from fleet.telemetry import log

__all__ = ["Notes", "Teller"]

_log = log(__name__)
_WAITING = 256
_LONGEST_NOTE = 1024
"""In bytes, as the API server counts."""
_LONGEST_NAME = 220
_BAD = frozenset({"refused", "failed", "start_failed", "no_free_gpu", "held", "second_writer"})
_ONCE = frozenset({"ready"})
_WORDS = {"woken": "0 -> 1: somebody waits for it"}
"""What is told where there is no more to say than what happened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Teller:
    """Who tells, as Events name it."""

    controller: str
    """Like `ebbtide.dev/autoscaler`."""
    instance: str
    """The process: a pod's name, or host and port."""
    run: str
    """Tells its Events from those of all other processes: letters and digits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    deployment: Object
    reason: str
    message: str
    telling: Telling
    at: str


class Notes:
    """Writes Events, one after the other; `find` gives the Deployment of a revision."""

    def __init__(
        self, api: Api, clock: Clock, *, teller: Teller, find: Callable[[Key], Object | None]
    ) -> None:
        self._api = api
        self._clock = clock
        self._teller = teller
        self._find = find
        self._ration = Ration()
        # When it is full the eldest go.
        self._waiting: deque[_Said] = deque(maxlen=_WAITING)
        self._more = asyncio.Event()

    def add(self, revision: RevisionName, reason: str, message: str) -> None:
        """Say this of a revision, soon; nothing for one whose Deployment is not known."""
        namespace, _, name = revision.partition("/")
        deployment = self._find((namespace, name))
        if deployment is None:
            return
        telling = self._ration.take(revision, reason, message, now=self._clock.now())
        if telling is None:
            return
        at = datetime.fromtimestamp(self._clock.wall(), UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        said = _Said(deployment=deployment, reason=reason, message=message, telling=telling, at=at)
        self._waiting.append(said)
        self._more.set()

    async def run(self) -> None:
        """Endless."""
        while True:
            await self._more.wait()
            self._more.clear()
            while self._waiting:
                await self._write(self._waiting.popleft())

    async def _write(self, said: _Said) -> None:
        try:
            await self._send(said)
        except EbbtideError as error:
            self._ration.lost(said.telling)
            _log("event_lost", level=logging.DEBUG, reason=said.reason, error=error)

    async def _send(self, said: _Said) -> None:
        namespace, _ = key_of(said.deployment)
        path = f"/apis/events.k8s.io/v1/namespaces/{namespace}/events"
        event = _event(said, self._teller)
        if said.telling.made:
            try:
                name = event["metadata"]["name"]
                await self._api.patch(f"{path}/{name}", body={"series": event["series"]})
            except GoneError:
                # It has had its time: the cluster keeps Events for an hour.
                del event["series"]
            else:
                return
        try:
            await self._api.post(path, body=event)
        except ConflictError:
            if said.reason not in _ONCE:
                raise


def _event(said: _Said, teller: Teller) -> Object:
    namespace, name = key_of(said.deployment)
    count = said.telling.count
    series = {"count": count, "lastObservedTime": said.at}
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {
            "namespace": namespace,
            # Cut anywhere, it might end in what no part of a name may end in.
            "name": f"{name[:_LONGEST_NAME].rstrip('-.')}.{_mark(said, teller)}",
        },
        "eventTime": said.at,
        "reportingController": teller.controller,
        "reportingInstance": teller.instance,
        "action": said.reason,
        "reason": said.reason,
        "type": "Warning" if said.reason in _BAD else "Normal",
        "note": _note(said.message) or _WORDS.get(said.reason, said.reason),
        "regarding": {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "namespace": namespace,
            "name": name,
            "uid": metadata(said.deployment).get("uid"),
        },
        **({"series": series} if count > 1 else {}),
    }


def _note(message: str) -> str:
    """As much of it as an Event takes: what is longer is refused as a whole."""
    return message.encode(errors="replace")[:_LONGEST_NOTE].decode(errors="ignore")


def _mark(said: _Said, teller: Teller) -> str:
    """What tells this Event from others of the Deployment."""
    if said.reason not in _ONCE:
        return f"{teller.run}{said.telling.number:x}"
    told = f"{metadata(said.deployment).get('uid')} {said.reason} {said.message}"
    return hashlib.sha256(told.encode(errors="replace")).hexdigest()[:16]
