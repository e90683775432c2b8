"""What a process hears and says, in order: a poke behind what was said before it."""

from types import MappingProxyType

from fleet.messages import Sample
from fleet.names import GatewayName, RevisionName
from tests.fakes.adminview import sample
from tests.fakes.redis_memory import RedisMemory
from tests.fakes.redis_processes import Process

A = RevisionName("default/a")


def said(gateway: Process, waiting: int) -> None:
    made = MappingProxyType({A: sample(A, waiting=waiting)})
    gateway.outbox.publish(Sample(gateway=GatewayName("g"), revisions=made), gateway.now)
    gateway.outbox.poke(A)
    gateway.round(beat=False)


def test_one_that_comes_in_while_others_are_read_is_told_behind_the_sample_before_it():
    redis = RedisMemory()
    gateway, reader = Process(redis, name="g"), Process(redis)
    said(gateway, 1)
    reader.round()
    assert (len(reader.reported), reader.pokes) == (1, [A])
    reader.meanwhile = lambda: said(gateway, 2)
    reader.round()
    assert (len(reader.reported), reader.pokes) == (1, [A])
    assert reader.hearing.full
    reader.meanwhile = lambda: None
    reader.round(beat=False)
    assert (len(reader.reported), reader.pokes) == (2, [A, A])
    assert not reader.hearing.full


def test_one_behind_which_nothing_is_new_is_told_at_once():
    redis = RedisMemory()
    gateway, reader = Process(redis, name="g"), Process(redis)
    reader.rounds(2)
    gateway.outbox.poke(A)
    gateway.round(beat=False)
    reader.round(beat=False)
    assert reader.pokes == [A]
    assert not reader.hearing.full


def test_nobody_is_believed_that_fewer_than_none_wait():
    redis = RedisMemory()
    gateway, reader = Process(redis, name="g"), Process(redis)
    said(gateway, -1)
    reader.round()
    assert reader.reported == []
    assert any("waiting: expected a whole number from 0 on" in why for _, why in reader.dropped)


def test_what_could_not_be_written_is_counted_on_whoever_leads_next():
    leader = Process(RedisMemory())
    for term in (1, 2):
        leader.saying.lead(term).told.unsaid += 3
    assert leader.saying.unsaid == 6
    leader.saying.follow()
    leader.saying.follow()
    assert leader.saying.unsaid == 6
