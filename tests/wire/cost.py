"""`python -m tests.wire.cost`: what a warm request costs in Python, without sockets.

The real front and hall; transports that take what is written and do nothing. Prints the least and
the median time of a request, and by module how much of it is spent there, as cProfile sees it (it
makes small functions look larger than they are).

`python -m tests.wire.cost SECONDS` goes on for so long, for a sampling profiler to look at.
"""

import cProfile
import gc
import os
import pstats
import statistics
import sys
import time
from collections import Counter
from pathlib import Path

import uvloop

from gateway.http.inbound import Inbound
from gateway.http.link import link_of
from gateway.http.outbound import Outbound
from tests.fakes.recorder import answer
from tests.wire.stage import infer, stage

_ROOT = Path(__file__).resolve().parents[2]
_CONNECTIONS = 32
_TIMES, _AT_ONCE, _PROFILED = 60, 15, 300
ROUNDS = 20 + _TIMES * _AT_ONCE + _PROFILED
"""How many of them a `batch` is asked for in all, 20 to warm up included."""
_REQUEST = infer(b"x" * 150, b"Content-Type: application/json\r\n")
_ANSWER = answer(b"y" * 160)


class Idle:
    """A transport, and its socket, on which nothing happens."""

    written = b""

    def write(self, data: bytes) -> None:
        self.written = data

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, *, high: int) -> None:
        """There is no buffer."""

    def get_extra_info(self, name: str) -> object:
        return {"socket": self, "peername": ("127.0.0.1", 1)}.get(name)

    def fileno(self) -> int:
        return 0

    def close(self) -> None:
        """Nothing is open."""

    abort = close


async def main(spin: float) -> None:
    async with stage() as s:
        context = s.front._context
        link = link_of(context, s.line.peek())
        inbounds = [Inbound(context) for _ in range(_CONNECTIONS)]
        outbounds = [Outbound(link) for _ in range(4)]
        for one in (*inbounds, *outbounds):
            one.connection_made(Idle())
        for outbound in outbounds:
            link.put(outbound)

        def batch(rounds: int) -> None:
            for _ in range(rounds):
                for inbound in inbounds:
                    inbound.data_received(_REQUEST)
                    inbound.exchange.outbound.data_received(_ANSWER)

        batch(20)
        assert inbounds[0].transport.written.endswith(b"y" * 160)
        end = time.perf_counter() + spin
        while time.perf_counter() < end:
            batch(20)
        if not spin:
            report(batch)
        sys.stdout.flush()
        # Their sockets are none: nothing could close them in order.
        os._exit(0)


def report(batch) -> None:
    gc.collect()
    gc.freeze()
    taken = []
    for _ in range(_TIMES):
        began = time.process_time_ns()
        batch(_AT_ONCE)
        taken.append((time.process_time_ns() - began) / _AT_ONCE / _CONNECTIONS / 1000)
    print(f"{min(taken):.1f} us at least, {statistics.median(taken):.1f} us in the median")
    profile = cProfile.Profile()
    profile.runcall(batch, _PROFILED)
    modules: Counter[str] = Counter()
    for (file, _, _), (_, _, own, _, _) in pstats.Stats(profile).stats.items():
        inside = file.startswith(str(_ROOT)) and file != __file__
        modules[str(Path(file).relative_to(_ROOT)) if inside else "what they call"] += own
    total = modules.total()
    for name, own in modules.most_common(24):
        print(f"{100 * own / total:5.1f} %  {name}")


if __name__ == "__main__":
    uvloop.run(main(float(sys.argv[1]) if sys.argv[1:] else 0.0))
