"""The few messages of java-tron that tronpy's types leave out, written and read field by field.

The devnet packs transactions by itself, apart from the code that builds ours: one that shared its mistakes would
accept them.
"""

from collections.abc import Iterator

VARINT, BYTES = 0, 2
_FIXED = {1: 8, 5: 4}
_SMALL = [bytes([value]) for value in range(0x80)]


class Malformed(ValueError):
    """Bytes that are no message."""


def varint(value: int) -> bytes:
    """Write an unsigned number; a negative one as its 64 bits."""
    if 0 <= value <= 0x7F:
        return _SMALL[value]
    value &= 0xFFFFFFFFFFFFFFFF
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number: int, value: int | bytes) -> bytes:
    """Write a field; the default of its kind is left out, as protobuf 3 does."""
    if not value:
        return b""
    if isinstance(value, int):
        return varint(number << 3 | VARINT) + varint(value)
    return varint(number << 3 | BYTES) + varint(len(value)) + value


def fields(content: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Read the fields of a message in their order; raise Malformed for anything else."""
    at = 0
    while at < len(content):
        key, at = _varint(content, at)
        number, kind = key >> 3, key & 7
        if kind == VARINT:
            value, at = _varint(content, at)
            yield number, value
        elif kind == BYTES or kind in _FIXED:
            length, at = _varint(content, at) if kind == BYTES else (_FIXED[kind], at)
            if at + length > len(content):
                raise Malformed("a field ends after the message")
            yield number, content[at : at + length]
            at += length
        else:
            raise Malformed(f"wire type {kind}")


def _varint(content: bytes, at: int) -> tuple[int, int]:
    if at < len(content) and content[at] < 0x80:
        return content[at], at + 1
    value = shift = 0
    while True:
        if at >= len(content) or shift > 63:
            raise Malformed("a number has no end")
        byte = content[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
