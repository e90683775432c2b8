"""Where no other process takes part: this one may always write, and knows all gateways."""

from collections.abc import Callable, Collection

from fleet.names import GatewayName

__all__ = ["Always", "Fixed"]


class Always:
    """A `Lease` that nobody else wants."""

    term = 0

    def held(self) -> bool:
        return True

    def subscribe(
        self,
        listener: Callable[[bool], None],  # noqa: ARG002 - it would never be called
    ) -> Callable[[], None]:
        return _nothing


class Fixed:
    """`Members` that this process has made itself; `names` tells them."""

    def __init__(self, names: Callable[[], Collection[GatewayName]]) -> None:
        self.names = names

    async def confirm(self) -> Collection[GatewayName]:
        return self.names()


def _nothing() -> None:
    """Nothing was begun."""
