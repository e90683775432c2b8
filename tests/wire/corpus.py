"""Requests that two readers might read two ways: made from the grammar and from published attacks.

Sources of the techniques: RFC 9112 (6.1, 6.3, 11.2); Linhart, Klein, Heled and Orrin, "HTTP Request
Smuggling" (2005); Kettle, "HTTP Desync Attacks" (2019) and "Browser-Powered Desync Attacks" (2022);
Klein, "HTTP Request Smuggling in 2020"; Kettle, "HTTP/1.1 must die" (2025); Kolokotronis and others
on chunk extensions and line ends (2025).

Every body below hides a request for `SMUGGLED`: whoever takes another framing than the gateway's
would see it as a request of its own.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import product

__all__ = ["CANARY", "SMUGGLED", "Case", "Verdict", "cases"]

SMUGGLED = b"/v2/models/demo/smuggled"
CANARY = (
    b"POST /v2/models/demo/infer HTTP/1.1\r\nHost: gw\r\nX-Canary: sings\r\n"
    b"Connection: close\r\nContent-Length: 6\r\n\r\ncanary"
)
_LINE = b"POST /v2/models/demo/infer HTTP/1.1\r\n"
_HOST = b"Host: gw\r\n"
_HIDDEN = b"GET %b HTTP/1.1\r\nHost: gw\r\n\r\n" % SMUGGLED
# As chunked it is a body of 5 bytes with something behind it; by its length it is all body.
_BODY = b"5\r\nhello\r\n0\r\n\r\n"
_SPLIT = _BODY + _HIDDEN


class Verdict(Enum):
    """What must become of a case."""

    REFUSED = "refused"
    """Answered 4xx; nothing that is a whole request reaches the back."""
    PASSED = "passed"
    """Answered by the model, with the body that the case tells."""
    EITHER = "either"
    """Refused, or passed with one meaning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One connection's worth of bytes, before the canary."""

    name: str
    data: bytes
    verdict: Verdict = Verdict.REFUSED
    body: bytes | None = None
    """What the model must see as the body, where it passes."""


def cases() -> Iterator[Case]:
    """All of them; every name is there once."""
    yield from _length_and_coding()
    yield from _codings()
    yield from _lengths()
    yield from _swept()
    yield from _chunks()
    yield from _lines()
    yield from _targets()
    yield from _splitting()
    yield from _connections()
    yield from _good()


def _post(fields: bytes, body: bytes, *, line: bytes = _LINE) -> bytes:
    return line + _HOST + fields + b"\r\n" + body


