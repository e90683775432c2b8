"""Header blocks to try: python-hyper's encoder writes them, a seed or hypothesis chooses."""

import random

import hpack

from gateway.grpc.core.hpack import Decoder, Field, HpackError

__all__ = ["LIMIT", "mutated", "ours", "some_block", "some_fields", "theirs"]

LIMIT = 2**20
_NAMES = [b":path", b":method", b":status", b"x-a", b"x-b", b"grpc-timeout", b"user-agent", b"te"]
_NAMES += [b"x-long-bin", b"authorization", b"content-type", b"", b"x" * 200]
_LENGTHS = (0, 1, 1, 5, 5, 5, 9, 20, 20, 40, 130, 1500)
_OCTETS = bytes(range(256))
_TEXT = b"abcdefgh/0123456789.-_ "


def some_fields(random_: random.Random) -> list[Field]:
    """Fields with values of all lengths and octets; one in five is never to be indexed."""
    fields: list[Field] = []
    for _ in range(random_.randint(0, 6)):
        octets = random_.choice((_TEXT, _TEXT, _OCTETS))
        value = bytes(random_.choices(octets, k=random_.choice(_LENGTHS)))
        kind = hpack.NeverIndexedHeaderTuple if random_.random() < 0.2 else hpack.HeaderTuple
        fields.append(kind(random_.choice(_NAMES), value))
    return fields


def some_block(encoder: hpack.Encoder, random_: random.Random) -> tuple[list[Field], bytes]:
    """Fields, and what the encoder makes of them after it may have resized its table."""
    if random_.random() < 0.05:
        encoder.header_table_size = random_.choice((0, 64, 256, 1024, 4096))
    fields = some_fields(random_)
    return fields, encoder.encode(fields, huffman=random_.random() < 0.5)


def mutated(block: bytes, random_: random.Random) -> bytes:
    """The same with a few octets changed, put in or taken out."""
    octets = bytearray(block)
    for _ in range(random_.randint(1, 4)):
        at = random_.randrange(len(octets) + 1)
        match random_.randrange(4):
            case 0:
                octets.insert(at, random_.randrange(256))
            case 1:
                del octets[at : at + random_.randint(1, 3)]
            case 2:
                octets[at:at] = random_.choice((b"\x20", b"\x3f\xe1\x1f", b"\x80", b"\xff\xff"))
            case _:
                octets[at : at + 1] = bytes((random_.randrange(256),))
    return bytes(octets)


def theirs(decoder: hpack.Decoder, block: bytes) -> list[Field] | None:
    """What python-hyper reads; None: it refuses."""
    try:
        return [tuple(field) for field in decoder.decode(block, raw=True)]
    except hpack.HPACKError:
        return None


def ours(decoder: Decoder, block: bytes) -> list[Field] | None:
    """What we read; None: we refuse."""
    try:
        return [tuple(field) for field in decoder.decode(block, limit=LIMIT)]
    except HpackError:
        return None
