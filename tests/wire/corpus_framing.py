"""Doubtful framing: lengths, codings and chunks. The techniques' sources: `tests.wire.corpus`."""

from collections.abc import Iterator
from itertools import product

from tests.wire.corpus_case import BODY, HIDDEN, SPLIT, Case, Verdict, post

__all__ = ["framings"]


def framings() -> Iterator[Case]:
    """All of them."""
    yield from _length_and_coding()
    yield from _codings()
    yield from _lengths()
    yield from _swept()
    yield from _chunks()


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
        spelled = length % len(SPLIT) if b"%d" in length else length
        fields = spelled + coding if first else coding + spelled
        passes = te in _MEANS_NOTHING
        yield Case(
            name=f"{'cl.te' if first else 'te.cl'}: {te}, {cl}",
            data=post(fields, SPLIT),
            verdict=Verdict.EITHER if passes else Verdict.REFUSED,
        )


def _codings() -> Iterator[Case]:
    """Each spelling alone."""
    for te, coding in _TE.items():
        chunked = te in _IS_CHUNKED
        yield Case(
            name=f"te: {te}",
            data=post(coding, BODY),
            verdict=Verdict.PASSED
            if chunked
            else Verdict.EITHER
            if te in {*_MEANS_NOTHING, "connection names it"}
            else Verdict.REFUSED,
            body=b"hello" if chunked else None,
        )
    for one, other in product(("plain", "cow", "identity", "xchunked", "empty"), repeat=2):
        yield Case(name=f"te.te: {one}, {other}", data=post(_TE[one] + _TE[other], SPLIT))
    old = b"POST /v2/models/demo/infer HTTP/1.0\r\n"
    yield Case(name="te on 1.0", data=post(_TE["plain"], SPLIT, line=old))
    yield Case(
        name="te on 1.0, kept alive",
        data=post(_TE["plain"] + b"Connection: keep-alive\r\n", SPLIT, line=old),
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
            name=f"cl: {value!r:.40}", data=post(b"Content-Length: %b\r\n" % value, b"hello")
        )
    for one, other in product((b"5", b"05", b"6", b"0"), repeat=2):
        fields = b"Content-Length: %b\r\nContent-Length: %b\r\n" % (one, other)
        yield Case(name=f"cl.cl: {one!r}, {other!r}", data=post(fields, b"hello"))
    for spelled in (b"5", b"005"):
        yield Case(
            name=f"cl: {spelled!r} is a number",
            data=post(b"Content-Length: %b\r\n" % spelled, b"hello"),
            verdict=Verdict.PASSED,
            body=b"hello",
        )
    yield Case(
        name="cl: none, and a body nobody announced",
        data=post(b"", HIDDEN),
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
        length = b"" if blank else b"Content-Length: %d\r\n" % len(SPLIT)
        yield Case(
            name=f"0x{byte:02x} {place}",
            data=post(length + spelled % odd, BODY if blank else SPLIT),
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
        "lf in a quoted extension": b'5;a="\n0\r\n\r\n' + HIDDEN + b'"\r\nhello\r\n0\r\n\r\n',
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
        "a request in a trailer": b"5\r\nhello\r\n0\r\n" + HIDDEN,
        "endless trailers": b"5\r\nhello\r\n0\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
    }
    for name, body in bodies.items():
        yield Case(name=f"chunk: {name}", data=post(_TE["plain"], body))
    good = {
        "upper-case size": b"A\r\nhellohello\r\n0\r\n\r\n",
        "leading zeros": b"0005\r\nhello\r\n000\r\n\r\n",
        "several": b"1\r\nh\r\n4\r\nello\r\n0\r\n\r\n",
        "an extension": b"5;a=b\r\nhello\r\n0\r\n\r\n",
        "a quoted extension": b'5;a="b;c"\r\nhello\r\n0;x\r\n\r\n',
        "a trailer": b"5\r\nhello\r\n0\r\nX-Trailer: y\r\n\r\n",
        "a body that looks like chunks": b"f\r\n5\r\nhello\r\n0\r\n\r\n\r\n0\r\n\r\n",
        "a body that looks like a request": b"%x\r\n%b\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN),
    }
    meant = {
        "upper-case size": b"hellohello",
        "a body that looks like chunks": b"5\r\nhello\r\n0\r\n\r\n",
        "a body that looks like a request": HIDDEN,
    }
    for name, body in good.items():
        yield Case(
            name=f"chunk: {name}",
            data=post(_TE["plain"], body),
            verdict=Verdict.PASSED,
            body=meant.get(name, b"hello"),
        )
    for named in ("Content-Length: 0", "Transfer-Encoding: chunked", "Host: other"):
        yield Case(
            name=f"chunk: a trailer {named!r}",
            data=post(_TE["plain"], b"5\r\nhello\r\n0\r\n%b\r\n\r\n" % named.encode()),
            verdict=Verdict.EITHER,
            body=b"hello",
        )
