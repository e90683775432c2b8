"""One revision's line: who waits, who runs and where, and what is done about it. A shell.

Callbacks on the event loop; the only tasks are a probe per starting replica and a wake.

Rule 1: whatever makes room is followed by a release, in the same call.
Rule 2: a wake once written is carried to Ready or Failed, whoever still waits: nothing here undoes
        it when clients leave.
"""

from collections.abc import Mapping

from activator.coldstart import ColdStarts
from activator.core.asks import hopeless, in_vain
from activator.core.balance import Choosing
from activator.core.eta import Eta
from activator.core.ledger import Ledger, Seat, State, Ticket
from activator.core.retries import Attempt, Budget, Denied, Loss, denied
from activator.core.seats import ANYWHERE, Wish
from activator.journal import tell_ready, tell_start_failed, tell_woken
from activator.opening import Opening
from activator.refusing import Refusing
from activator.report import phase_of
from activator.resting import Resting
from activator.sequencing import Sequencing
from activator.waking import Sight, Waking
from activator.wiring import Guest, Refusal, Wiring
from fleet.aged import later
from fleet.messages import RevisionSample
from fleet.model import Fleet, Phase, Revision
from fleet.reasons import Reason
from fleet.starts import Failure, Starts

__all__ = ["Line"]

_BREAKS = frozenset({Loss.REFUSED, Loss.RESET})


