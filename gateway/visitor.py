"""Who a client connection's requests come from: asked once where it can be, else of each request.

HTTP and gRPC connections have one each, and tell it what they read; nothing here knows a protocol.

Rule 1: where no keys are asked for and the peer does not speak for others, requests cost nothing:
        the caller is the connection's, found out when first needed.
Rule 2: keys that come, go or change hold from the next request on, on open connections too.
"""

import asyncio
from collections.abc import Sequence

from fleet.settings import Settings
from gateway.core.addresses import Addresses
from gateway.core.callers import Admitted, Origin, Said, admit, forwarded_for, net_of
from gateway.core.peers import Peers
from gateway.core.subjects import subject_of
from gateway.keyfile import KeyFile

__all__ = ["Door", "Visitor"]


class Door:
    """What all connections of one front are asked by. Raises `SettingError` for wrong keys."""

    __slots__ = ("_knocking", "_visitors", "addresses", "file", "most_per_address", "peers")

    def __init__(self, settings: Settings) -> None:
        self.file = KeyFile(settings)
        self.addresses = Addresses()
        self._knocking = Addresses()
        self._visitors: set[Visitor] = set()
        self._take(settings)

    def reload(self, settings: Settings) -> None:
        """From now on go by `settings`, on connections that are open too."""
        self.file.follow(settings)
        self._take(settings)
        for visitor in self._visitors:
            visitor.trusted = self.peers.contains(visitor.address())
            visitor.look()

    def knock(self, address: str) -> str | None:
        """A TLS handshake begins; None: that address has as many under way as connections it may.

        Else what to tell `let_in` when it is over, however it ended.
        """
        if not self.most_per_address or self.peers.contains(address):
            return ""
        net = net_of(address)
        if self._knocking.enter(net) <= self.most_per_address:
            return net
        self._knocking.leave(net)
        return None

    def let_in(self, net: str) -> None:
        """A handshake is over: the connection counts by itself now, or is gone."""
        if net:
            self._knocking.leave(net)

    def enter(self, visitor: "Visitor") -> None:
        """Tell it when what is asked changes."""
        self._visitors.add(visitor)

    def leave(self, visitor: "Visitor") -> None:
        """It is gone."""
        self._visitors.discard(visitor)

    def _take(self, settings: Settings) -> None:
        self.peers = Peers(settings.trusted_peers)
        self.most_per_address = settings.max_connections_per_address


class Visitor:
    """One connection's side of it. What stands here of a request is that of the latest."""

    __slots__ = (
        "_counted",
        "_door",
        "_transport",
        "_usual",
        "asked",
        "caller",
        "models",
        "precedence",
        "trusted",
    )

    def __init__(self, door: Door) -> None:
        self.caller = ""
        """Whose its requests are; empty: not asked yet (`name`)."""
        self.precedence = 0
        self.models: tuple[str, ...] | None = None
        """Patterns of the models that are there for it; None: all."""
        self.trusted = False
        """The peer may speak for others."""
        self.asked = False
        """Each request is asked, by `ask`."""
        self._door = door
        self._counted = ""
        self._transport: asyncio.BaseTransport | None = None
        self._usual: Admitted | None = None

    def arrive(self, transport: asyncio.BaseTransport, *, trusted: bool) -> bool:
        """A connection is made; False: its address has as many as it may. `leave` is due anyway."""
        self._transport, self.trusted = transport, trusted
        self._door.enter(self)
        self.look()
        most = self._door.most_per_address
        if not most or trusted:
            return True
        self._counted = net_of(self.address())
        return self._door.addresses.enter(self._counted) <= most

    def leave(self) -> None:
        """The connection is gone."""
        self._door.leave(self)
        if self._counted:
            self._door.addresses.leave(self._counted)
            self._counted = ""

    @property
    def subject(self) -> str:
        """Who the client's certificate says that it is; empty without one."""
        transport = self._transport
        return "" if transport is None else subject_of(transport.get_extra_info("peercert"))

    @property
    def keyed(self) -> bool:
        """Whether a key is asked for."""
        return self._door.file.keys is not None

    def name(self) -> str:
        """Whose its requests are, where they are not asked themselves."""
        self.caller = self._origin().caller
        return self.caller

    def unasked(self) -> Admitted:
        """The same of a request that is not asked."""
        usual = self._usual
        if usual is None:
            usual = self._usual = Admitted(caller=self.name())
        return usual

    def ask(self, said: Said) -> Admitted:
        """Whose a request is, and what it may. Raises `RefusedError`."""
        door = self._door
        # Should it be refused: nothing is there for it.
        self.caller, self.precedence, self.models = "", 0, ()
        admitted = admit(said, self._origin(), keys=door.file.keys, peers=door.peers)
        self.caller, self.precedence = admitted.caller, admitted.precedence
        self.models = admitted.models
        return admitted

    def address(self, forwarded: Sequence[bytes] = ()) -> str:
        """Who asks: the peer, or whom it speaks for as `forwarded` says, if it is trusted."""
        found = forwarded_for(forwarded, self._door.peers) if forwarded and self.trusted else ""
        if not found and self._transport is not None:
            name = self._transport.get_extra_info("peername")
            found = str(name[0]).partition("%")[0] if isinstance(name, tuple) else ""
        return found

    def look(self) -> None:
        """What is asked may have changed: from the next request on nothing said before holds."""
        before, self.asked = self.asked, self.trusted or self.keyed
        self._usual = None
        if not (before and self.asked):
            # Else the next request is asked anew, and one whose body still comes in keeps to what
            # its key may call.
            self.caller, self.precedence, self.models = "", 0, None

    def _origin(self) -> Origin:
        return Origin(address=self.address(), subject=self.subject, trusted=self.trusted)
