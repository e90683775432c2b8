"""What the request path asks of the activator; `activator.line.Line` is the real one. Pure."""

from typing import Protocol

from activator.core.ledger import Seat, Ticket
from activator.core.retries import Attempt
from activator.core.seats import ANYWHERE, Wish
from fleet.model import Phase, Revision
from fleet.reasons import Reason

__all__ = ["Guest", "Line", "Refusal"]


class Refusal(Protocol):
    """Why a request will not be served."""

    @property
    def reason(self) -> Reason: ...

    @property
    def retry_after(self) -> float | None:
        """Seconds until a later try may help."""
        ...


class Guest(Protocol):
    """The gateway's half of one request."""

    def dispatched(self, ticket: Ticket, seat: Seat) -> None:
        """Send it to this seat now."""
        ...

    def refused(self, ticket: Ticket, refusal: Refusal) -> None:
        """It will not be sent; its ticket has left already."""
        ...


class Line(Protocol):
    """The requests of one revision: who waits, who runs."""

    revision: Revision
    sequential: bool
    """Its requests are steps of sequences: which one and which step stands in the body."""

    def enter(
        self,
        guest: Guest,
        *,
        size: int = 0,
        caller: str = "",
        precedence: int = 0,
        wish: Wish = ANYWHERE,
    ) -> Ticket:
        """A request of `caller` that may wake arrives; `size` bytes of it are buffered."""
        ...

    def leave(self, ticket: Ticket) -> None:
        """The request is over."""
        ...

    def first_byte(self, ticket: Ticket) -> None:
        """Its answer begins."""
        ...

    def failed(self, ticket: Ticket) -> bool:
        """Its replica failed it; True: for that the replica takes nothing for a while."""
        ...

    def again(self, ticket: Ticket, attempt: Attempt) -> bool:
        """Its dispatch came to nothing; True: it is sent anew, False: `ticket.denied` says why."""
        ...

    def peek(self) -> Seat | None:
        """A ready replica, for a call that takes no slot."""
        ...

    def hopeless(self) -> Reason | None:
        """Why a request that finds nothing ready is refused at once; None when it may wait."""
        ...

    def phase(self) -> Phase:
        """Where the revision stands."""
        ...
