"""Fields that follow a chunked body: which of them go further. Pure.

Rule 1: a trailer is data about the content, no more. What frames, routes, or belongs to one hop,
        what says who is asking, and what must be known before the body is read goes no further.
Rule 2: they go on where the next hop's body is chunked too; else there is no place for them.
"""

from collections.abc import Sequence

__all__ = ["last_chunk", "passes"]

_BARRED = frozenset(
    {
        *(b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"upgrade"),
        *(b"transfer-encoding", b"content-length", b"host", b"via", b"forwarded", b"x-real-ip"),
        *(b"authorization", b"proxy-authorization", b"proxy-authenticate", b"www-authenticate"),
        *(b"authentication-info", b"proxy-authentication-info", b"cookie", b"set-cookie"),
        *(b"content-encoding", b"content-type", b"content-range", b"range", b"expect"),
        *(b"cache-control", b"max-forwards", b"pragma", b"age", b"expires", b"date", b"vary"),
        *(b"location", b"retry-after", b"warning", b"server-timing", b"http2-settings"),
        *(b"if-match", b"if-none-match", b"if-modified-since", b"if-unmodified-since"),
        *(b"if-range", b"origin"),
    }
)
_BARRED_BEGINNINGS = (b"ebbtide-", b"x-forwarded-", b"access-control-", b"sec-")


def passes(line: bytes, named: Sequence[bytes] = ()) -> bool:
    """Whether the field in `line` may go on. `named`: what the head's Connection field names."""
    name = line.partition(b":")[0].lower()
    if b"_" in name or name in _BARRED or name in named:
        return False
    return not name.startswith(_BARRED_BEGINNINGS)


def last_chunk(trailers: Sequence[bytes], named: Sequence[bytes] = ()) -> bytes:
    """The end of a chunked body, with those of `trailers` that may go on."""
    lines = [line for line in trailers if passes(line, named)]
    return b"\r\n".join([b"0", *lines, b"", b""])
