"""Fields of protobuf messages, written; and messages as gRPC frames them. Pure.

Field numbers are 15 at most: no message that the gateway writes needs more.
"""

__all__ = ["framed", "number_field", "string_field"]


def _integer(value: int) -> bytes:
    octets = bytearray()
    while value > 0x7F:
        octets.append(value & 0x7F | 0x80)
        value >>= 7
    octets.append(value)
    return bytes(octets)


def string_field(field: int, text: bytes) -> bytes:
    """A field of a string, of bytes or of a message."""
    return b"%c%b%b" % (field << 3 | 2, _integer(len(text)), text)


def number_field(field: int, value: int) -> bytes:
    """A field of a number, which is not negative; nothing for 0, as proto3 has it."""
    return b"%c%b" % (field << 3, _integer(value)) if value else b""


def framed(message: bytes) -> bytes:
    """An uncompressed message with its prefix."""
    return b"\0%b%b" % (len(message).to_bytes(4, "big"), message)
