"""Thousands wait for one model: what each costs in memory, and how fast they are let go.

The model is not ready before all are held and counted. Then every one of them must get the model's
answer, or the figures would be of something else. One request is held before the first look, so
that what a wake needs once is not counted. Released is from the model's start (a little before its
port opens) to the last answer read here; it has 64 slots.
"""

import resource
import select
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from bench import peers
from bench.case import Run
from bench.entries import Measured
from bench.fixed import ANSWER
from bench.gateway import Gateway, deployment, infer_path
from bench.process import DiedError
from bench.progress import say
from bench.stats import Row
from bench.wrk import BODY

__all__ = ["AIM_KIB", "AIM_RELEASED_S", "HELD", "RELEASED", "displaced", "measure"]

AIM_KIB = 12.0
AIM_RELEASED_S = 0.5
HELD = 10_000
RELEASED = 5_000
_MODEL = "held"
_POLICY = {"queue-limit": "20000", "start-timeout": "5m", "keep-alive": "1h"}
_REQUEST = (
    f"POST {infer_path(_MODEL)} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
    f"Content-Length: {len(BODY)}\r\n\r\n{BODY}"
).encode()
_SILENT_S = 30.0
_FURTHEST = 2.0 * 64
"""Those that run overtake each other in the model server, and their answers when they are read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    """One round."""

    kib_each: float
    released_s: float
    displaced: int


def measure(run: Run) -> Measured:
    """10,000 held for their memory, 5,000 for the time; a process of its own each round."""
    _allow_files(HELD)
    most, fewer = _rounds(run, HELD), _rounds(run, RELEASED)
    memory = Row(
        case="held",
        figure=f"memory of each, connection included ({HELD:,} held)",
        unit="KiB",
        values=tuple(held.kib_each for held in most),
        aim=AIM_KIB,
        must=True,
    )
    times = [
        Row(
            case="held",
            figure=f"the last of {count:,} answered, 64 slots",
            unit="s",
            values=tuple(held.released_s for held in made),
            aim=aim,
        )
        for count, made, aim in ((RELEASED, fewer, AIM_RELEASED_S), (HELD, most, None))
    ]
    order = Row(
        case="held",
        figure="answered this far from its turn, at most",
        unit="places",
        values=tuple(float(held.displaced) for held in (*most, *fewer)),
        aim=_FURTHEST,
        must=True,
    )
    return Measured(rows=(memory, *times, order))


def _rounds(run: Run, count: int) -> Sequence[_Held]:
    made = []
    for number in range(run.rounds):
        say(f"held: round {number + 1} of {run.rounds}, {count:,} requests")
        made.append(_round(run, count, f"{count}-{number}"))
    return made


def _round(run: Run, count: int, name: str) -> _Held:
    folder, loaded = run.folder / f"round-{name}", run.folder / f"loaded-{name}"
    nginx, home = peers.nginx(run.cache), folder / "nginx"
    serve = [sys.executable, "-m", "bench.fixed", str(nginx.path), "$(POD_IP)", "8000", str(home)]
    manifest = deployment(_MODEL, [*serve, "--when", str(loaded)], annotations=_POLICY)
    with ExitStack() as stack:
        gateway = stack.enter_context(Gateway([manifest], gpus=1, folder=folder))
        clients = [_send(gateway, stack)]
        _wait_for(gateway, 1)
        before = gateway.process.rss_bytes()
        clients += [_send(gateway, stack) for _ in range(count)]
        _wait_for(gateway, count + 1)
        grown = gateway.process.rss_bytes() - before
        loaded.touch()
        answered = _answers(clients)
        last = time.monotonic()
    opened = float((home / "opened").read_text())
    return _Held(
        kib_each=grown / count / 1024, released_s=last - opened, displaced=displaced(answered)
    )


def _send(gateway: Gateway, stack: ExitStack) -> socket.socket:
    client = stack.enter_context(socket.create_connection(("127.0.0.1", gateway.port), timeout=60))
    client.sendall(_REQUEST)
    return client


def _answers(clients: Sequence[socket.socket]) -> Sequence[int]:
    """Which was answered, in order; each with the model's answer, or `DiedError`."""
    numbers = {client.fileno(): number for number, client in enumerate(clients)}
    got = dict.fromkeys(numbers.values(), b"")
    answered: list[int] = []
    with select.epoll() as ready:
        for client in clients:
            ready.register(client, select.EPOLLIN)
        while len(answered) < len(clients):
            events = ready.poll(_SILENT_S)
            if not events:
                msg = f"{len(clients) - len(answered)} of {len(clients)} got no answer"
                raise DiedError(msg)
            for file, _ in events:
                number = numbers[file]
                got[number] += _received(clients[number], got[number])
                if got[number].endswith(ANSWER.encode()):
                    answered.append(number)
                    ready.unregister(file)
    return answered


def _received(client: socket.socket, before: bytes) -> bytes:
    received = client.recv(65536)
    head = before + received
    if not received or not b"HTTP/1.1 200".startswith(head[:12]):
        msg = f"a held request was not answered 200: {head[:200]!r}"
        raise DiedError(msg)
    return received


def displaced(answered: Sequence[int]) -> int:
    """How far from its turn somebody was answered, at most, in places."""
    return max(abs(turn - number) for turn, number in enumerate(answered))


def _wait_for(gateway: Gateway, waiting: int) -> None:
    gateway.process.wait_until(
        lambda: gateway.model(_MODEL)["waiting"] == waiting, what=f"holding {waiting}", seconds=60
    )
    time.sleep(0.5)  # what was allocated to read and count them is freed by now


def _allow_files(count: int) -> None:
    """Raise this process's soft limit, and with it that of those it starts."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < count + 500:
        msg = f"{count} connections need as many open files, and the hard limit is {hard}"
        raise DiedError(msg)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
