"""How a process of a cluster stands: whether it is ready, and with whom it is in touch.

Rule 1: it is ready once it has what it needs to begin, and stays so whatever is lost later: API
        server, Redis and leader may be away, one of them or all.
Rule 2: until then it says what is missing, and why.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from ebbtide.kubernetes.ground import Talk, Touch
from ebbtide.view import LEAVING
from fleet.clock import Clock
from fleet.leases import Lease
from fleet.reasons import Reason
from gateway.admin.ports import ProcessState, Unready

__all__ = ["Need", "Standing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """Something without which a process cannot begin."""

    what: str
    """As whoever waits for it is told: `the cluster has not been read`."""
    met: Callable[[], Awaitable[None]]
    touch: Touch


class Standing:
    """Of one process."""

    def __init__(
        self,
        clock: Clock,
        *,
        needs: Sequence[Need],
        cluster: Touch,
        bus: Talk,
        gateways: Callable[[], int | None],
        lease: Lease | None = None,
    ) -> None:
        self._clock = clock
        self._needs = list(needs)
        self._cluster, self._bus = cluster, bus
        self._gateways, self._lease = gateways, lease
        self.begun = False
        """Its port is open, and it does what it is for."""
        self.leaving = False
        """From SIGTERM on."""

    async def met(self) -> None:
        """Returns once all that is needed is there, one after the other."""
        for need in tuple(self._needs):
            await need.met()
            self._needs.remove(need)

    def unready(self) -> Unready | None:
        """Why it is not ready."""
        if self.leaving:
            return LEAVING
        if self.begun:
            return None
        missing = [_told(need) for need in self._needs[:1]]
        return Unready(reason=Reason.STARTING, message="".join(missing) or "it is about to begin")

    def process(self) -> ProcessState:
        """How it stands to the others."""
        return ProcessState(
            leader=None if self._lease is None else self._lease.held(),
            gateways=self._gateways(),
            cluster_cut_s=self._past(self._cluster.cut_since),
            bus_cut_s=self._past(self._bus.cut_since),
            leader_cut_s=self._past(self._bus.unled_since),
            bus_refused=self._bus.refused,
            bus_lost=dict(self._bus.lost),
        )

    def _past(self, since: float | None) -> float:
        return 0.0 if since is None else max(0.0, self._clock.now() - since)


def _told(need: Need) -> str:
    trouble = need.touch.trouble
    return f"{need.what}: {trouble}" if trouble else need.what
