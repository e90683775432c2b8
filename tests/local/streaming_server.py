"""A model server whose stream goes on only when it is told to: ADDRESS PORT.

``GET /events`` sends an event, then one more for each ``POST /next``, five in all, chunked or, with
``?plain``, until the connection closes. ``POST /take`` reads its body and says how long it was.
"""

import socketserver
import sys
import threading

EVENTS = 5


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, *args) -> None:
        super().__init__(*args)
        self.next = threading.Semaphore(0)


class Handler(socketserver.StreamRequestHandler):
    server: Server

    def handle(self) -> None:
        while line := self.rfile.readline():
            size, chunked = 0, False
            while (field := self.rfile.readline()) not in (b"\r\n", b""):
                name, _, value = field.partition(b":")
                size = int(value) if name.lower() == b"content-length" else size
                chunked = chunked or name.lower() == b"transfer-encoding"
            _, path, _ = line.split(b" ")
            if path.startswith(b"/events"):
                self.stream(chunks=path == b"/events")
                if path != b"/events":
                    return
                continue
            if path == b"/next":
                self.server.next.release()
            taken = self.chunks() if chunked else self.take(size)
            said = b"%d" % taken
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(said), said))

    def stream(self, *, chunks: bool) -> None:
        framing = b"Transfer-Encoding: chunked" if chunks else b"Connection: close"
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n%b\r\n\r\n"
        self.wfile.write(head % framing)
        for number in range(EVENTS):
            if number:
                self.server.next.acquire()
            event = b"data: %d\n\n" % number
            self.wfile.write(b"%x\r\n%b\r\n" % (len(event), event) if chunks else event)
        if chunks:
            self.wfile.write(b"0\r\n\r\n")

    def take(self, size: int) -> int:
        left = size
        while left:
            left -= len(self.rfile.read1(left))
        return size

    def chunks(self) -> int:
        taken = 0
        while size := int(self.rfile.readline(), 16):
            taken += self.take(size)
            self.rfile.readline()
        self.rfile.readline()
        return taken


if __name__ == "__main__":
    Server((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
