"""Requests that are not proper HTTP/1.1: smuggled, cut, overlong."""

from tests.wire.stage import INFER

BODY = b"5\r\nhello\r\n0\r\n\r\n"


def line(text: bytes, fields: bytes = b"Host: gw\r\n") -> bytes:
    return text + b"\r\n" + fields + b"\r\n"


def fields(text: bytes, body: bytes = b"") -> bytes:
    return INFER + text + b"\r\n" + body


MALFORMED = {
    # Two lengths, or one that is none.
    "cl and te": fields(b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", BODY),
    "te and cl": fields(b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", BODY),
    "cl twice": fields(b"Content-Length: 5\r\nContent-Length: 5\r\n", b"hello"),
    "cl twice, differing": fields(b"Content-Length: 5\r\nContent-Length: 6\r\n", b"hello"),
    "cl list": fields(b"Content-Length: 5, 5\r\n", b"hello"),
    "cl plus": fields(b"Content-Length: +5\r\n", b"hello"),
    "cl minus": fields(b"Content-Length: -5\r\n", b"hello"),
    "cl hex": fields(b"Content-Length: 0x5\r\n", b"hello"),
    "cl empty": fields(b"Content-Length: \r\n", b"hello"),
    "cl spaced": fields(b"Content-Length: 5 5\r\n", b"hello"),
    "cl huge": fields(b"Content-Length: 18446744073709551621\r\n", b"hello"),
    "cl float": fields(b"Content-Length: 5.0\r\n", b"hello"),
    "cl underscore": fields(b"Content-Length: 1_0\r\n", b"hello"),
    # Codings that are not exactly chunked.
    "te xchunked": fields(b"Transfer-Encoding: xchunked\r\n", BODY),
    "te identity": fields(b"Transfer-Encoding: identity\r\n", BODY),
    "te identity and cl": fields(b"Transfer-Encoding: identity\r\nContent-Length: 5\r\n", b"hello"),
    "te gzip, chunked": fields(b"Transfer-Encoding: gzip, chunked\r\n", BODY),
    "te chunked, identity": fields(b"Transfer-Encoding: chunked, identity\r\n", BODY),
    "te chunked, chunked": fields(b"Transfer-Encoding: chunked, chunked\r\n", BODY),
    "te twice": fields(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", BODY),
    "te then identity": fields(
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", BODY
    ),
    "te parameter": fields(b"Transfer-Encoding: chunked;q=1\r\n", BODY),
    "te quoted": fields(b'Transfer-Encoding: "chunked"\r\n', BODY),
    "te vertical tab": fields(b"Transfer-Encoding: chunked\x0b\r\n", BODY),
    "te leading vertical tab": fields(b"Transfer-Encoding: \x0bchunked\r\n", BODY),
    "te nul": fields(b"Transfer-Encoding: chunked\x00\r\n", BODY),
    "te empty": fields(b"Transfer-Encoding: \r\n", BODY),
    "te comma": fields(b"Transfer-Encoding: ,chunked\r\n", BODY),
    "te folded": fields(b"Transfer-Encoding:\r\n chunked\r\n", BODY),
    "te space before colon": fields(b"Transfer-Encoding : chunked\r\n", BODY),
    "te tab before colon": fields(b"Transfer-Encoding\t: chunked\r\n", BODY),
    "te on 1.0": b"POST /v2/models/demo/infer HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"
    + BODY,
    # Lines and fields.
    "folded": fields(b"X: a\r\n b\r\n"),
    "folded tab": fields(b"X: a\r\n\tb\r\n"),
    "space before colon": fields(b"X : a\r\n"),
    "leading space": b"POST /v2/models/demo/infer HTTP/1.1\r\n Host: gw\r\n\r\n",
    "bare lf in fields": fields(b"X: a\nContent-Length: 5\r\n", b"hello"),
    "bare lf after line": b"POST /v2/models/demo/infer HTTP/1.1\nHost: gw\r\n\r\n",
    "bare lf at the end": b"POST /v2/models/demo/infer HTTP/1.1\r\nHost: gw\r\n\n\r\n",
    "all bare lf": b"POST /v2/models/demo/infer HTTP/1.1\nHost: gw\n\n",
    "bare cr in value": fields(b"X: a\rTransfer-Encoding: chunked\r\n"),
    "bare cr as end": b"POST /v2/models/demo/infer HTTP/1.1\rHost: gw\r\r",
    "nul in value": fields(b"X: a\x00b\r\n"),
    "nul in name": fields(b"X\x00: a\r\n"),
    "control in value": fields(b"X: a\x01b\r\n"),
    "delete in value": fields(b"X: a\x7fb\r\n"),
    "empty name": fields(b": a\r\n"),
    "no colon": fields(b"X\r\n"),
    "name with space": fields(b"X Y: a\r\n"),
    "name with slash": fields(b"X/Y: a\r\n"),
    "name with utf-8": fields(b"X\xc3\xa9: a\r\n"),
    # Hosts.
    "no host": line(b"POST /v2/models/demo/infer HTTP/1.1", b""),
    "two hosts": fields(b"Host: gw\r\n"),
    "two hosts, differing": fields(b"Host: other\r\n"),
    "empty host": line(b"POST /v2/models/demo/infer HTTP/1.1", b"Host:\r\n"),
    "host with path": line(b"POST /v2/models/demo/infer HTTP/1.1", b"Host: gw/x\r\n"),
    "host with user": line(b"POST /v2/models/demo/infer HTTP/1.1", b"Host: a@gw\r\n"),
    "host list": line(b"POST /v2/models/demo/infer HTTP/1.1", b"Host: gw, other\r\n"),
    # Request lines.
    "no version": line(b"GET /v2/models/demo"),
    "no version, lf": b"GET /v2/models/demo\nHost: gw\r\n\r\n",
    "http/0.9": line(b"GET /v2/models/demo HTTP/0.9"),
    "http/1.2": line(b"GET /v2/models/demo HTTP/1.2"),
    "http/2.0": line(b"GET /v2/models/demo HTTP/2.0"),
    "http/1": line(b"GET /v2/models/demo HTTP/1"),
    "http/1.10": line(b"GET /v2/models/demo HTTP/1.10"),
    "http/01.1": line(b"GET /v2/models/demo HTTP/01.1"),
    "lower-case http": line(b"GET /v2/models/demo http/1.1"),
    "rtsp": line(b"OPTIONS /v2/models/demo RTSP/1.0"),
    "half a preface of http/2, and a field": b"PRI * HTTP/2.0\r\nHost: gw\r\n\r\n",
    "two spaces": line(b"GET  /v2/models/demo HTTP/1.1"),
    "two spaces before version": line(b"GET /v2/models/demo  HTTP/1.1"),
    "tab": line(b"GET\t/v2/models/demo HTTP/1.1"),
    "trailing space": line(b"GET /v2/models/demo HTTP/1.1 "),
    "leading line space": line(b" GET /v2/models/demo HTTP/1.1"),
    "leading lf": b"\n" + line(b"GET /v2/models/demo HTTP/1.1"),
    "two empty lines first": b"\r\n\r\n" + line(b"GET /v2/models/demo HTTP/1.1"),
    "lower-case method": line(b"get /v2/models/demo HTTP/1.1"),
    "unknown method": line(b"FOO /v2/models/demo HTTP/1.1"),
    "method with control": line(b"GE\x01T /v2/models/demo HTTP/1.1"),
    "connect": line(b"CONNECT gw:443 HTTP/1.1"),
    "connect with path": line(b"CONNECT /v2/models/demo/infer HTTP/1.1"),
    "asterisk": line(b"OPTIONS * HTTP/1.1"),
    "another authority": line(b"GET http://other/v2/models/demo HTTP/1.1"),
    "another port": line(b"GET http://gw:81/v2/models/demo HTTP/1.1"),
    "https": line(b"GET https://gw/v2/models/demo HTTP/1.1"),
    "fragment": line(b"GET /v2/models/demo#x HTTP/1.1"),
    "space in target": line(b"GET /v2/models /demo HTTP/1.1"),
    "tls hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 50,
    "garbage": b"\x00" * 20,
    # Upgrades and expectations.
    "upgrade to no protocol": fields(b"Connection: Upgrade\r\nUpgrade: a b\r\n"),
    "upgrade to nothing": fields(b"Connection: Upgrade\r\nUpgrade: \r\n"),
    "another expectation": fields(b"Expect: 101-x\r\nContent-Length: 0\r\n"),
}

CHUNKS = {
    "size plus": b"+5\r\nhello\r\n0\r\n\r\n",
    "size minus": b"-1\r\nhello\r\n0\r\n\r\n",
    "size 0x": b"0x5\r\nhello\r\n0\r\n\r\n",
    "size and space": b"5 \r\nhello\r\n0\r\n\r\n",
    "space and size": b" 5\r\nhello\r\n0\r\n\r\n",
    "size overflow": b"10000000000000005\r\nhello\r\n0\r\n\r\n",
    "size none": b"\r\nhello\r\n0\r\n\r\n",
    "size letters": b"xyz\r\nhello\r\n0\r\n\r\n",
    "lf after size": b"5\nhello\r\n0\r\n\r\n",
    "lf after data": b"5\r\nhello\n0\r\n\r\n",
    "cr after size": b"5\rhello\r\n0\r\n\r\n",
    "too long": b"4\r\nhello\r\n0\r\n\r\n",
    "nothing after data": b"5\r\nhello0\r\n\r\n",
    "lf in extension": b"5;a\nb\r\nhello\r\n0\r\n\r\n",
    "cr in extension": b"5;a\rb\r\nhello\r\n0\r\n\r\n",
    "nul in extension": b"5;\x00\r\nhello\r\n0\r\n\r\n",
    "endless extension": b"5;" + b"a" * 5000,
    "bad trailer": b"5\r\nhello\r\n0\r\nno colon\r\n\r\n",
    "spaced trailer": b"5\r\nhello\r\n0\r\nX : y\r\n\r\n",
    "lf in trailer": b"5\r\nhello\r\n0\r\nX: y\n\r\n",
    "endless trailers": b"5\r\nhello\r\n0\r\n" + b"X: y\r\n" * 3000,
}
