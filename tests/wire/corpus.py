"""Requests that two readers might read two ways: made from the grammar and from published attacks.

Sources of the techniques: RFC 9112 (6.1, 6.3, 11.2); Linhart, Klein, Heled and Orrin, "HTTP Request
Smuggling" (2005); Kettle, "HTTP Desync Attacks" (2019) and "Browser-Powered Desync Attacks" (2022);
Klein, "HTTP Request Smuggling in 2020"; Kettle, "HTTP/1.1 must die" (2025); Kolokotronis and others
on chunk extensions and line ends (2025).

Every body here hides a request for `SMUGGLED`: whoever takes another framing than the gateway's
would see it as a request of its own.
"""

from collections.abc import Iterator

from tests.wire.corpus_case import CANARY, SMUGGLED, Case, Verdict
from tests.wire.corpus_framing import framings
from tests.wire.corpus_heads import heads

__all__ = ["CANARY", "SMUGGLED", "Case", "Verdict", "cases"]


def cases() -> Iterator[Case]:
    """All of them; every name is there once."""
    yield from framings()
    yield from heads()
