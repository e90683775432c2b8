"""Which addresses may speak for others: proxies and load balancers of the operator's own. Pure.

Rule 1: asked per connection, never per request.
Rule 2: an IPv4 address that comes mapped into IPv6 (``::ffff:10.0.0.1``) is the IPv4 address.
"""

from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

__all__ = ["NOBODY", "Peers"]


class Peers:
    """A set of networks; `text` lists them in CIDR notation, with commas between.

    Raises `ValueError` for what is no network.
    """

    __slots__ = ("_networks",)

    def __init__(self, text: str = "") -> None:
        words = [word.strip() for word in text.split(",")]
        self._networks: tuple[IPv4Network | IPv6Network, ...] = tuple(
            ip_network(word) for word in words if word
        )

    def __bool__(self) -> bool:
        return bool(self._networks)

    def contains(self, address: str) -> bool:
        """Whether `address` (without a port) is one of them; what is no address is not."""
        if not self._networks:
            return False
        try:
            found = ip_address(address)
        except ValueError:
            return False
        if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
            found = found.ipv4_mapped
        return any(found in network for network in self._networks)


NOBODY = Peers()
"""Trusts nobody."""
