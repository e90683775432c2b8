"""Remembers the last decision for every revision, and writes down what changed in them.

Rule 1: the journal gets a line when a decision that is not carried out changes, never the same line
        tick after tick: what was refused for want of a GPU, a start given up, advice not taken.
Rule 2: whoever does not lead says nothing, and remembers what the leader will have said.
"""

from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass

from autoscaler.act import Hands
from autoscaler.core.arrange import Case
from autoscaler.core.plan import Standing
from fleet.clock import Clock
from fleet.messages import DecisionReport, Entry
from fleet.model import Mode
from fleet.names import RevisionName
from fleet.reasons import Reason

__all__ = ["Record"]

_TOLD = {
    Reason.NO_FREE_GPU: "held",
    Reason.GPU_IDLE_QUEUE_GROWS: "held",
    Reason.START_FAILED: "failed",
}
"""Decisions that are told although nothing may be written for them, and the journal's word."""

_AT_ONCE = 64
"""Decisions that are taken in without a pause."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    """What the journal said last of a revision."""

    event: str
    reason: Reason
    after: int


class Record:
    """Reports and changes of all revisions."""

    def __init__(self, hands: Hands, clock: Clock, breathe: Callable[[], Awaitable[None]]) -> None:
        self._hands = hands
        self._clock = clock
        self._breathe = breathe
        self.at = 0.0
        """Wall time of the last look."""
        self._reports: dict[RevisionName, DecisionReport] = {}
        self._said: dict[RevisionName, _Said] = {}

    def report(self, revision: RevisionName) -> DecisionReport | None:
        """The last decision for a revision: at the last look, also where it stood."""
        report = self._reports.get(revision)
        return None if report is None else report.later(self.at - report.at, at=self.at)

    def reports(self) -> Iterable[DecisionReport]:
        """The last decision for every revision, as it was when it was taken."""
        return self._reports.values()

    async def take(
        self,
        cases: Iterable[Case],
        standings: Iterable[Standing],
        registered: Collection[RevisionName],
        *,
        aloud: bool,
    ) -> None:
        """Take in one look's decisions; forgets the revisions that are not registered.

        `aloud`: this is the leader.
        """
        self.at = self._clock.wall()
        for number, (case, standing) in enumerate(zip(cases, standings, strict=True), 1):
            self._reports[case.revision.name] = self._reported(case, standing)
            await self._say(case, standing, aloud=aloud)
            if number % _AT_ONCE == 0:
                await self._breathe()
        for known in (self._reports, self._said):
            for gone in [name for name in known if name not in registered]:
                del known[gone]

    def _reported(self, case: Case, standing: Standing) -> DecisionReport:
        advice = case.revision.policy.mode is Mode.ADVISE
        return DecisionReport(
            revision=case.revision.name,
            at=self.at,
            before=standing.replicas,
            after=case.decision.after if advice else standing.target,
            reason=standing.reason,
            message=standing.message,
            inputs=case.decision.inputs,
        )

    async def _say(self, case: Case, standing: Standing, *, aloud: bool) -> None:
        name = case.revision.name
        said = _worth_saying(case, standing)
        if said is None:
            self._said.pop(name, None)
        elif self._said.get(name) != said:
            self._said[name] = said
            if not aloud:
                return
            await self._hands.say(
                Entry(
                    at=self._clock.wall(),
                    revision=name,
                    model=case.revision.model,
                    event=said.event,
                    reason=said.reason,
                    message=_message(case, standing),
                    before=standing.replicas,
                    after=said.after,
                )
            )


def _message(case: Case, standing: Standing) -> str:
    if case.revision.policy.mode is not Mode.ADVISE:
        return standing.message
    return f"{Reason.MODE_ADVISE.value}: not written; {standing.message}"


def _worth_saying(case: Case, standing: Standing) -> _Said | None:
    decision = case.decision
    if case.revision.policy.mode is Mode.ADVISE and decision.after != decision.before:
        return _Said(event="advised", reason=decision.reason, after=decision.after)
    event = _TOLD.get(standing.reason)
    if event is None:
        return None
    return _Said(event=event, reason=standing.reason, after=standing.target)
