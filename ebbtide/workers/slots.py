"""Shares of slots over the channel between a worker and the process over it."""

from collections.abc import Callable, Collection, Sequence

from activator.hall import Hall
from ebbtide.workers.messages import Crowded
from fleet.channel.channel import Channel
from fleet.messages import Allot, Held, RevisionSample
from fleet.names import GatewayName, ReplicaName

__all__ = ["Sharer", "Slots"]


class Slots:
    """The side that shares out; `send` tells a worker, and whether it is there to be told."""

    def __init__(self, send: Callable[[GatewayName, object], bool]) -> None:
        self._send = send

    def tell(self, member: GatewayName, allot: Allot) -> bool:
        return self._send(member, allot)

    def drop(self, _replicas: Collection[ReplicaName]) -> None:
        """A worker sees that itself."""


class Sharer:
    """That side, as a worker speaks with it."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def on_allot(self, listener: Callable[[Allot], None]) -> None:
        self._channel.handle(Allot, listener)

    def hold(self, held: Held) -> None:
        self._channel.send(held)

    def lack(self, _hall: Hall, samples: Sequence[RevisionSample]) -> None:
        for sample in samples:
            self._channel.send(Crowded(sample=sample))
