"""Doubtful heads: request lines, targets, hosts, and fields. Sources: `tests.wire.corpus`."""

from collections.abc import Iterator

from tests.wire.corpus_case import HIDDEN, LINE, Case, Verdict, post

__all__ = ["heads"]


def heads() -> Iterator[Case]:
    """All of them."""
    yield from _lines()
    yield from _targets()
    yield from _splitting()
    yield from _connections()
    yield from _good()


def _lines() -> Iterator[Case]:
    """Request lines, versions and line ends."""
    target = b"/v2/models/demo/infer"
    for version in (
        *(b"HTTP/0.9", b"HTTP/1.2", b"HTTP/1.9", b"HTTP/2", b"HTTP/2.0", b"HTTP/3", b"HTTP/11"),
        *(b"HTTP/1", b"HTTP/1.", b"HTTP/.1", b"HTTP/1.10", b"HTTP/01.1", b"HTTP/1.01", b"HTTP/1,1"),
        *(
            b"http/1.1",
            b"Http/1.1",
            b"HTTPS/1.1",
            b"HTTP 1.1",
            b"HTTP\\1.1",
            b"HTTP/1.1x",
            b"ICE/1.0",
        ),
        *(b"HTTP/1.1\x00", b"HTTP/1.1\x0b", b"HTTP/-1.1", b"HTTP/1.1 HTTP/1.1", b"RTSP/1.0", b""),
    ):
        line = b"POST %b %b\r\n" % (target, version)
        yield Case(
            name=f"version {version!r}",
            data=post(b"Content-Length: %d\r\n" % len(HIDDEN), HIDDEN, line=line),
        )
    for method in (
        b"post",
        b"Post",
        b"P\xd6ST",
        b"PO ST",
        b"\tPOST",
        b" POST",
        b"PO\x00ST",
        b"CONNECT",
    ):
        line = b"%b %b HTTP/1.1\r\n" % (method, target)
        yield Case(name=f"method {method!r}", data=post(b"Content-Length: 0\r\n", b"", line=line))
    for between in (b"  ", b"\t", b"\x0b", b"\x0c", b"\xa0", b"\x00", b" \t"):
        line = b"POST%b%b HTTP/1.1\r\n" % (between, target)
        yield Case(
            name=f"{between!r} after the method",
            data=post(b"Content-Length: 0\r\n", b"", line=line),
        )
        line = b"POST %b%bHTTP/1.1\r\n" % (target, between)
        yield Case(
            name=f"{between!r} before the version",
            data=post(b"Content-Length: 0\r\n", b"", line=line),
        )
    for end in (b"\n", b"\r", b"\r\r\n", b"\n\r", b"\x85", b"\xe2\x80\xa8", b"\x0b\r\n"):
        text = post(b"Content-Length: 0\r\n", b"")
        yield Case(name=f"{end!r} ends the first line", data=text.replace(b"\r\n", end, 1))
        yield Case(name=f"{end!r} ends every line", data=text.replace(b"\r\n", end))
        yield Case(name=f"{end!r} ends the head", data=text[:-2] + end + b"\r\n" * (end == b"\r"))
    for before in (
        b"\n",
        b"\r\n\r\n",
        b"\r",
        b" ",
        b"\x00",
        b"\xef\xbb\xbf",
        b"0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
    ):
        yield Case(
            name=f"{before!r} before the request",
            data=before + post(b"Content-Length: 0\r\n", b""),
        )


def _targets() -> Iterator[Case]:
    """Targets and hosts that two readers may take for different ones."""
    refused = (
        *(b"", b"*", b"v2/models/demo/infer", b"//v2/models/demo/infer", b"/v2//models/demo/infer"),
        *(
            b"/v2/models/demo/../demo/infer",
            b"/v2/./models/demo/infer",
            b"/v2/models/demo/infer/..",
        ),
        *(b"/v2/models/demo%2finfer", b"/v2/models/demo%5cinfer", b"/v2/models/demo\\infer"),
        *(b"/v2/models/%2e%2e/models/demo/infer", b"/v2/models/demo/..;/demo/infer"),
        *(
            b"/v2/models/demo/infer%00",
            b"/v2/models/demo/infer%0d%0aX:%20y",
            b"/v2/models/demo/infer#x",
        ),
        *(b"/v2/models/demo/infer%", b"/v2/models/demo/infer%2", b"/v2/models/demo/infer%zz"),
        *(
            b"/v2/models/demo/inf\xc3\xa9r",
            b"/v2/models/demo/infer\x7f",
            b"/v2/models/demo/infer%ff",
        ),
        *(b"http://other/v2/models/demo/infer", b"http://gw@other/v2/models/demo/infer"),
        *(b"http://gw:80@other/v2/models/demo/infer", b"http:/v2/models/demo/infer", b"http://gw"),
        *(b"ftp://gw/v2/models/demo/infer", b"gw:80", b"http:///v2/models/demo/infer"),
        *(b"/v2/repository/index", b"/v2/models/demo/load", b"/v2/systemsharedmemory/status"),
    )
    for target in refused:
        line = b"POST %b HTTP/1.1\r\n" % target
        yield Case(name=f"target {target!r}", data=post(b"Content-Length: 0\r\n", b"", line=line))
    hosts = (
        *(
            b"",
            b"Host:\r\n",
            b"Host: \r\n",
            b"Host: gw\r\nHost: gw\r\n",
            b"Host: gw\r\nHost: other\r\n",
        ),
        *(b"Host: gw, other\r\n", b"Host: gw other\r\n", b"Host: gw/x\r\n", b"Host: a@gw\r\n"),
        *(
            b"Host: gw:\r\n",
            b"Host: gw:x\r\n",
            b"Host: gw:1:2\r\n",
            b"Host: [::1\r\n",
            b"Host: gw\x00\r\n",
        ),
        *(
            b"Host : gw\r\n",
            b"Host: gw\r\n x\r\n",
            b" Host: gw\r\n",
            b"Host: gw?x\r\n",
            b"Host: gw#x\r\n",
        ),
    )
    for host in hosts:
        yield Case(name=f"host {host!r}", data=LINE + host + b"Content-Length: 0\r\n\r\n")


