"""With what a process is in touch, from what its adapters know of themselves."""

from collections.abc import Mapping

from fleet.bus.redis.bus import RedisBus
from fleet.clock import Clock
from fleet.cluster.kubernetes.cluster import KubernetesCluster
from fleet.messages import CostReport, DecisionReport
from fleet.names import RevisionName

__all__ = ["BusTouch", "ClusterTouch", "Published"]

_SILENT_S, _TICKS = 10.0, 3
"""A leader tells of each of its looks, one a tick: one that told of none for so long is away."""


class ClusterTouch:
    """With the API server."""

    def __init__(self, cluster: KubernetesCluster) -> None:
        self._cluster = cluster

    @property
    def cut_since(self) -> float | None:
        return self._cluster.cut_since

    @property
    def trouble(self) -> str:
        """The first of what cannot be watched: they mostly have one cause."""
        return next((str(error) for error in self._cluster.lacking().values()), "")


class BusTouch:
    """With Redis, and with whoever leads. `tick`: the leader looks so often, in seconds."""

    def __init__(self, bus: RedisBus, clock: Clock, *, tick: float) -> None:
        self._patience = max(_SILENT_S, _TICKS * tick)
        self._bus, self._clock, self._began = bus, clock, clock.now()

    @property
    def cut_since(self) -> float | None:
        state = self._bus.state()
        if state.connected:
            return None
        return self._began if state.heard_at is None else state.heard_at

    @property
    def trouble(self) -> str:
        return self._bus.state().why

    @property
    def refused(self) -> bool:
        state = self._bus.state()
        return state.connected and bool(state.why)

    @property
    def unled_since(self) -> float | None:
        looked = self._bus.last_look()
        heard = self._began if looked is None else looked.at
        return None if self._clock.now() - heard < self._patience else heard

    @property
    def lost(self) -> Mapping[str, int]:
        return {why.value: count for why, count in self._bus.state().lost.items()}


class Published:
    """What the leader says of its decisions, as it came over Redis."""

    def __init__(self, bus: RedisBus, currency: str) -> None:
        self._bus = bus
        self._nothing = CostReport(currency=currency, seconds=0.0, lines=())

    def decision(self, revision: RevisionName) -> DecisionReport | None:
        return self._bus.decision(revision)

    def cost(self) -> CostReport:
        return self._bus.cost() or self._nothing
