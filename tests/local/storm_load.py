"""Clients that give up after a second without an answer, at a fixed rate. Run as a program.

    python storm_load.py PORT PATH RATE SECONDS

Every second one has a body of 48 KiB, which all fits into the gateway's socket: of a client whose
last bytes do not, no system sees that it has left. Prints one JSON object: how many were sent, gave
up, were answered, and failed.
"""

import asyncio
import json
import sys
from collections import Counter

_PATIENCE_S = 1.0
_SIZES = (100, 48 * 2**10)


async def client(port: int, path: str, number: int, counts: Counter[str]) -> None:
    size = _SIZES[number % 2]
    head = f"POST {path} HTTP/1.1\r\nHost: storm\r\nContent-Length: {size}\r\n\r\n"
    counts["sent"] += 1
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        counts["failed"] += 1
        return
    try:
        writer.write(head.encode() + b"x" * size)
        answer = await asyncio.wait_for(reader.read(1), _PATIENCE_S)
        counts["answered" if answer else "failed"] += 1
    except TimeoutError:
        counts["gave_up"] += 1
    except OSError:
        counts["failed"] += 1
    finally:
        writer.transport.abort()


async def blow(port: int, path: str, rate: float, seconds: float) -> Counter[str]:
    counts: Counter[str] = Counter()
    loop = asyncio.get_running_loop()
    begun = loop.time()
    async with asyncio.TaskGroup() as clients:
        for number in range(int(rate * seconds)):
            await asyncio.sleep(max(0.0, begun + number / rate - loop.time()))
            clients.create_task(client(port, path, number, counts))
    return counts


def main() -> None:
    port, path, rate, seconds = sys.argv[1:5]
    print(json.dumps(asyncio.run(blow(int(port), path, float(rate), float(seconds)))))


if __name__ == "__main__":
    main()