_TE = {
    "plain": b"Transfer-Encoding: chunked\r\n",
    "lower": b"transfer-encoding: chunked\r\n",
    "mixed": b"TrAnSfEr-EnCoDiNg: ChUnKeD\r\n",
    "tab": b"Transfer-Encoding:\tchunked\r\n",
    "no space": b"Transfer-Encoding:chunked\r\n",
    "trailing space": b"Transfer-Encoding: chunked \r\n",
    "space before colon": b"Transfer-Encoding : chunked\r\n",
    "tab before colon": b"Transfer-Encoding\t: chunked\r\n",
    "vertical tab": b"Transfer-Encoding:\x0bchunked\r\n",
    "form feed": b"Transfer-Encoding:\x0cchunked\r\n",
    "nul": b"Transfer-Encoding:\x00chunked\r\n",
    "folded": b"Transfer-Encoding:\r\n chunked\r\n",
    "folded name": b"Transfer-\r\n Encoding: chunked\r\n",
    "behind a bare lf": b"X: x\nTransfer-Encoding: chunked\r\n",
    "behind a bare cr": b"X: x\rTransfer-Encoding: chunked\r\n",
    "behind a folded line": b"X: x\r\n Transfer-Encoding: chunked\r\n",
    "quoted": b'Transfer-Encoding: "chunked"\r\n',
    "single quoted": b"Transfer-Encoding: 'chunked'\r\n",
    "parameter": b"Transfer-Encoding: chunked;q=0.5\r\n",
    "list": b"Transfer-Encoding: identity, chunked\r\n",
    "list backwards": b"Transfer-Encoding: chunked, identity\r\n",
    "list with empty": b"Transfer-Encoding: chunked,\r\n",
    "list from empty": b"Transfer-Encoding: ,chunked\r\n",
    "gzip": b"Transfer-Encoding: gzip, chunked\r\n",
    "twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    "twice, one unknown": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: cow\r\n",
    "unknown, then it": b"Transfer-Encoding: cow\r\nTransfer-Encoding: chunked\r\n",
    "identity": b"Transfer-Encoding: identity\r\n",
    "cow": b"Transfer-Encoding: cow\r\n",
    "chunk": b"Transfer-Encoding: chunk\r\n",
    "chunkedx": b"Transfer-Encoding: chunkedx\r\n",
    "xchunked": b"Transfer-Encoding: xchunked\r\n",
    "empty": b"Transfer-Encoding:\r\n",
    "bracketed": b"Transfer-Encoding: [chunked]\r\n",
    "long s": "Transfer-Encoding: chunked\r\n".replace("k", "\u212a").encode(),
    "bom": b"\xef\xbb\xbfTransfer-Encoding: chunked\r\n",
    "underscore": b"Transfer_Encoding: chunked\r\n",
    "space within": b"Transfer Encoding: chunked\r\n",
    "content-encoding": b"Content-Encoding: chunked\r\n",
    "te": b"TE: chunked\r\n",
    "connection names it": b"Transfer-Encoding: chunked\r\nConnection: transfer-encoding\r\n",
}
_IS_CHUNKED = {"plain", "lower", "mixed", "tab", "no space", "trailing space"}
_MEANS_NOTHING = {"underscore", "content-encoding", "te"}
_CL = {
    "right": b"Content-Length: %d\r\n",
    "zero": b"Content-Length: 0\r\n",
    "short": b"Content-Length: 4\r\n",
    "lower": b"content-length: %d\r\n",
}


def _length_and_coding() -> Iterator[Case]:
    """CL.TE, TE.CL: each spelling of one with each of the other, in both orders."""
    for (te, coding), (cl, length), first in product(_TE.items(), _CL.items(), (True, False)):
        spelled = length % len(_SPLIT) if b"%d" in length else length
        fields = spelled + coding if first else coding + spelled
        passes = te in _MEANS_NOTHING
        yield Case(
            name=f"{'cl.te' if first else 'te.cl'}: {te}, {cl}",
            data=_post(fields, _SPLIT),
            verdict=Verdict.EITHER if passes else Verdict.REFUSED,
        )


def _codings() -> Iterator[Case]:
    """Each spelling alone."""
    for te, coding in _TE.items():
        chunked = te in _IS_CHUNKED
        yield Case(
            name=f"te: {te}",
            data=_post(coding, _BODY),
            verdict=Verdict.PASSED
            if chunked
            else Verdict.EITHER
            if te in {*_MEANS_NOTHING, "connection names it"}
            else Verdict.REFUSED,
            body=b"hello" if chunked else None,
        )
    for one, other in product(("plain", "cow", "identity", "xchunked", "empty"), repeat=2):
        yield Case(name=f"te.te: {one}, {other}", data=_post(_TE[one] + _TE[other], _SPLIT))
    old = b"POST /v2/models/demo/infer HTTP/1.0\r\n"
    yield Case(name="te on 1.0", data=_post(_TE["plain"], _SPLIT, line=old))
    yield Case(
        name="te on 1.0, kept alive",
        data=_post(_TE["plain"] + b"Connection: keep-alive\r\n", _SPLIT, line=old),
    )


