"""A model server of a few lines, run as a program by the local cluster's tests.

Usage: tiny_server.py [MODE...]; it listens on $POD_IP:$PORT (8000) and answers every connection
with 200 and its process id. Modes: ``wildcard`` binds 0.0.0.0; ``crash`` prints and exits 3;
``children`` starts a child, and a grandchild in a session of its own (their ids are printed);
``deaf`` ignores SIGTERM; ``slow`` waits 0.3 s before it listens; ``unready`` answers 503 instead.
Other words are not looked at.
"""

import os
import signal
import socket
import sys
import time


def child() -> None:
    """Sleep on, as one that nobody waits for."""
    time.sleep(300)
    os._exit(0)


def start_children() -> None:
    first = os.fork()
    if first == 0:
        child()
    middle = os.fork()
    if middle == 0:
        os.setsid()
        last = os.fork()
        if last == 0:
            child()
        print(f"strays {first} {last}", flush=True)
        os._exit(0)
    os.waitpid(middle, 0)


def serve(address: str, port: int, status: bytes) -> None:
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((address, port))
        server.listen(64)
        print(f"listening on {address}:{port}", flush=True)
        while True:
            connection, _ = server.accept()
            with connection:
                connection.settimeout(1)
                try:
                    connection.recv(4096)
                    body = str(os.getpid()).encode()
                    head = b"HTTP/1.1 %b X\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
                    connection.sendall(head % (status, len(body)) + body)
                except OSError:
                    continue


def main(modes: list[str]) -> None:
    if "crash" in modes:
        print("cannot load the weights", flush=True)
        sys.exit(3)
    signal.signal(signal.SIGTERM, signal.SIG_IGN if "deaf" in modes else lambda *_: sys.exit(0))
    if "children" in modes:
        start_children()
    if "slow" in modes:
        time.sleep(0.3)
    address = "0.0.0.0" if "wildcard" in modes else os.environ["POD_IP"]
    status = b"503" if "unready" in modes else b"200"
    serve(address, int(os.environ.get("PORT", "8000")), status)


if __name__ == "__main__":
    main(sys.argv[1:])
