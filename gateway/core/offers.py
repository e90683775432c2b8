"""What a head offers to, or asks of, the next hop: fields that are read, then said anew. Pure.

Rule: what is said of one hop counts only where Connection names it, and is not passed on as it is.
"""

import re
from typing import TYPE_CHECKING

from fleet.reasons import Reason
from gateway.core.events import EVENT_STREAM
from gateway.core.refused import RefusedError

if TYPE_CHECKING:
    from gateway.core.head import RequestHead, ResponseHead

__all__ = [
    "has_looped",
    "read_accept",
    "read_te",
    "read_upgrade",
    "read_via",
    "take_up_offers",
]

_NOT_AT_ALL = re.compile(rb"q=0(?:\.0{0,3})?")
_PROTOCOL = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:/[!#$%&'*+.^_`|~0-9A-Za-z-]+)?")


def read_accept(head: "RequestHead", value: bytes) -> None:
    """Accept: whether it reads event streams."""
    head.fields.append(b"Accept: " + value)
    for one in value.lower().split(b","):
        media, *parameters = (part.strip(b" \t") for part in one.split(b";"))
        if media == EVENT_STREAM and not any(map(_NOT_AT_ALL.fullmatch, parameters)):
            head.streams = True


def read_te(head: "RequestHead", value: bytes) -> None:
    """TE: whether it reads trailers."""
    codings = [coding.strip(b" \t").lower() for coding in value.split(b",")]
    head.trailers = head.trailers or b"trailers" in codings


def read_via(head: "RequestHead", value: bytes) -> None:
    """Via: the hops before this one."""
    head.via += value.split(b",")
    head.fields.append(b"Via: " + value)


def has_looped(head: "RequestHead", name: bytes) -> bool:
    """Whether `head` has come by here twice already; once may be another gateway of that name."""
    hops = [hop.split() for hop in head.via]
    return sum(len(hop) > 1 and hop[1].lower() == name.lower() for hop in hops) > 1


def read_upgrade(head: "RequestHead | ResponseHead", value: bytes) -> None:
    """Upgrade: the protocols that are named. Raises `RefusedError`."""
    offers = [offer.strip(b" \t") for offer in value.split(b",")]
    if not all(map(_PROTOCOL.fullmatch, offers)):
        msg = "Upgrade must name protocols"
        raise RefusedError(Reason.MALFORMED, msg)
    head.upgrades += offers


def take_up_offers(head: "RequestHead") -> None:
    """Take up an offer to speak something else, if it is one."""
    # h2c is passed over: some clients offer it with every request.
    offers = [offer for offer in head.upgrades if offer.lower() != b"h2c"]
    if head.old or b"upgrade" not in head.options:
        # RFC 9110, 7.8: without Connection: Upgrade, or on HTTP/1.0, it means nothing.
        offers = []
    head.upgrades = offers
    if offers:
        # What its sender sends next may be in the other protocol: never another request.
        head.keep_alive = False
