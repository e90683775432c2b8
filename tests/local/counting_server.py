"""A model server that counts how many requests are inside it at once. Run by a Deployment.

    python counting_server.py ADDRESS

`GET /run?SECONDS` answers after so long with its process id; `GET /most` tells the most that were
inside, and forgets them.
"""

import asyncio
import os
import sys


class Server:
    def __init__(self) -> None:
        self.inside = self.most = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                target = head.split(b" ", 2)[1]
                if target == b"/most":
                    body, self.most = b"%d" % self.most, self.inside
                else:
                    body = await self.run(float(target.partition(b"?")[2] or 0))
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def run(self, seconds: float) -> bytes:
        self.inside += 1
        self.most = max(self.most, self.inside)
        try:
            await asyncio.sleep(seconds)
        finally:
            self.inside -= 1
        return b"%d" % os.getpid()


async def main() -> None:
    server = await asyncio.start_server(Server().serve, sys.argv[1], 8000, backlog=512)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
