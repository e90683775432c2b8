"""`python -m tests.wire.grpccost`: what a gRPC call costs in Python, without sockets.

As `tests.wire.cost` does for HTTP/1.1: 32 calls at a time on one connection, in reads and frames as
grpc-go makes them (its PINGs and window updates included), without deadlines and with, and messages
of 32 streams.

`python -m tests.wire.grpccost CASE` (`calls`, `deadlines`, `streams`): one of them.
"""

import os
import random
import sys
from collections.abc import Callable, Iterator

import hpack
import uvloop

from fleet.model import Policy, WarmUp
from gateway.grpc.downstream import Downstream
from gateway.grpc.pool import pool_of
from gateway.grpc.upstream import Upstream
from tests.fakes.http2 import DATA, END, HEADERS, PING, PREFACE, WHOLE, WINDOW, frame, settings
from tests.wire.cost import ROUNDS, Idle, report
from tests.wire.grpcstage import INFER, STREAM, named
from tests.wire.stage import model, stage

_CALLS = 32
_ASKED = named("demo", b"\x2a\x5e" + bytes(94))
_ANSWERED = named("demo", b"\x2a\x62" + bytes(98))
_WINDOWS = frame(WINDOW, payload=(4096).to_bytes(4, "big")) + frame(PING, payload=b"12345678")
_POLICY = Policy(slots=64, warm_up=WarmUp.NONE)


class Pair:
    """A client's connection and a replica's, and all that will be read from them."""

    def __init__(self, context, pool) -> None:
        up = Upstream(pool)
        self.down, self.up = Downstream(context).connection, up.connection
        for one, first in ((self.down, PREFACE), (self.up, b"")):
            one.connection_made(Idle())
            one.data_received(first + settings(window=2**30))
        pool._upstreams = [up]
        self._flush = context.outbox.flush
        self._asks, self._answers = hpack.Encoder(), hpack.Encoder()
        self._number = 1
        self._numbers: range
        self._reads: Iterator[tuple[bytes, bytes]]

    def batch(self, rounds: int) -> None:
        down, up, flush, reads = self.down, self.up, self._flush, self._reads
        for _, (asked, answered) in zip(range(rounds), reads, strict=False):
            down.data_received(asked)
            flush()
            up.data_received(answered)
            flush()

    def calls(self, timeout: Callable[[], tuple[tuple[str, str], ...]]) -> None:
        reads = []
        for _ in range(ROUNDS):
            self._turn_to_new()
            asked = self._joined(
                lambda n: self._asking(n, INFER, timeout()) + frame(DATA, END, n, _ASKED)
            )
            answered = self._joined(
                lambda n: self._answering(n) + frame(DATA, 0, n, _ANSWERED) + self._ending(n)
            )
            reads.append((asked, answered))
        self._reads = iter(reads)

    def streams(self) -> None:
        self._turn_to_new()
        begun = self._joined(lambda n: self._asking(n, STREAM) + frame(DATA, 0, n, _ASKED))
        self._reads = iter([(begun, self._joined(self._answering))])
        self.batch(1)
        asked = self._joined(lambda n: frame(DATA, 0, n, _ASKED))
        answered = self._joined(lambda n: frame(DATA, 0, n, _ANSWERED))
        self._reads = iter([(asked, answered)] * ROUNDS)

    def _turn_to_new(self) -> None:
        self._numbers = range(self._number, self._number + 2 * _CALLS, 2)
        self._number += 2 * _CALLS

    def _joined(self, one: Callable[[int], bytes]) -> bytes:
        return _WINDOWS + b"".join(map(one, self._numbers))

    def _asking(self, number: int, method: str, timeout=()) -> bytes:
        fields = [(":method", "POST"), (":scheme", "http"), (":path", method)]
        fields += [(":authority", "gw:1"), ("content-type", "application/grpc+proto")]
        fields += [("user-agent", "grpc-go/1.85.0"), ("te", "trailers"), *timeout]
        return frame(HEADERS, WHOLE, number, self._asks.encode(fields))

    def _answering(self, number: int) -> bytes:
        fields = [(":status", "200"), ("content-type", "application/grpc+proto")]
        return frame(HEADERS, WHOLE, number, self._answers.encode(fields))

    def _ending(self, number: int) -> bytes:
        fields = [("grpc-status", "0"), ("grpc-message", "")]
        return frame(HEADERS, WHOLE | END, number, self._answers.encode(fields))


async def main(case: str) -> None:
    async with stage(lambda port: model(port=port, policy=_POLICY)) as s:
        context = s.front._context
        pair = Pair(context, pool_of(context, s.line.peek()))
        dice = random.Random(1)
        if case == "streams":
            pair.streams()
        elif case == "deadlines":
            pair.calls(lambda: (("grpc-timeout", f"{dice.randrange(9_999_000, 10**7)}u"),))
        else:
            pair.calls(tuple)
        pair.batch(20)
        assert _ANSWERED in pair.down.transport.written
        print(f"{case}:")
        report(pair.batch)
        sys.stdout.flush()
        # Their sockets are none: nothing could close them in order.
        os._exit(0)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1] if sys.argv[1:] else "calls"))
