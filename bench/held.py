"""Memory per held request: how much the process grows while thousands wait for one model.

The model is not ready before all are held and counted; then every one must be answered 200, or
the figure would be of something else. One request is held before the first look, so that what a
wake needs once is not counted.
"""

import resource
import socket
import sys
import time
from contextlib import ExitStack

from bench.case import Run
from bench.entries import Measured
from bench.gateway import Gateway, deployment, infer_path
from bench.process import DiedError
from bench.progress import say
from bench.stats import Row
from bench.wrk import BODY

__all__ = ["AIM_KIB", "HELD", "measure"]

AIM_KIB = 12.0
HELD = 4000
_MODEL = "held"
_POLICY = {"queue-limit": "10000", "start-timeout": "5m", "keep-alive": "1h"}
_REQUEST = (
    f"POST {infer_path(_MODEL)} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
    f"Content-Length: {len(BODY)}\r\nConnection: close\r\n\r\n{BODY}"
).encode()


def measure(run: Run) -> Measured:
    """Growth of resident memory per held request, in KiB; a process of its own each round."""
    _allow_files(HELD)
    values = []
    for number in range(run.rounds):
        say(f"held: round {number + 1} of {run.rounds}, {HELD} requests")
        values.append(_round(run, number) / 1024)
    figure = f"memory per held request ({HELD} held)"
    row = Row(case="held", figure=figure, unit="KiB", values=tuple(values), aim=AIM_KIB, must=True)
    return Measured(rows=(row,))


def _round(run: Run, number: int) -> float:
    folder = run.folder / f"round-{number}"
    loaded = run.folder / f"loaded-{number}"
    command = [sys.executable, "-m", "bench.model", "$(POD_IP)", "8000", "--when", str(loaded)]
    manifest = deployment(_MODEL, command, annotations=_POLICY)
    with ExitStack() as stack:
        gateway = stack.enter_context(Gateway([manifest], gpus=1, folder=folder))
        clients = [_send(gateway, stack)]
        _wait_for(gateway, 1)
        before = gateway.process.rss_bytes()
        clients += [_send(gateway, stack) for _ in range(HELD)]
        _wait_for(gateway, HELD + 1)
        grown = gateway.process.rss_bytes() - before
        loaded.touch()
        answers = [_status(client) for client in clients]
    wrong = [answer for answer in answers if answer != b"HTTP/1.1 200"]
    if wrong:
        msg = f"{len(wrong)} of {len(answers)} held requests were not answered 200: {wrong[0]!r}"
        raise DiedError(msg)
    return grown / HELD


def _send(gateway: Gateway, stack: ExitStack) -> socket.socket:
    client = stack.enter_context(socket.create_connection(("127.0.0.1", gateway.port), timeout=60))
    client.sendall(_REQUEST)
    return client


def _status(client: socket.socket) -> bytes:
    answer = b""
    while chunk := client.recv(65536):
        answer += chunk
    return answer[:12]


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
