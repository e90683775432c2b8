"""Tells journal and cluster what there is to know of Deployments: once, by the process that leads.

Rule 1: who does not lead looks on, so that whoever leads next knows what was told already.
        What is wrong each leader tells anew when it begins: nobody may have led when it came up.
Rule 2: that a replica is ready stands in the journal by the gateways' own word; here it becomes an
        Event.
"""

import logging

from autoscaler.core.news import Known, News, ready_after, tell
from autoscaler.surroundings import Surroundings
from fleet.errors import EbbtideError
from fleet.messages import Entry
from fleet.names import ModelName
from fleet.telemetry import log

__all__ = ["Newsroom"]

_log = log(__name__)
_EVERY_S = 1.0


class Newsroom:
    """One per autoscaler. `run` it in a task once the cluster is known."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._known: Known | None = None
        self._led = False

    async def run(self) -> None:
        """Endless."""
        while True:
            await self.look()
            await self._around.clock.sleep(_EVERY_S)

    async def look(self) -> None:
        """Tell what is new."""
        around = self._around
        before, led = self._known, self._led
        self._led = around.lease.held()
        if before is not None and self._led and not led:
            before = before.untold()
        ready = ready_after(around.bus.samples())
        self._known, news = tell(before, around.cluster.fleet(), ready)
        if not self._led:
            return
        for one in news:
            if one.event != "ready":
                self._append(one)
            await around.cluster.note(one.revision, one.event, one.message)

    def _append(self, one: News) -> None:
        revision = self._around.cluster.fleet().revisions.get(one.revision)
        entry = Entry(
            at=self._around.clock.wall(),
            revision=one.revision,
            model=revision.model if revision and one.registered else ModelName(one.revision),
            event=one.event,
            message=one.message,
        )
        try:
            self._around.bus.append(entry)
        except EbbtideError as error:
            _log("journal_failed", level=logging.WARNING, event_lost=one.event, error=repr(error))
