"""The gateway's half of a `Bus` that another process of this machine holds, and that one's side.

Rule: samples and pokes are readings and hints: an end that does not keep up loses them, and the
      next sample says it all. The journal's entries are all sent.
"""

from collections.abc import Callable

from fleet.bus import Bus
from fleet.channel.channel import Channel
from fleet.channel.messages import Poked
from fleet.channel.samples import SampleNews, SamplesHeard, SamplesTold
from fleet.clock import Clock
from fleet.messages import Entry, Look, Looked, Sample
from fleet.names import GatewayName, RevisionName

__all__ = ["FarBus", "share_bus"]


class FarBus:
    """`Reports` over a channel."""

    def __init__(self, channel: Channel, clock: Clock) -> None:
        self._channel, self._clock = channel, clock
        self._told = SamplesTold()
        self._looked: Looked | None = None
        channel.handle(Look, self._hear)

    def publish(self, sample: Sample) -> None:
        if not self._channel.crowded:
            self._channel.send(self._told.news(sample, self._clock.now()))

    def poke(self, revision: RevisionName) -> None:
        if not self._channel.crowded:
            self._channel.send(Poked(revision=revision))

    def append(self, entry: Entry) -> None:
        self._channel.send(entry)

    def last_look(self) -> Looked | None:
        return self._looked

    def _hear(self, look: Look) -> None:
        self._looked = Looked(look=look, at=self._clock.now())


def share_bus(
    bus: Bus,
    channel: Channel,
    gateway: GatewayName,
    *,
    published: Callable[[Sample], None] = lambda _: None,
) -> Callable[[], None]:
    """Let the other end of `channel`, which is `gateway`, report to `bus`; returns what ends that.

    `published` is called after each of its samples; one that speaks for another gateway is dropped.
    """

    heard = SamplesHeard()

    def publish(news: SampleNews) -> None:
        if news.gateway == gateway:
            sample = heard.take(news)
            bus.publish(sample)
            published(sample)

    channel.handle(SampleNews, publish)
    channel.handle(Poked, lambda poked: bus.poke(poked.revision))
    channel.handle(Entry, bus.append)
    return bus.on_look(channel.send)
