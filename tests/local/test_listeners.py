"""Who listens on a port: the kernel's answer, and the tables that say the same."""

import os
import socket

import pytest

from fleet.cluster.local import listeners as module
from fleet.cluster.local.listeners import listeners


def inode(sock: socket.socket) -> int:
    return os.fstat(sock.fileno()).st_ino


@pytest.fixture
def sockets():
    exact, everywhere, other = (socket.socket() for _ in range(3))
    six = socket.socket(socket.AF_INET6)
    exact.bind(("127.9.8.7", 0))
    port = exact.getsockname()[1]
    for sock, address in ((everywhere, ("127.9.8.8", port)), (other, ("127.9.8.7", 0))):
        sock.bind(address)
    six.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    six.bind(("::1", port))
    for sock in (exact, everywhere, other, six):
        sock.listen()
    yield (
        port,
        {
            (socket.inet_aton("127.9.8.7"), inode(exact)),
            (socket.inet_aton("127.9.8.8"), inode(everywhere)),
            (socket.inet_pton(socket.AF_INET6, "::1"), inode(six)),
        },
    )
    for sock in (exact, everywhere, other, six):
        sock.close()


def test_every_listener_on_the_port_and_no_other(sockets):
    port, expected = sockets
    with socket.create_connection(("127.9.8.7", port)):
        assert set(listeners(port)) == expected


def test_where_netlink_is_refused_the_tables_say_the_same(sockets, monkeypatch):
    port, expected = sockets

    def refused(*_):
        raise PermissionError

    monkeypatch.setattr(module, "_asked", refused)
    assert set(listeners(port)) == expected
