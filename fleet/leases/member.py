"""A gateway's own Lease: what makes it a member that is waited for. A shell.

Rule 1: it is made, or taken over, before the gateway reads the cluster for the first time, and so
        before its first dispatch; `taken` waits for that, however long the API server is away.
Rule 2: after that nothing here stops the gateway: what cannot be renewed is tried again.
Rule 3: a gateway whose Lease another process has taken is one of two of the same name, and what one
        acknowledges would be counted for both: it must end.
Rule 4: whoever leaves in order gives it up last, when nothing is sent from here any more.
"""

import asyncio
import logging
from random import Random

from fleet.clock import Clock, rfc3339
from fleet.errors import ConflictError, EbbtideError, ForbiddenError, GoneError
from fleet.kubernetes.objects import Object
from fleet.kubernetes.pauses import SELDOM, Pauses
from fleet.leases.identity import Identity
from fleet.leases.leader import Asking, make_lease
from fleet.leases.lives import CONTAINER
from fleet.leases.membership import LABEL, NAMED, lease_name
from fleet.leases.record import Record, lease_path, made, read_record, taken
from fleet.telemetry import log

__all__ = ["Membership", "NameTakenError"]

_RENEW_S = 5.0
_PATIENCE_S = 5.0
_log = log(__name__)


class NameTakenError(EbbtideError):
    """Another process has this gateway's name."""


class Membership:
    """One gateway's. `run` it in a task; `release` it last."""

    def __init__(self, api: Asking, identity: Identity, *, clock: Clock, luck: Random) -> None:
        self._api = api
        self._who = identity
        self._clock = clock
        self._luck = luck
        self._lease = lease_name(identity.name, identity.namespace)
        self._record: Record | None = None
        self._taken = asyncio.Event()
        self._left = False
        self._pauses = Pauses()
        self.cut_since: float | None = clock.now()
        """Since when the Lease could not be renewed; None while it could. On the clock's `now`."""
        self.trouble = ""
        """Why not."""

    async def taken(self) -> None:
        """Returns once this process is a member."""
        await self._taken.wait()

    async def run(self) -> None:
        """Endless. Raises `NameTakenError`."""
        while not self._left:
            try:
                async with asyncio.timeout(_PATIENCE_S):
                    await self._renew()
            except (EbbtideError, TimeoutError) as error:
                if isinstance(error, NameTakenError):
                    raise
                await self._pause(error)
            else:
                self._well()
                await self._clock.sleep(_RENEW_S * (0.8 + 0.2 * self._luck.random()))
        await asyncio.Event().wait()

    async def release(self) -> None:
        """Be a member no more: nothing is sent to a replica from here any more. Never raises."""
        self._left = True
        if not self._taken.is_set():
            return
        try:
            async with asyncio.timeout(_PATIENCE_S):
                while await self._still_mine():
                    pass
        except (EbbtideError, TimeoutError) as error:
            _log("lease_kept", level=logging.WARNING, lease=self._lease, error=repr(error))

    async def _renew(self) -> None:
        # Left meanwhile: what conflicts then is its own giving up.
        while not self._left:
            if self._record is None:
                self._record = await self._read()
                self._check(self._record)
            try:
                await (self._make() if self._record is None else self._put(self._record))
            except (ConflictError, GoneError):
                # It is not as it was: what it is now decides.
                self._record = None
            else:
                return

    async def _make(self) -> None:
        if self._taken.is_set():
            _log("lease_deleted", level=logging.WARNING, lease=self._lease)
        who = self._who
        more: dict[str, Object] = {"labels": dict(LABEL), "annotations": {NAMED: who.name}}
        fresh = made(self._lease, who.namespace, **more)
        body = self._mine(fresh)
        del body["metadata"]["resourceVersion"]
        self._set(await make_lease(self._api, who.namespace, body))

    async def _put(self, record: Record) -> None:
        self._set(await self._api.put(self._path, body=self._mine(record)))

    def _mine(self, record: Record) -> Object:
        """The whole Lease, whatever somebody has done to it."""
        who = self._who
        mine = record.holder == who.holder
        turns = record.turns if mine else record.turns + 1
        body = taken(record, holder=who.holder, at=rfc3339(self._clock.wall()), turns=turns)
        told = body["metadata"]
        told["labels"] = {**_words(told.get("labels")), **LABEL}
        told["annotations"] = {**_words(told.get("annotations")), NAMED: who.name}
        # Of one's own: in another container than the one before, its word would be wrong.
        told["annotations"].pop(CONTAINER, None)
        if who.container:
            told["annotations"][CONTAINER] = who.container
        if who.pod_uid:
            pod = who.name.partition("/")[2]
            told["ownerReferences"] = [_owner(pod, who.pod_uid)]
        else:
            told.pop("ownerReferences", None)
        return body

    def _set(self, raw: Object) -> None:
        self._record = read_record(raw)
        self._taken.set()

    def _check(self, record: Record | None) -> None:
        """Whether another has taken what was mine. Raises `NameTakenError`."""
        holder = "" if record is None else record.holder
        if self._taken.is_set() and holder and holder != self._who.holder:
            msg = (
                f"the gateway {self._who.name} is another process now ({holder}, by the Lease "
                f"{self._who.namespace}/{self._lease}): each needs a name of its own, "
                "HOST:ADMIN-PORT outside a pod"
            )
            raise NameTakenError(msg)

    async def _read(self) -> Record | None:
        try:
            return read_record(await self._api.get(self._path))
        except GoneError:
            return None

    async def _still_mine(self) -> bool:
        """Give it up; True if a renewal, sent before, came in between."""
        record = await self._read()
        if record is None or record.holder != self._who.holder:
            return False
        at = rfc3339(self._clock.wall())
        free = taken(record, holder="", at=at, lasts=1.0, turns=record.turns)
        try:
            await self._api.put(self._path, body=free)
        except (ConflictError, GoneError):
            return True
        return False

    @property
    def _path(self) -> str:
        return lease_path(self._who.namespace, self._lease)

    def _well(self) -> None:
        self.cut_since, self.trouble, self._pauses = None, "", Pauses()

    async def _pause(self, error: BaseException) -> None:
        words = str(error) or "no answer in time"
        if words != self.trouble:
            _log("membership_unsure", level=logging.WARNING, lease=self._lease, error=words)
        if self.cut_since is None:
            self.cut_since = self._clock.now()
        self.trouble, self._pauses = words, self._pauses.more(type(error))
        longest = SELDOM if isinstance(error, ForbiddenError) else _RENEW_S
        await self._clock.sleep(self._pauses.seconds(self._luck.random(), longest=longest))


def _words(value: object) -> dict[str, object]:
    return dict(value) if isinstance(value, dict) else {}


def _owner(pod: str, uid: str) -> Object:
    return {"apiVersion": "v1", "kind": "Pod", "name": pod, "uid": uid}
