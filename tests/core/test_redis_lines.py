"""Lines of the journal between processes: short, whatever is said in them."""

from dataclasses import replace

import pytest

from fleet.bus.journal import brief
from fleet.bus.redis.outbox import Outbox
from fleet.bus.redis.parcels import Line, written
from fleet.messages import Entry
from fleet.names import ModelName, RevisionName
from tests.fakes.redis_memory import RedisMemory
from tests.fakes.redis_processes import Process

NAME = RevisionName("a/b")
ENTRY = Entry(at=1.0, revision=NAME, model=ModelName("m"), event="refused")


def said(message):
    return replace(ENTRY, message=message)


@pytest.mark.parametrize("letter", ["x", "é", "\N{SNOWMAN}", "\U0001f600", "\x01", '"', "\\"])
def test_a_line_is_short_as_it_is_written_whatever_letters_it_has(letter):
    box = Outbox("life")
    box.append(said(letter * 100_000))
    (line,) = box.lines(1)
    assert len(written(line)) < 3000
    kept = line.entry.message.removesuffix("...")
    assert kept == letter * len(kept)
    assert len(kept) > 150


@pytest.mark.parametrize("message", ["", "x" * 2000, "é" * 333])
def test_one_that_is_short_enough_stays_as_it_is(message):
    assert brief(said(message)) == said(message)


def test_what_is_longer_than_anybody_writes_is_not_kept():
    redis = RedisMemory()
    reader = Process(redis, life="reader")
    for number, size in enumerate((100, 5_000_000, 100), 1):
        line = Line(life="w", number=number, entry=said("x" * size))
        redis.ask([("XADD", "ebbtide:journal", "*", "m", written(line))])
    for _ in range(3):
        reader.round()
    assert [len(one.message) for one in reader.hearing.journal.tail(10)] == [100, 100]
    assert [what for what, _ in reader.dropped] == ["ebbtide:journal"]
