"""The Redis in memory answers as a real one does, numbers of messages and times aside."""

from tests.fakes.redis_memory import RedisMemory
from tests.fakes.redis_server import redis_server


def told(answer: object) -> object:
    """An answer without what no two servers number alike."""
    if isinstance(answer, Exception):
        return "refused"
    if isinstance(answer, bytes) and b"-" in answer:
        return "number"
    if isinstance(answer, list | tuple):
        return [told(one) for one in answer]
    return answer


ASKED = [
    ("XADD", "s", "NOMKSTREAM", "*", "m", "0"),
    ("PEXPIREAT", "s", "99999999999999"),
    ("XADD", "s", "MAXLEN", "1", "*", "m", "1"),
    ("XADD", "s", "NOMKSTREAM", "*", "m", "2"),
    ("PEXPIREAT", "s", "99999999999999"),
    ("ZADD", "z", "5", "one"),
    ("ZADD", "z", "7", "two"),
    ("ZADD", "z", "6", "one"),
    ("ZRANGE", "z", "(5", "+inf", "BYSCORE"),
    ("ZREMRANGEBYSCORE", "z", "-inf", "6"),
    ("ZRANGE", "z", "(0", "+inf", "BYSCORE"),
    ("XREAD", "COUNT", "9", "STREAMS", "z", "0"),
    ("PEXPIREAT", "s", "1"),
    ("XADD", "s", "NOMKSTREAM", "*", "m", "3"),
]


def test_it_answers_as_a_real_one(tmp_path):
    memory = RedisMemory()
    with redis_server(tmp_path) as server:
        for words in ASKED:
            try:
                real = server.ask(*words)
            except Exception as error:
                real = error
            (own,) = memory.ask([words])
            assert told(own) == told(real), words