def _lengths() -> Iterator[Case]:
    """Lengths that are odd, repeated or disagree."""
    odd = (
        *(b"+5", b"-5", b"5 5", b"5,5", b"5, 5", b"5;5", b"0x5", b"0b1", b"5.0", b"5e0", b"1_0"),
        *(b"", b" ", b",", b"5,", b",5", b"five", b"\xb2", "\u0665".encode(), b"\x005", b"5\x00"),
        *(b"18446744073709551621", b"9" * 400, b"5\x0b", b"\x0b5", b"5\x0c", b"(5)", b'"5"'),
    )
    for value in odd:
        yield Case(
            name=f"cl: {value!r:.40}", data=_post(b"Content-Length: %b\r\n" % value, b"hello")
        )
    for one, other in product((b"5", b"05", b"6", b"0"), repeat=2):
        fields = b"Content-Length: %b\r\nContent-Length: %b\r\n" % (one, other)
        yield Case(name=f"cl.cl: {one!r}, {other!r}", data=_post(fields, b"hello"))
    for spelled in (b"5", b"005"):
        yield Case(
            name=f"cl: {spelled!r} is a number",
            data=_post(b"Content-Length: %b\r\n" % spelled, b"hello"),
            verdict=Verdict.PASSED,
            body=b"hello",
        )
    yield Case(
        name="cl: none, and a body nobody announced",
        data=_post(b"", _HIDDEN),
        verdict=Verdict.EITHER,
    )


_ODD_BYTES = (*range(0x00, 0x21), 0x7F, 0x80, 0x85, 0xA0, 0xAD, 0xC2, 0xE2, 0xEF, 0xFE, 0xFF)
_PLACES = {
    "before a name": b"%bTransfer-Encoding: chunked\r\n",
    "before a colon": b"Transfer-Encoding%b: chunked\r\n",
    "after a colon": b"Transfer-Encoding:%bchunked\r\n",
    "before a line's end": b"Transfer-Encoding: chunked%b\r\n",
    "within a name": b"Transfer-%bEncoding: chunked\r\n",
    "within a value": b"Transfer-Encoding: chun%bked\r\n",
    "for a line's end": b"Transfer-Encoding: chunked%bX: y\r\n",
    "after a line's end": b"X: y\r\n%bTransfer-Encoding: chunked\r\n",
}


def _swept() -> Iterator[Case]:
    """Every odd byte in every place where readers are known to be lenient."""
    for (place, spelled), byte in product(_PLACES.items(), _ODD_BYTES):
        odd = bytes((byte,))
        blank = place in {"after a colon", "before a line's end"} and odd in b" \t"
        length = b"" if blank else b"Content-Length: %d\r\n" % len(_SPLIT)
        yield Case(
            name=f"0x{byte:02x} {place}",
            data=_post(length + spelled % odd, _BODY if blank else _SPLIT),
            verdict=Verdict.EITHER,
            body=b"hello" if blank else None,
        )


