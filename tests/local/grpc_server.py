"""A gRPC server of grpcio's own, run as a program by a Deployment: grpc_server.py ADDRESS.

Port 8000 takes connections (whoever probes it is content), 8001 gRPC. Of `test.Service`: Run waits
for as many seconds as its request says; Take counts what a stream brings, the first one once Go was
called; Give sends 100 MiB in messages of 64 KiB; Given tells how many of them have been sent.
"""

import asyncio
import sys
import zlib

import grpc
import grpc.aio

PIECE = bytes(range(256)) * 256
PIECES = 1600
CRC = zlib.crc32(PIECE * PIECES)


class Service:
    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.given = 0

    async def run(self, request: bytes, _context) -> bytes:
        await asyncio.sleep(float(request or 0))
        return b"done"

    async def take(self, requests, _context) -> bytes:
        await self.go.wait()
        size = crc = 0
        async for request in requests:
            size, crc = size + len(request), zlib.crc32(request, crc)
        return b"%d %d" % (size, crc)

    async def give(self, _request: bytes, context) -> None:
        for _ in range(PIECES):
            await context.write(PIECE)
            self.given += 1

    async def tell(self, _request: bytes, _context) -> bytes:
        return b"%d" % self.given

    async def let_go(self, _request: bytes, _context) -> bytes:
        self.go.set()
        return b""


async def hello(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    writer.close()


async def main(address: str) -> None:
    service, server = Service(), grpc.aio.server()
    handlers = {
        "Run": grpc.unary_unary_rpc_method_handler(service.run),
        "Take": grpc.stream_unary_rpc_method_handler(service.take),
        "Give": grpc.unary_stream_rpc_method_handler(service.give),
        "Given": grpc.unary_unary_rpc_method_handler(service.tell),
        "Go": grpc.unary_unary_rpc_method_handler(service.let_go),
    }
    generic = grpc.method_handlers_generic_handler("test.Service", handlers)
    server.add_generic_rpc_handlers((generic,))
    server.add_insecure_port(f"{address}:8001")
    await server.start()
    await asyncio.start_server(hello, address, 8000)
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
