"""A model server of large bodies. Run as a program by a Deployment: large_server.py ADDRESS PORT.

POST /take answers with the number and the CRC of the bytes it got; the first one's body is left
lying until somebody asks for /go. POST /give answers 100 MiB. POST /given says how much of them all
has been sent.
"""

import socketserver
import sys
import threading
import zlib

PIECE = bytes(range(256)) * 256
PIECES = 1600
CRC = zlib.crc32(PIECE * PIECES)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    given = 0

    def __init__(self, *args) -> None:
        super().__init__(*args)
        self.go = threading.Event()


class Handler(socketserver.StreamRequestHandler):
    server: Server

    def handle(self) -> None:
        while line := self.rfile.readline():
            size = 0
            while (field := self.rfile.readline()) not in (b"\r\n", b""):
                name, _, value = field.partition(b":")
                size = int(value) if name.lower() == b"content-length" else size
            self.answer(line.split(b" ")[1], size)

    def answer(self, path: bytes, size: int) -> None:
        if path == b"/take":
            self.server.go.wait()
        crc, left = 0, size
        while left:
            data = self.rfile.read1(left)
            crc, left = zlib.crc32(data, crc), left - len(data)
        if path == b"/give":
            self.wfile.write(
                b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(PIECE) * PIECES)
            )
            for _ in range(PIECES):
                self.wfile.write(PIECE)
                self.server.given += len(PIECE)
            return
        if path == b"/go":
            self.server.go.set()
        said = b"%d %d" % ((size, crc) if path == b"/take" else (self.server.given, 0))
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(said), said))


if __name__ == "__main__":
    Server((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