class Line:
    """The requests of one revision."""

    def __init__(self, revision: Revision, wiring: Wiring) -> None:
        self.revision = revision
        self.sequential = False
        """Its requests are steps of sequences."""
        policy = revision.policy
        self.ledger = Ledger(
            limit=policy.queue_limit,
            limit_bytes=policy.queue_limit_bytes,
            choosing=Choosing(dice=wiring.outside.dice, slow_start=policy.slow_start),
            room=wiring.room,
        )
        self._wiring = wiring
        self._now = wiring.outside.clock.now
        self._fleet = wiring.outside.cluster.fleet()
        settings = wiring.outside.settings
        self._starts = Starts(
            tries=settings.start_tries, retry=settings.start_retry, since=self._now()
        )
        self._eta = Eta()
        self._budget = Budget()
        self._opening = Opening(
            self.ledger,
            wiring,
            ready=self._ready,
            release=lambda: self._release(self._now()),
        )
        self.allot, self.close = self._opening.allot, self._opening.close
        self._waking = Waking(wiring, self.ledger, sight=self._sight, written=self._written)
        self._refusal = Refusing(self.ledger, self._starts, self._eta).of
        self._cold = ColdStarts()
        self._sequencing = Sequencing(self.ledger, refuse=self._refuse, rested=self._left_draining)
        self.resting = Resting(self.ledger)
        self._removed = False

    # What the request path calls.

    def enter(
        self,
        guest: Guest,
        *,
        size: int = 0,
        caller: str = "",
        precedence: int = 0,
        wish: Wish = ANYWHERE,
    ) -> Ticket:
        """A request that may wake arrives; `guest` is told now or later what becomes of it.

        `size`: the bytes buffered for it while it waits. `caller`: whose it is; callers take turns.
        `precedence`: whoever has a higher one goes first. `wish`: where it would like to run.
        """
        ticket = Ticket(guest, size, caller=caller, precedence=precedence)
        ticket.key = wish.key
        now, ledger = self._now(), self.ledger
        if wish.step is not None and not self._sequencing.admit(ticket, wish.step):
            self._refuse([ticket], Reason.SEQUENCE_LOST, now)
            return ticket
        wakes = False
        if not ledger.seats:
            ticket.cold = True
            wakes = not (self.revision.replicas or ledger.waiting)
            refusal = self._unwelcome(caller, now, wakes=wakes)
            if refusal is not None:
                ticket.state = State.LEFT
                guest.refused(ticket, refusal)
                return ticket
        outcome = ledger.arrive(ticket, now)
        if outcome is None:
            if wakes:
                self._wiring.wakes.spend(caller, now)
            self._parked(now)
        elif isinstance(outcome, Seat):
            ticket.announced = True
            guest.dispatched(ticket, outcome)
        else:
            self._make_way(ticket, outcome, now)
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """The request is over, whoever ended it; calling it again does nothing."""
        seat = ticket.seat
        now = self._now()
        if self.ledger.leave(ticket, now):
            self._release(now)
        if seat is not None and seat.draining:
            self._left_draining(seat)

    def first_byte(self, ticket: Ticket) -> None:
        """The answer begins: the seat has proved itself, and opens all its slots."""
        seat = ticket.seat
        if seat is not None and seat.open and (seat.doubts or not seat.proved):
            seat.doubts = 0
            self._opening.widen(seat)
        if ticket.cold and self._cold.under_way:
            self._cold.end(self._now())

    def failed(self, ticket: Ticket) -> bool:
        """Its replica failed it. True: for that the replica takes nothing for a while."""
        return ticket.seat is not None and self._opening.failed(ticket.seat)

    def again(self, ticket: Ticket, attempt: Attempt) -> bool:
        """Its dispatch came to nothing before a byte of the answer. True: it is sent anew.

        After `STALE` the caller tries the same seat once more; else the ticket waits in its place
        and will be dispatched. False: `ticket.denied` says why not; the caller answers 502 (or
        passes the replica's 503 on) and calls `leave`.
        """
        seat, loss = ticket.seat, attempt.loss
        if ticket.state is not State.RUNNING or seat is None:
            ticket.denied = Denied.HOPELESS
            return False
        if loss in _BREAKS:
            self.failed(ticket)
            self._opening.doubt(seat)
        ticket.crashes += loss is Loss.RESET
        now = self._now()
        ticket.denied = self._denied(ticket, attempt, now, slots=seat.slots)
        if ticket.denied is not None:
            return False
        ticket.afresh = loss is Loss.STALE
        if loss is not Loss.STALE:
            self.ledger.again(ticket, now, since=ticket.since if loss is Loss.REFUSED else now)
            if seat.draining:
                self._left_draining(seat)
            self._parked(now)
            self._release(now)
        return True

    def _denied(self, ticket: Ticket, attempt: Attempt, now: float, *, slots: int) -> Denied | None:
        refused = attempt.loss is Loss.REFUSED
        why = denied(attempt, crashes=ticket.crashes, sequence=self.sequential)
        if why is not None:
            return why
        # What never ran has been waiting all along, and is bounded by that alone.
        if refused and now - ticket.since >= self.revision.policy.wait_timeout:
            return Denied.LATE
        if self.hopeless() is not None:
            return Denied.HOPELESS
        # However often it broke on one replica, it counts once.
        if refused or ticket.afresh or self._budget.take(now, self.ledger.arrivals, least=slots):
            return None
        return Denied.BUDGET

    def peek(self) -> Seat | None:
        """A ready replica for a call that takes no slot; None when there is none."""
        seats = [seat for seat in self.ledger.seats.values() if seat.open]
        return min(seats, key=lambda seat: len(seat.running), default=None)

    def hopeless(self) -> Reason | None:
        """Why a request that finds nothing ready is refused at once; None when it may wait."""
        if self._removed:
            return Reason.MODEL_REMOVED
        now, wiring = self._now(), self._wiring
        possible = wiring.vacancy.places(self._fleet).possible(self.revision)
        return hopeless(
            self.revision,
            self._fleet,
            blocked=self._starts.blocked(now),
            possible=possible or wiring.lately.possible(self.revision, now),
        )

    # What the admin side reads.

    @property
    def waiting(self) -> int:
        return self.ledger.waiting

    @property
    def running(self) -> int:
        return len(self.ledger.running)

    @property
    def arrivals(self) -> int:
        return self.ledger.arrivals

    @property
    def completions(self) -> int:
        return self.ledger.completions

    @property
    def ready(self) -> int:
        """Replicas whose model answers and that are not draining."""
        return sum(not seat.draining for seat in self.ledger.seats.values())

    @property
    def last_failure(self) -> Failure | None:
        """The last failed start."""
        return self._starts.last

    @property
    def cold_starts(self) -> int:
        """Arrivals that found nothing ready, once each wake."""
        return self._cold.count

    @property
    def last_cold_start_s(self) -> float | None:
        return self._cold.last_s

    @property
    def cold_start_phases(self) -> Mapping[str, float]:
        """Seconds by phase of the cold start under way, else of the last one."""
        return self._cold.phases()

    def phase(self) -> Phase:
        """Where the revision stands as a whole."""
        replicas = self._fleet.of(self.revision.name)
        return phase_of(self.ledger, replicas, blocked=self._starts.blocked(self._now()))

    def sample(self, now: float) -> RevisionSample:
        """What the autoscaler is told."""
        made, at = self.resting.sample(self.revision, now)
        return later(made, now - at)

    # What the hall calls.

    @property
    def deadline(self) -> float | None:
        """When somebody will have waited long enough; None when nobody waits."""
        since = self.ledger.waits_since
        return None if since is None else since + self.revision.policy.wait_timeout

    def observe(self, fleet: Fleet, now: float) -> None:
        """Take in a new snapshot that has this revision."""
        revision = fleet.revisions[self.revision.name]
        self.revision = revision
        self._fleet = fleet
        if self.resting.through(revision, fleet):
            return
        self._removed = False
        self.ledger.limit = revision.policy.queue_limit
        self.ledger.limit_bytes = revision.policy.queue_limit_bytes
        self.ledger.start_slowly(revision.policy.slow_start)
        self._opening.follow(revision, fleet.of(revision.name), now)
        self._follow_cold_start(now)
        self._wiring.waits(self.deadline)
        self.look(now)

    def look(self, now: float) -> None:
        """Level-triggered: conclude from what is known, release, and ask for those who wait."""
        revision = self.revision
        self._budget.note(now, self.ledger.arrivals)
        if self.resting.through(revision, self._fleet):
            return
        self._sequencing.look(now)
        just_blocked = self._starts.observe(
            revision,
            self._fleet.of(revision.name),
            ready=frozenset(self.ledger.seats),
            now=now,
        )
        if just_blocked:
            self._gave_up()
        self._release(now)
        if self.ledger.waiting:
            reason = None if self.ledger.seats else self.hopeless()
            if reason is None:
                self._waking.ask(now)
            else:
                # Its starts were given up, or its manifest changed under those who wait.
                self._refuse(self.ledger.refuse_all(now), reason, now, hopeless=True)
        self.resting.looked(revision, self._fleet, now)

    def remove(self, fleet: Fleet, now: float) -> None:
        """The Deployment is gone: whoever waits is told so; what runs may finish."""
        self._fleet = fleet
        self._removed = True
        self._opening.follow(self.revision, (), now)
        self.refuse_waiting(Reason.MODEL_REMOVED)

    def expire(self, now: float) -> None:
        """Refuse everyone whose time to wait is up."""
        expired = self.ledger.expire(now - self.revision.policy.wait_timeout, now)
        if expired:
            free = self._wiring.vacancy.places(self._fleet).most_free(self.revision)
            reason = in_vain(self.revision, self._fleet, ready=self.ready, free=free)
            self._refuse(expired, reason, now)

    def refuse_waiting(self, reason: Reason) -> None:
        """Refuse everyone who waits."""
        now = self._now()
        self._refuse(self.ledger.refuse_all(now), reason, now)

    # Holding and releasing.

    def _parked(self, now: float) -> None:
        if not self.ledger.seats and not self._cold.under_way:
            self._cold.begin(now)
            self._follow_cold_start(now)
        self._wiring.waits(self.deadline)
        self._waking.ask(now)

    def _release(self, now: float) -> None:
        # A seat may have other slots now, or be warm.
        self.resting.end()
        for ticket in self.ledger.release(now):
            # A guest told just before may have ended this one.
            if ticket.state is State.RUNNING and ticket.seat is not None and not ticket.announced:
                ticket.announced = True
                guest: Guest = ticket.guest  # type: ignore[assignment]  # opaque to the ledger
                guest.dispatched(ticket, ticket.seat)

    def _refuse(
        self, tickets: list[Ticket], reason: Reason, now: float, *, hopeless: bool = False
    ) -> None:
        for ticket in tickets:
            guest: Guest = ticket.guest  # type: ignore[assignment]  # opaque to the ledger
            guest.refused(ticket, self._refusal(reason, now, hopeless=hopeless))

    def _make_way(self, ticket: Ticket, reason: Reason, now: float) -> None:
        """It found no place: it is refused, or one of a caller that has more of them."""
        counts = reason in (Reason.QUEUE_FULL, Reason.GATEWAY_FULL)
        other = self.ledger.make_way(ticket, now) if counts else None
        self._refuse([ticket if other is None else other], reason, now)
        if other is not None:
            self._parked(now)

    def _follow_cold_start(self, now: float) -> None:
        revision = self.revision
        self._cold.follow(self._fleet.of(revision.name), now, written=revision.replicas)

    def _unwelcome(self, caller: str, now: float, *, wakes: bool) -> Refusal | None:
        """Why a request that finds nothing ready may not wait."""
        reason = self.hopeless()
        if reason is not None:
            return self._refusal(reason, now, hopeless=True)
        wait = self._wiring.wakes.wait(caller, now) if wakes else None
        if wait is not None:
            return Refusal(reason=Reason.TOO_MANY_WAKES, retry_after=wait)
        return None

    def _left_draining(self, seat: Seat) -> None:
        """Something left a seat that takes nothing new: whoever waits for that is told."""
        if self.ledger.running_on((seat.name,)) == 0:
            self._wiring.quiet(seat.name)
            if self.revision.drain is not None:
                self._wiring.publish()

    def _gave_up(self) -> None:
        """Starting is out of the question for a while; `hopeless` says so to those who wait."""
        if self._starts.last is not None:
            tell_start_failed(self.revision, self._starts.last)
        self._cold.give_up()

    # Waking.

    def _sight(self) -> Sight:
        blocked = self._starts.blocked(self._now())
        return Sight(revision=self.revision, fleet=self._fleet, blocked=blocked)

    def _written(self) -> None:
        tell_woken(self._wiring.outside, self.revision)

    def _ready(self, seat: Seat) -> None:
        self._cold.ready(seat.ready_at)
        self.sequential = self.ledger.sequences is not None
        if seat.ready_after is not None:
            self._eta.learn(seat.ready_after)
            tell_ready(self._wiring.outside, self.revision, seat)
        self.look(seat.ready_at)
