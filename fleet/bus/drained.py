"""Which samples acknowledge a drain that those before them did not. Pure.

The leader need not wait for its next tick to see one: it is poked.
"""

from collections.abc import Iterable, Mapping

from fleet.messages import RevisionSample
from fleet.names import GatewayName, RevisionName

__all__ = ["Drained"]


class Drained:
    """The newest acknowledgement of every gateway for every revision."""

    def __init__(self) -> None:
        self._known: dict[tuple[GatewayName, RevisionName], int] = {}

    def news(
        self,
        gateway: GatewayName,
        samples: Mapping[RevisionName, RevisionSample],
        gone: Iterable[RevisionName] = (),
    ) -> list[RevisionName]:
        """The revisions of `samples`, all from `gateway`, with an acknowledgement that is new.

        `gone`: those that it knows no more.
        """
        found = []
        for name in gone:
            self._known.pop((gateway, name), None)
        for name, sample in samples.items():
            key = (gateway, name)
            if sample.drained == self._known.get(key, 0):
                continue
            if sample.drained:
                self._known[key] = sample.drained
                found.append(name)
            else:
                del self._known[key]
        return found

    def forget(self, gateway: GatewayName) -> None:
        """A gateway is gone."""
        for key in [key for key in self._known if key[0] == gateway]:
            del self._known[key]
