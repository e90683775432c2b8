"""One question over HTTP/1.1, on a connection of its own that ends with the answer.

Rule 1: nothing is kept open: Triton, told to stop, waits for the end of its connections.
Rule 2: the head of an answer is bounded here, its body by whoever asks.
Rule 3: what is no answer raises `ValueError`, what breaks the connection `OSError`. How long it may
        take is for the caller to say: cancelled, it leaves nothing behind.
"""

import asyncio
import re
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

import httptools

__all__ = ["Answer", "Question", "exchange"]

_MOST_HEAD = 2**16
_PARTING_S = 1.0
"""For a server's last word under TLS."""
_TOLD = 300
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")
_METHOD = re.compile(r"[A-Z]+")
_PRINTABLE: Final = "".join(map(chr, range(0x21, 0x7F)))
_OURS = frozenset({"connection", "content-length", "transfer-encoding", "accept-encoding"})
"""The headers that nobody else has a say in."""
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a server answered."""

    status: int
    to: str
    """Method and path."""
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What to ask, and where."""

    host: str
    port: int
    path: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    most: int
    """Bytes of the answer's body."""
    beginning: bool = False
    """Keep the beginning of an answer that is longer, or packed; else such an answer is none."""
    tls: ssl.SSLContext | None = None
    server_name: str | None = None
    """As the certificate has it; None: `host`."""


async def exchange(question: Question) -> Answer:
    """Ask, and return the whole answer. Raises `ValueError` and `OSError`."""
    request, tls = _written(question), question.tls
    transport, hearing = await asyncio.get_running_loop().create_connection(
        lambda: _Hearing(question),
        question.host,
        question.port,
        ssl=tls,
        server_hostname=None if tls is None else question.server_name or question.host,
        ssl_shutdown_timeout=None if tls is None else _PARTING_S,
    )
    try:
        transport.write(request)
        answer = await hearing.answer
    except BaseException:
        transport.abort()
        raise
    if transport.get_write_buffer_size():
        # It has answered without reading all, and would not read the rest.
        transport.abort()
    transport.close()
    return answer


def _written(question: Question) -> bytes:
    """The request, whole."""
    host = f"[{question.host}]" if ":" in question.host else question.host
    fields = {"host": f"{host}:{question.port}", "user-agent": "ebbtide", "accept": "*/*"}
    fields |= {name.lower(): value for name, value in question.headers.items()}
    fields = {name: value for name, value in fields.items() if name not in _OURS}
    if question.body or question.method in _WITH_BODY:
        fields["content-length"] = str(len(question.body))
    fields |= {"accept-encoding": "identity", "connection": "close"}
    path = quote(question.path.partition("#")[0], safe=_PRINTABLE)
    if not _METHOD.fullmatch(question.method):
        msg = f"not a method: {question.method[:_TOLD]!r}"
        raise ValueError(msg)
    lines = [f"{question.method} {path} HTTP/1.1", *_checked(fields)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + question.body


def _checked(fields: Mapping[str, str]) -> Iterator[str]:
    for name, value in fields.items():
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            msg = f"not a header: {f'{name}: {value}'[:_TOLD]!r}"
            raise ValueError(msg)
        yield f"{name}: {value}"


class _Hearing(asyncio.Protocol):
    """Takes one answer in."""

    def __init__(self, question: Question) -> None:
        self.answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._question = question
        self._parser = httptools.HttpResponseParser(self)
        self._head = 0
        self._body = bytearray()
        self._headed = self._framed = False
        self._packed = ""

    # The connection.

    def data_received(self, data: bytes) -> None:
        if self.answer.done():
            return
        if not self._headed:
            self._head += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(ValueError(f"not an answer in HTTP/1.1: {str(error)[:_TOLD]}"))
        if not self._headed and self._head > _MOST_HEAD:
            self._fail(ValueError(f"an answer whose head is over {_MOST_HEAD} bytes"))

    def connection_lost(self, error: Exception | None) -> None:
        if error is None and self._headed and not self._framed:
            # As old servers say that this is all.
            self._finish()
        elif isinstance(error, OSError):
            self._fail(error)
        else:
            self._fail(ConnectionResetError("it closed the connection in its answer"))

    # The parser.

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._headed:
            # A trailer, which says nothing of what came before.
            return
        lowered = name.lower()
        if lowered in (b"content-length", b"transfer-encoding"):
            self._framed = True
        elif lowered == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
            self._packed = value[:_TOLD].decode("latin-1")

    def on_headers_complete(self) -> None:
        if self._parser.get_status_code() < 200:
            return
        self._headed = True
        if self._packed and not self._question.beginning:
            self._fail(ValueError(f"packed ({self._packed}), which was not asked for"))
        if self._question.method == "HEAD":
            self._finish()

    def on_body(self, part: bytes) -> None:
        room = self._question.most - len(self._body)
        self._body += part[:room]
        if len(part) > room and not self._question.beginning:
            self._fail(ValueError(f"an answer of over {self._question.most} bytes"))

    def on_message_complete(self) -> None:
        if self._headed:
            self._framed = True
            self._finish()
        else:
            # That was a word in between (1xx): the answer comes after it.
            self._packed, self._framed = "", False

    def _finish(self) -> None:
        if not self.answer.done():
            asked, status = self._question, self._parser.get_status_code()
            told = Answer(status=status, to=f"{asked.method} {asked.path}", body=bytes(self._body))
            self.answer.set_result(told)

    def _fail(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)