def _chunks() -> Iterator[Case]:
    """Sizes, extensions, line ends and trailers of a chunked body."""
    bodies = {
        "plus": b"+5\r\nhello\r\n0\r\n\r\n",
        "minus": b"-5\r\nhello\r\n0\r\n\r\n",
        "0x": b"0x5\r\nhello\r\n0\r\n\r\n",
        "underscore": b"0_5\r\nhello\r\n0\r\n\r\n",
        "leading space": b" 5\r\nhello\r\n0\r\n\r\n",
        "leading tab": b"\t5\r\nhello\r\n0\r\n\r\n",
        "trailing space": b"5 \r\nhello\r\n0\r\n\r\n",
        "empty": b"\r\nhello\r\n0\r\n\r\n",
        "only an extension": b";x\r\nhello\r\n0\r\n\r\n",
        "overflow 64": b"10000000000000005\r\nhello\r\n0\r\n\r\n",
        "overflow 32": b"100000005\r\nhello\r\n0\r\n\r\n",
        "huge": b"f" * 40 + b"\r\nhello\r\n0\r\n\r\n",
        "letters": b"g\r\nhello\r\n0\r\n\r\n",
        "fullwidth": "\uff15\r\nhello\r\n0\r\n\r\n".encode(),
        "lf after the size": b"5\nhello\r\n0\r\n\r\n",
        "cr after the size": b"5\rhello\r\n0\r\n\r\n",
        "lf after the data": b"5\r\nhello\n0\r\n\r\n",
        "cr after the data": b"5\r\nhello\r0\r\n\r\n",
        "nothing after the data": b"5\r\nhello0\r\n\r\n",
        "two bytes for the line's end": b"5\r\nhelloXX0\r\n\r\n",
        "lf in an extension": b"5;a\nb\r\nhello\r\n0\r\n\r\n",
        "cr in an extension": b"5;a\rb\r\nhello\r\n0\r\n\r\n",
        "nul in an extension": b"5;a\x00b\r\nhello\r\n0\r\n\r\n",
        "lf ends an extension": b"5;a\nhello\r\n0\r\n\r\n",
        "lf in a quoted extension": b'5;a="\n0\r\n\r\n' + _HIDDEN + b'"\r\nhello\r\n0\r\n\r\n',
        "endless extension": b"5;" + b"a" * 70_000 + b"\r\nhello\r\n0\r\n\r\n",
        "too long": b"6\r\nhello\r\n0\r\n\r\n",
        "too short": b"4\r\nhello\r\n0\r\n\r\n",
        "lf for the end": b"5\r\nhello\r\n0\n\n",
        "lf for the last end": b"5\r\nhello\r\n0\r\n\n",
        "cr for the last end": b"5\r\nhello\r\n0\r\n\rX",
        "trailer without colon": b"5\r\nhello\r\n0\r\nX\r\n\r\n",
        "trailer folded": b"5\r\nhello\r\n0\r\nX: y\r\n z\r\n\r\n",
        "trailer with space before its colon": b"5\r\nhello\r\n0\r\nX : y\r\n\r\n",
        "trailer with a bare lf": b"5\r\nhello\r\n0\r\nX: y\nZ: z\r\n\r\n",
        "trailer with nul": b"5\r\nhello\r\n0\r\nX: y\x00\r\n\r\n",
        "a request in a trailer": b"5\r\nhello\r\n0\r\n" + _HIDDEN,
        "endless trailers": b"5\r\nhello\r\n0\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
    }
    for name, body in bodies.items():
        yield Case(name=f"chunk: {name}", data=_post(_TE["plain"], body))
    good = {
        "upper-case size": b"A\r\nhellohello\r\n0\r\n\r\n",
        "leading zeros": b"0005\r\nhello\r\n000\r\n\r\n",
        "several": b"1\r\nh\r\n4\r\nello\r\n0\r\n\r\n",
        "an extension": b"5;a=b\r\nhello\r\n0\r\n\r\n",
        "a quoted extension": b'5;a="b;c"\r\nhello\r\n0;x\r\n\r\n',
        "a trailer": b"5\r\nhello\r\n0\r\nX-Trailer: y\r\n\r\n",
        "a body that looks like chunks": b"f\r\n5\r\nhello\r\n0\r\n\r\n\r\n0\r\n\r\n",
        "a body that looks like a request": b"%x\r\n%b\r\n0\r\n\r\n" % (len(_HIDDEN), _HIDDEN),
    }
    meant = {
        "upper-case size": b"hellohello",
        "a body that looks like chunks": b"5\r\nhello\r\n0\r\n\r\n",
        "a body that looks like a request": _HIDDEN,
    }
    for name, body in good.items():
        yield Case(
            name=f"chunk: {name}",
            data=_post(_TE["plain"], body),
            verdict=Verdict.PASSED,
            body=meant.get(name, b"hello"),
        )
    for named in ("Content-Length: 0", "Transfer-Encoding: chunked", "Host: other"):
        yield Case(
            name=f"chunk: a trailer {named!r}",
            data=_post(_TE["plain"], b"5\r\nhello\r\n0\r\n%b\r\n\r\n" % named.encode()),
            verdict=Verdict.EITHER,
            body=b"hello",
        )


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
            data=_post(b"Content-Length: %d\r\n" % len(_HIDDEN), _HIDDEN, line=line),
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
        yield Case(name=f"method {method!r}", data=_post(b"Content-Length: 0\r\n", b"", line=line))
    for between in (b"  ", b"\t", b"\x0b", b"\x0c", b"\xa0", b"\x00", b" \t"):
        line = b"POST%b%b HTTP/1.1\r\n" % (between, target)
        yield Case(
            name=f"{between!r} after the method",
            data=_post(b"Content-Length: 0\r\n", b"", line=line),
        )
        line = b"POST %b%bHTTP/1.1\r\n" % (target, between)
        yield Case(
            name=f"{between!r} before the version",
            data=_post(b"Content-Length: 0\r\n", b"", line=line),
        )
    for end in (b"\n", b"\r", b"\r\r\n", b"\n\r", b"\x85", b"\xe2\x80\xa8", b"\x0b\r\n"):
        text = _post(b"Content-Length: 0\r\n", b"")
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
            data=before + _post(b"Content-Length: 0\r\n", b""),
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
        yield Case(name=f"target {target!r}", data=_post(b"Content-Length: 0\r\n", b"", line=line))
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
        yield Case(name=f"host {host!r}", data=_LINE + host + b"Content-Length: 0\r\n\r\n")


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
            data=_post(b"X: y%b%b\r\nContent-Length: 0\r\n" % (end, injected), b""),
            verdict=Verdict.EITHER,
        )
        yield Case(
            name=f"{end!r} within a name",
            data=_post(b"X%bY: z\r\nContent-Length: 0\r\n" % end, b""),
        )
    for name in (b"", b"(x)", b"x/y", b"x@y", b"x y", b'"x"', b"x\x7f", b"{x}", b"\xff", b"x="):
        yield Case(name=f"name {name!r}", data=_post(b"%b: y\r\nContent-Length: 0\r\n" % name, b""))
    yield Case(name="a line without colon", data=_post(b"X\r\nContent-Length: 0\r\n", b""))
    yield Case(name="a head of 128 KiB", data=_post(b"X: %b\r\n" % (b"y" * 2**17), b""))
    yield Case(name="1,000 fields", data=_post(b"X: y\r\n" * 1000, b""))


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
            data=_post(length + b"Connection: %b\r\n" % named, body),
            verdict=Verdict.PASSED,
            body=body,
        )
    for offer in (b"h2c", b"websocket", b"HTTP/2.0", b"TLS/1.0"):
        fields = length + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: %b\r\n" % offer
        yield Case(
            name=f"upgrade: {offer!r}",
            data=_post(fields + b"HTTP2-Settings: AAMAAABkAAQAAP__\r\n", body),
            verdict=Verdict.EITHER,
            body=body,
        )
    for expected in (b"100-continue", b"100-Continue"):
        yield Case(
            name=f"expect: {expected!r}",
            data=_post(length + b"Expect: %b\r\n" % expected, body),
            verdict=Verdict.PASSED,
            body=body,
        )
    for expected in (b"", b"101", b"100-continue, x", b"x"):
        yield Case(
            name=f"expect: {expected!r}", data=_post(length + b"Expect: %b\r\n" % expected, body)
        )


def _good() -> Iterator[Case]:
    """What must pass as it is, however it looks."""
    for method, body in ((b"POST", b"hello"), (b"POST", _HIDDEN), (b"POST", b"")):
        line = b"%b /v2/models/demo/infer HTTP/1.1\r\n" % method
        yield Case(
            name=f"{method.decode()} of {len(body)} bytes",
            data=_post(b"Content-Length: %d\r\n" % len(body), body, line=line),
            verdict=Verdict.PASSED,
            body=body,
        )
    yield Case(
        name="an empty line first",
        data=b"\r\n" + _post(b"Content-Length: 5\r\n", b"hello"),
        verdict=Verdict.PASSED,
        body=b"hello",
    )
    yield Case(
        name="an absolute target that agrees",
        data=_post(
            b"Content-Length: 5\r\n",
            b"hello",
            line=b"POST http://gw/v2/models/demo/infer HTTP/1.1\r\n",
        ),
        verdict=Verdict.PASSED,
        body=b"hello",
    )