def _splitting() -> Iterator[Case]:
    """Values that would be lines of their own to whoever takes another line end."""
    injected = b"Transfer-Encoding: chunked"
    for end in (
        b"\r",
        b"\n",
        b"\n\n",
        b"\r\r",
        b"\x0b",
        b"\x0c",
        b"\x00",
        b"\x85",
        b"\xe2\x80\xa8",
    ):
        yield Case(
            name=f"{end!r} within a value",
            data=post(b"X: y%b%b\r\nContent-Length: 0\r\n" % (end, injected), b""),
            verdict=Verdict.EITHER,
        )
        yield Case(
            name=f"{end!r} within a name",
            data=post(b"X%bY: z\r\nContent-Length: 0\r\n" % end, b""),
        )
    for name in (b"", b"(x)", b"x/y", b"x@y", b"x y", b'"x"', b"x\x7f", b"{x}", b"\xff", b"x="):
        yield Case(name=f"name {name!r}", data=post(b"%b: y\r\nContent-Length: 0\r\n" % name, b""))
    yield Case(name="a line without colon", data=post(b"X\r\nContent-Length: 0\r\n", b""))
    yield Case(name="a head of 128 KiB", data=post(b"X: %b\r\n" % (b"y" * 2**17), b""))
    yield Case(name="1,000 fields", data=post(b"X: y\r\n" * 1000, b""))


def _connections() -> Iterator[Case]:
    """Fields that Connection would have taken out on the way."""
    body = b"hello"
    length = b"Content-Length: 5\r\n"
    for named in (
        b"Content-Length",
        b"Host",
        b"Transfer-Encoding",
        b"close, Content-Length",
        b"X, Host",
    ):
        yield Case(
            name=f"connection: {named!r}",
            data=post(length + b"Connection: %b\r\n" % named, body),
            verdict=Verdict.PASSED,
            body=body,
        )
    for offer in (b"h2c", b"websocket", b"HTTP/2.0", b"TLS/1.0"):
        fields = length + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: %b\r\n" % offer
        yield Case(
            name=f"upgrade: {offer!r}",
            data=post(fields + b"HTTP2-Settings: AAMAAABkAAQAAP__\r\n", body),
            verdict=Verdict.EITHER,
            body=body,
        )
    for expected in (b"100-continue", b"100-Continue"):
        yield Case(
            name=f"expect: {expected!r}",
            data=post(length + b"Expect: %b\r\n" % expected, body),
            verdict=Verdict.PASSED,
            body=body,
        )
    for expected in (b"", b"101", b"100-continue, x", b"x"):
        yield Case(
            name=f"expect: {expected!r}", data=post(length + b"Expect: %b\r\n" % expected, body)
        )


def _good() -> Iterator[Case]:
    """What must pass as it is, however it looks."""
    for method, body in ((b"POST", b"hello"), (b"POST", HIDDEN), (b"POST", b"")):
        line = b"%b /v2/models/demo/infer HTTP/1.1\r\n" % method
        yield Case(
            name=f"{method.decode()} of {len(body)} bytes",
            data=post(b"Content-Length: %d\r\n" % len(body), body, line=line),
            verdict=Verdict.PASSED,
            body=body,
        )
    yield Case(
        name="an empty line first",
        data=b"\r\n" + post(b"Content-Length: 5\r\n", b"hello"),
        verdict=Verdict.PASSED,
        body=b"hello",
    )
    yield Case(
        name="an absolute target that agrees",
        data=post(
            b"Content-Length: 5\r\n",
            b"hello",
            line=b"POST http://gw/v2/models/demo/infer HTTP/1.1\r\n",
        ),
        verdict=Verdict.PASSED,
        body=b"hello",
    )
