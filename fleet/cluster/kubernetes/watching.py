"""Everything of a cluster that is watched, at one place.

Rule 1: what may not be read is done without where that is possible, and it is said what is lost.
Rule 2: a namespace of several that may not be read counts as empty; the others go on without it.
Rule 3: what is not needed keeps nobody waiting for longer than a moment.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Mapping, Sequence

from fleet.clock import Clock
from fleet.cluster.kubernetes.objects import Kind, trim
from fleet.cluster.kubernetes.resources import MISSED, NEEDED, paths, query
from fleet.errors import EbbtideError, ForbiddenError
from fleet.kubernetes.api import Api
from fleet.kubernetes.objects import Key, Object, key_of
from fleet.kubernetes.reflector import Reflector, Resource
from fleet.tasks import endless
from fleet.telemetry import log

__all__ = ["Watching"]

_log = log(__name__)
_PATIENCE_S = 5.0
"""What lasts this long, a refusal or a failure, was not met in passing."""


class Watching:
    """The reflectors of one cluster."""

    def __init__(
        self,
        api: Api,
        *,
        namespaces: Sequence[str],
        clock: Clock,
        luck: random.Random,
    ) -> None:
        self._reflectors: dict[Kind, tuple[Reflector, ...]] = {
            kind: tuple(
                Reflector(api, _resource(kind, path), clock=clock, luck=luck)
                for path in paths(kind, tuple(namespaces))
            )
            for kind in Kind
        }

    async def run(self) -> None:
        """Endless."""
        async with asyncio.TaskGroup() as group:
            for reflector in self._all():
                endless(group, reflector.run(), name=f"watch {reflector.resource.path}")
            for kind in MISSED:
                await self._say(kind)

    def subscribe(self, listener: Callable[[Kind], None]) -> None:
        """Call `listener` after each change from now on, with what has changed."""

        def told(kind: Kind) -> Callable[[None], None]:
            return lambda _: listener(kind)

        for kind, reflectors in self._reflectors.items():
            for reflector in reflectors:
                reflector.subscribe(told(kind))

    def on_resumed(self, listener: Callable[[], None]) -> None:
        """Call `listener` when the API server tells of Deployments again, having failed to."""
        for reflector in self._reflectors[Kind.DEPLOYMENT]:
            reflector.on_resumed(lambda _: listener())

    async def known(self) -> None:
        """Returns once the objects there were at the start are known, as far as they may be."""
        for kind in NEEDED:
            await self._listed(kind)
        wanted = self._reflectors.keys() - NEEDED - {Kind.EVENT}
        try:
            async with asyncio.timeout(_PATIENCE_S):
                for kind in wanted:
                    for reflector in self._reflectors[kind]:
                        await reflector.asked.wait()
        except TimeoutError:
            for kind in wanted & self.lacking().keys():
                _log("no_answer", level=logging.WARNING, what=kind.value, so=MISSED[kind])

    @property
    def cut_since(self) -> float | None:
        """Since when something that is needed is not watched; None while all of it is."""
        cut = [
            reflector.cut_since
            for kind in NEEDED
            for reflector in self._reflectors[kind]
            if reflector.cut_since is not None and not self._closed(kind, reflector)
        ]
        return min(cut, default=None)

    def lacking(self) -> Mapping[Kind, EbbtideError]:
        """What cannot be watched now, and why; a resource that the cluster has not is no lack."""
        return {
            kind: reflector.error
            for kind, reflectors in self._reflectors.items()
            for reflector in reflectors
            if reflector.error is not None and not _absent(kind, reflector)
        }

    def of(self, kind: Kind) -> Mapping[Key, Object] | None:
        """What there is of a kind, trimmed; None: it is not read, or may not be."""
        reflectors = self._reflectors[kind]
        if not any(reflector.listed.is_set() for reflector in reflectors):
            return None
        if len(reflectors) == 1:
            return reflectors[0].objects
        return {key: item for each in reflectors for key, item in each.objects.items()}

    def find(self, kind: Kind, key: Key) -> Object | None:
        """One object, trimmed; None where there is none."""
        holder = self._holder(kind, key)
        return None if holder is None else holder.objects[key]

    def fold(self, kind: Kind, item: Object, *, base: str | None = None) -> None:
        """What a write was answered with: the whole, or what it has made of version `base`.

        Nothing for an object that is not there any more.
        """
        holder = self._holder(kind, key_of(item))
        if holder is None:
            return
        if base is None:
            holder.fold(item)
        else:
            holder.amend(item, base=base)

    async def _listed(self, kind: Kind) -> None:
        reflectors = self._reflectors[kind]
        while True:
            try:
                async with asyncio.timeout(_PATIENCE_S):
                    for reflector in reflectors:
                        await reflector.listed.wait()
                    return
            except TimeoutError:
                missing = [each for each in reflectors if not each.listed.is_set()]
                if all(self._closed(kind, each) for each in missing):
                    break
        for each in missing:
            path = each.resource.path
            _log("not_permitted", level=logging.WARNING, what=path, so="it counts as empty")

    def _closed(self, kind: Kind, reflector: Reflector) -> bool:
        """Whether it is of a namespace that may not be read, and was not, while others are."""
        refused = isinstance(reflector.error, ForbiddenError) and not reflector.listed.is_set()
        return refused and any(each.listed.is_set() for each in self._reflectors[kind])

    def _holder(self, kind: Kind, key: Key) -> Reflector | None:
        return next((each for each in self._reflectors[kind] if key in each.objects), None)

    def _all(self) -> list[Reflector]:
        return [each for reflectors in self._reflectors.values() for each in reflectors]

    async def _say(self, kind: Kind) -> None:
        for reflector in self._reflectors[kind]:
            await reflector.asked.wait()
            if isinstance(reflector.error, ForbiddenError):
                _log("not_permitted", level=logging.WARNING, what=kind.value, so=MISSED[kind])
                return


def _absent(kind: Kind, reflector: Reflector) -> bool:
    return kind is Kind.SCALED_OBJECT and not isinstance(reflector.error, ForbiddenError)


def _resource(kind: Kind, path: str) -> Resource:
    def kept(raw: Object) -> Object | None:
        return trim(kind, raw)

    return Resource(path=path, trim=kept, query=query(kind), optional=kind not in NEEDED)
