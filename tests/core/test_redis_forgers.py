"""Somebody else writes into Redis: what he says goes no further than hints may, nor lasts."""

from dataclasses import replace
from types import MappingProxyType

import pytest

from fleet.bus.redis import hearing
from fleet.bus.redis.parcels import Fresh, LeaderNews, Parcel, Shares, written
from fleet.messages import Allot, Look, Looked
from fleet.names import GatewayName, ReplicaName
from tests.fakes.redis_memory import RedisMemory
from tests.fakes.redis_processes import Process

G, R = GatewayName("g"), ReplicaName("a/r")
TERM = "9" * 15


def forged(number: int, *, more: bool = False, writer: str = TERM, **news) -> bytes:
    parcel = Parcel(writer=writer, life="x", number=number, at=0.0, whole=number == 1, more=more)
    return written(replace(parcel, **news))


def shares(share: int) -> LeaderNews:
    told = Shares(number=7, slots=MappingProxyType({G: share}))
    return LeaderNews(shares=MappingProxyType({R: told}))


def forge(redis: RedisMemory, news: LeaderNews) -> None:
    """A log of a leader that there is not, of the highest term."""
    parcel = Parcel(writer=TERM, life="x", number=1, at=redis.now, whole=True, leader=news)
    name = f"leader:{TERM}"
    redis.ask(
        [
            ("XADD", f"ebbtide:{name}", "*", "m", written(parcel)),
            ("ZADD", "ebbtide:logs", str(int((redis.now + 10) * 1000)), name),
            ("PUBLISH", "ebbtide:leaders", written(Fresh(log=name))),
        ]
    )


def hear(gateway: Process) -> None:
    """What was told is found in the one round and read in the next."""
    gateway.round()
    gateway.round()


@pytest.mark.parametrize("share", [0, 1])
def test_a_gateway_has_a_slot_of_every_replica_whoever_tells_it_otherwise(share):
    redis = RedisMemory()
    gateway = Process(redis, name=G)
    forge(redis, shares(share))
    hear(gateway)
    assert gateway.allots[-1].slots == {R: 1}


def test_what_a_forger_shared_out_is_put_right_once_he_is_gone():
    redis = RedisMemory()
    gateway, leader = Process(redis, name=G), Process(redis, life="leader")
    leading = leader.saying.lead(1)
    leading.told.allot(G, Allot(number=3, slots=MappingProxyType({R: 4})))
    leader.round()
    hear(gateway)
    assert gateway.allots[-1].slots == {R: 4}
    forge(redis, shares(1))
    hear(gateway)
    assert gateway.allots[-1].slots == {R: 1}
    redis.now += 11.0
    for number in range(1, 9):
        leading.told.looked(Looked(look=Look(term=1, number=number), at=leader.now))
        leader.round()
        hear(gateway)
    assert gateway.allots[-1].slots == {R: 4}


def test_a_look_that_is_still_to_come_has_ended_now():
    redis = RedisMemory()
    gateway = Process(redis, name=G)
    forge(redis, LeaderNews(look=Look(term=9, number=1, seconds=-1e9), look_age=-1e9))
    hear(gateway)
    (leader,) = gateway.led
    assert leader.looked is not None
    assert leader.looked.began <= gateway.now


@pytest.mark.parametrize("more", [True, False])
def test_a_log_that_goes_on_and_on_is_kept_up_to_a_bound(monkeypatch, more):
    monkeypatch.setattr(hearing, "_MOST_KEPT", {False: 200_000, True: 200_000})
    redis = RedisMemory()
    gateway, leader = Process(redis, name=G), Process(redis, life="leader")
    forge(redis, shares(2))
    for number in range(1, 200):
        names = tuple(ReplicaName(f"{number}-{one}" * 20) for one in range(20))
        told = dict.fromkeys(names, Shares(number=number, slots={}))
        data = forged(number, more=more, leader=LeaderNews(shares=told))
        redis.ask([("XADD", f"ebbtide:leader:{TERM}", "MAXLEN", "1", "*", "m", data)])
        redis.now += 0.02
        gateway.round()
    kept = sum(log.size for log in gateway.hearing._logs.values())
    assert 100_000 < kept <= 200_000
    assert any("kept" in why for _, why in gateway.dropped)
    redis.now += 11.0
    leading = leader.saying.lead(1)
    leading.told.allot(G, Allot(number=3, slots=MappingProxyType({R: 4})))
    for _ in range(8):
        leader.round()
        hear(gateway)
    assert gateway.allots[-1].slots == {R: 4}, "the room is free again"
    assert gateway.hearing._room > 190_000
