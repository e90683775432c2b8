"""The Huffman code of header strings (RFC 7541, 5.2 and Appendix B), decoded by whole bytes. Pure.

The code is canonical: the lengths alone, with the symbols of one length in order, give every code.
A state is the beginning of a code that is not complete yet. What a byte makes of a state is worked
out when it first occurs (there are 65,536 of these at most, and ordinary text needs a few hundred).

Rule 1: what is left at the end is less than eight bits, all of them ones.
Rule 2: the code for the end of a string never stands in one.
"""

from functools import cache

__all__ = ["decode_huffman"]

_EOS = 256

_SYMBOLS: tuple[tuple[int, bytes], ...] = (
    (5, b"012aceiost"),
    (6, b" %-./3456789=A_bdfghlmnpru"),
    (7, b":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz"),
    (8, b"&*,;XZ"),
    (10, b'!"()?'),
    (11, b"'+|"),
    (12, b"#>"),
    (13, b"\x00$@[]~"),
    (14, b"^}"),
    (15, b"<`{"),
    (19, b"\\\xc3\xd0"),
    (20, b"\x80\x82\x83\xa2\xb8\xc2\xe0\xe2"),
    (21, b"\x99\xa1\xa7\xac\xb0\xb1\xb3\xd1\xd8\xd9\xe3\xe5\xe6"),
    (
        22,
        b"\x81\x84\x85\x86\x88\x92\x9a\x9c\xa0\xa3\xa4\xa9\xaa\xad\xb2\xb5\xb9\xba\xbb\xbd\xbe"
        b"\xc4\xc6\xe4\xe8\xe9",
    ),
    (
        23,
        b"\x01\x87\x89\x8a\x8b\x8c\x8d\x8f\x93\x95\x96\x97\x98\x9b\x9d\x9e\xa5\xa6\xa8\xae\xaf"
        b"\xb4\xb6\xb7\xbc\xbf\xc5\xe7\xef",
    ),
    (24, b"\t\x8e\x90\x91\x94\x9f\xab\xce\xd7\xe1\xec\xed"),
    (25, b"\xc7\xcf\xea\xeb"),
    (26, b"\xc0\xc1\xc8\xc9\xca\xcd\xd2\xd5\xda\xdb\xee\xf0\xf2\xf3\xff"),
    (27, b"\xcb\xcc\xd3\xd4\xd6\xdd\xde\xdf\xf1\xf4\xf5\xf6\xf7\xf8\xfa\xfb\xfc\xfd\xfe"),
    (
        28,
        b"\x02\x03\x04\x05\x06\x07\x08\x0b\x0c\x0e\x0f\x10\x11\x12\x13\x14\x15\x17\x18\x19\x1a"
        b"\x1b\x1c\x1d\x1e\x1f\x7f\xdc\xf9",
    ),
    (30, b"\n\r\x16"),
)
"""Length in bits -> the symbols with codes of that length; the end of a string comes last."""


def _codes() -> dict[str, int]:
    """Each code as a string of bits -> its symbol."""
    codes: dict[str, int] = {}
    code = bits = 0
    for length, symbols in _SYMBOLS:
        code <<= length - bits
        bits = length
        for symbol in (*symbols, *((_EOS,) if length == 30 else ())):
            codes[f"{code:0{length}b}"] = symbol
            code += 1
    return codes


_CODES = _codes()
_BEGUN = tuple(sorted({code[:end] for code in _CODES for end in range(len(code))}, key=len))
"""The beginnings of codes; the place of one here is a state. The first is the empty one."""
_STATE = {begun: state for state, begun in enumerate(_BEGUN)}


@cache
def _step(state_and_byte: int) -> tuple[int, bytes, bool]:
    """The state after one more byte, times 256; what it ended; whether a string may end there."""
    at, text = _BEGUN[state_and_byte >> 8], bytearray()
    for bit in f"{state_and_byte & 255:08b}":
        at += bit
        symbol = _CODES.get(at)
        if symbol is not None:
            if symbol == _EOS:
                msg = "the end of a Huffman string stands within one"
                raise ValueError(msg)
            text.append(symbol)
            at = ""
    return _STATE[at] << 8, bytes(text), len(at) < 8 and "0" not in at


def decode_huffman(data: bytes) -> bytes:
    """What `data` stands for. Raises `ValueError` where it breaks a rule of the code."""
    pieces = []
    state, ends = 0, True
    for byte in data:
        state, piece, ends = _step(state | byte)
        pieces.append(piece)
    if not ends:
        msg = "a Huffman string ends in what is no padding"
        raise ValueError(msg)
    return b"".join(pieces)
