"""A small model server for real clients. Run as a program by a Deployment.

    python model.py ADDRESS PORT FOLDER LOAD_S

Begins to listen LOAD_S seconds after its start. It serves an echo of whatever is sent, events, a
page for a browser and the reports it sends back, WebSockets, and the paths of the OpenAI API.
"""

import asyncio
import base64
import hashlib
import json
import struct
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

WORDS = ["The", " tide", " goes", " out", "."]
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


async def echo(request: Request) -> Response:
    """What came: method, query, length, digest of the body and a few fields."""
    digest, length = hashlib.sha256(), 0
    async for piece in request.stream():
        digest.update(piece)
        length += len(piece)
    fields = {
        name: request.headers[name]
        for name in ("content-type", "transfer-encoding", "expect", "connection", "user-agent")
        if name in request.headers
    }
    told = {"method": request.method, "query": str(request.query_params), "length": length}
    return JSONResponse({**told, "sha256": digest.hexdigest(), "fields": fields})


async def large(request: Request) -> Response:
    """As many bytes as asked for, chunked or with their length."""
    size = int(request.query_params["bytes"])
    piece = bytes(65536)

    async def pieces() -> AsyncIterator[bytes]:
        left = size
        while left > 0:
            yield piece[: min(left, len(piece))]
            left -= len(piece)

    lengths = {} if "chunked" in request.query_params else {"content-length": str(size)}
    return StreamingResponse(pieces(), headers=lengths, media_type="application/octet-stream")


async def events(request: Request) -> Response:
    """Events from the one after Last-Event-ID on, `count` of them, then the end."""
    first = int(request.headers.get("last-event-id", "-1")) + 1
    count = int(request.query_params.get("count", "5"))

    async def stream() -> AsyncIterator[str]:
        yield "retry: 50\n\n"
        for number in range(first, first + count):
            yield f'id: {number}\ndata: {{"number": {number}}}\n\n'
            await asyncio.sleep(0.02)

    return StreamingResponse(stream(), media_type="text/event-stream")


async def socket(websocket: WebSocket) -> None:
    """An echo, in the subprotocol that was offered first."""
    offered = websocket.scope["subprotocols"]
    await websocket.accept(subprotocol=offered[0] if offered else None)
    try:
        while True:
            message = await websocket.receive()
            if message["type"] == "websocket.disconnect":
                return
            if message.get("text") is not None:
                await websocket.send_text(message["text"])
            else:
                await websocket.send_bytes(message["bytes"])
    except WebSocketDisconnect:
        pass


async def page(request: Request) -> Response:
    """A file that lies beside this program, as HTML."""
    file = Path(__file__).with_name("page.html")
    return Response(file.read_bytes(), media_type="text/html")


async def report(request: Request) -> Response:
    """What a page tells of itself: kept in the folder, whole."""
    folder = Path(sys.argv[3])
    draft = folder / "report.draft"
    draft.write_bytes(await request.body())
    draft.rename(folder / "report")
    return Response(status_code=204)


async def chat(request: Request) -> Response:
    asked = await request.json()
    said = asked["messages"][-1]["content"]
    words = [said, ": ", *WORDS]
    shape = {"id": "chat-1", "created": 1, "model": asked["model"]}
    if not asked.get("stream"):
        message = {"role": "assistant", "content": "".join(words)}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 1, "completion_tokens": len(words), "total_tokens": 8}
        return JSONResponse(
            {**shape, "object": "chat.completion", "choices": [choice], "usage": usage}
        )

    async def stream() -> AsyncIterator[str]:
        for word in words:
            choice = {"index": 0, "delta": {"content": word}, "finish_reason": None}
            piece = {**shape, "object": "chat.completion.chunk", "choices": [choice]}
            yield f"data: {json.dumps(piece)}\n\n"
            await asyncio.sleep(0.02)
        yield "data: [DONE]\n\n"

    return StreamingResponse(stream(), media_type="text/event-stream")


async def completions(request: Request) -> Response:
    asked = await request.json()
    choice = {"index": 0, "text": "".join(WORDS), "finish_reason": "stop", "logprobs": None}
    shape = {"id": "text-1", "object": "text_completion", "created": 1, "model": asked["model"]}
    return JSONResponse({**shape, "choices": [choice]})


async def embeddings(request: Request) -> Response:
    asked = await request.json()
    texts = [asked["input"]] if isinstance(asked["input"], str) else asked["input"]
    data = []
    for index, text in enumerate(texts):
        values = [float(len(text)), 0.5]
        packed = base64.b64encode(struct.pack("<2f", *values)).decode()
        vector = packed if asked.get("encoding_format") == "base64" else values
        data.append({"object": "embedding", "index": index, "embedding": vector})
    usage = {"prompt_tokens": 1, "total_tokens": 1}
    return JSONResponse({"object": "list", "model": asked["model"], "data": data, "usage": usage})


async def health(request: Request) -> Response:
    return Response()


APP = Starlette(
    routes=[
        Route("/health", health),
        Route("/echo", echo, methods=METHODS),
        Route("/large", large),
        Route("/events", events),
        Route("/page", page),
        Route("/report", report, methods=["POST"]),
        WebSocketRoute("/socket", socket),
        Route("/v1/chat/completions", chat, methods=["POST"]),
        Route("/v1/completions", completions, methods=["POST"]),
        Route("/v1/embeddings", embeddings, methods=["POST"]),
    ]
)


def main() -> None:
    address, port, _, load_s = sys.argv[1:5]
    time.sleep(float(load_s))
    uvicorn.run(APP, host=address, port=int(port), log_level="warning", timeout_keep_alive=30)


if __name__ == "__main__":
    main()
