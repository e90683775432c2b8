"""The clients as fixtures: a test whose client cannot be had here is skipped, and says why."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from bench.peers import PeerMissingError, Tool
from tests.e2e import tools

T = TypeVar("T")


def provided(provide: Callable[[], T]) -> T:
    try:
        return provide()
    except PeerMissingError as error:
        pytest.skip(f"{provide.__name__}: {error}")


@pytest.fixture(scope="session")
def clients() -> Path:
    return provided(tools.clients)


@pytest.fixture(scope="session")
def curl() -> Path:
    return provided(tools.curl)


@pytest.fixture(scope="session")
def browser() -> Path:
    return provided(tools.browser)


@pytest.fixture(scope="session")
def go_client() -> Tool:
    return provided(tools.go_client)


@pytest.fixture(scope="session")
def node_client() -> list[str]:
    return provided(tools.node_client)


@pytest.fixture(scope="session")
def wrk() -> Tool:
    return provided(tools.wrk)


@pytest.fixture(scope="session")
def h2load() -> Tool:
    return provided(tools.h2load)


@pytest.fixture(scope="session")
def hey() -> Tool:
    return provided(tools.hey)


@pytest.fixture(scope="session")
def ghz() -> Tool:
    return provided(tools.ghz)
