"""Whether what listens on a replica's address is the replica itself.

A server that binds 0.0.0.0 answers on every loopback address, so an open port proves nothing: the
socket that would take the connection must belong to the replica's own process tree.

Rule 1: a socket bound to the very address takes the connection; only without one those bound to
        all addresses, IPv4 before IPv6 (as the kernel chooses).
Rule 2: all of these must belong to the tree: sockets that share a port share its connections.
"""

import errno
import os
import socket
from dataclasses import dataclass

from fleet.cluster.local.launcher import descendants
from fleet.cluster.local.listeners import listeners

__all__ = ["Intruder", "answers", "can_bind", "intruder"]

_ANY_V4 = bytes(4)
_ANY_V6 = bytes(16)
_MAPPED = bytes(10) + b"\xff\xff"
"""What comes before an IPv4 address within IPv6."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Intruder:
    """A process that answers in a replica's place."""

    pid: int | None
    """None when it is not this user's process."""
    name: str
    everywhere: bool
    """Whether it listens on all addresses of the machine."""


def answers(address: str, port: int) -> bool:
    """Whether somebody takes a connection to `address` of this machine. Does not wait."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        probe.connect_ex((address, port))
        # On loopback the answer is there already: only an open connection has another side.
        try:
            probe.getpeername()
        except OSError:
            return False
        return True


def can_bind(address: str, port: int) -> bool:
    """Whether nobody listens on `address` and `port` (or on all addresses) yet."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            return error.errno != errno.EADDRINUSE
    return True


def intruder(address: str, port: int, root: int) -> Intruder | None:
    """Who else takes connections to `address`; None when it is the tree below `root`.

    To be asked when `answers` said yes. A listener that is gone again counts as nobody's.
    """
    inodes, everywhere = _listening_on(address, port)
    own = frozenset[int]().union(*(_sockets(pid) for pid in descendants(root)))
    foreign = inodes - own
    if inodes and not foreign:
        return None
    pid = _owner(foreign)
    return Intruder(pid=pid, name=_name(pid), everywhere=everywhere)


def _listening_on(address: str, port: int) -> tuple[frozenset[int], bool]:
    """The inodes of the sockets that take connections, and whether they are bound to all."""
    exact = socket.inet_aton(address)
    found: dict[bytes, set[int]] = {}
    for host, inode in listeners(port):
        found.setdefault(host, set()).add(inode)
    specific = found.get(exact, set()) | found.get(_MAPPED + exact, set())
    if specific:
        return frozenset(specific), False
    return frozenset(found.get(_ANY_V4) or found.get(_ANY_V6) or ()), True


def _sockets(pid: int) -> set[int]:
    found: set[int] = set()
    try:
        for descriptor in os.listdir(f"/proc/{pid}/fd"):
            try:
                target = os.readlink(f"/proc/{pid}/fd/{descriptor}")
            except OSError:
                continue  # closed meanwhile
            if target.startswith("socket:["):
                found.add(int(target[8:-1]))
    except OSError:
        return found  # the process has ended, or is another user's
    return found


def _owner(inodes: frozenset[int]) -> int | None:
    if not inodes:
        return None
    for name in filter(str.isdigit, os.listdir("/proc")):
        if inodes & _sockets(int(name)):
            return int(name)
    return None


def _name(pid: int | None) -> str:
    try:
        with open(f"/proc/{pid}/comm") as file:
            return file.read().strip()
    except OSError:
        return "another process"
