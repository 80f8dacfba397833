"""What a msgpack body would cost: its elements counted, head by head, before it is decoded.

A map counts as three elements: one of a single entry takes as much memory as three lists.
"""

from __future__ import annotations

from jelly.errors import LimitExceeded

__all__ = ["check_nodes"]

_SIZES = bytearray(256)  # bytes of an element's head and fixed body, by its first byte
_FOLLOW = bytearray(256)  # how many bytes of the head tell a length; 0 where none does
_WEIGHTS = bytearray(b"\1" * 256)  # how many elements it counts as
for _byte, _size, _length in (
    (0xC4, 2, 1), (0xC5, 3, 2), (0xC6, 5, 4), (0xD9, 2, 1), (0xDA, 3, 2), (0xDB, 5, 4),
    (0xC7, 3, 1), (0xC8, 4, 2), (0xC9, 6, 4),
    (0xCA, 5, 0), (0xCB, 9, 0), (0xCC, 2, 0), (0xCD, 3, 0), (0xCE, 5, 0), (0xCF, 9, 0),
    (0xD0, 2, 0), (0xD1, 3, 0), (0xD2, 5, 0), (0xD3, 9, 0),
    (0xD4, 3, 0), (0xD5, 4, 0), (0xD6, 6, 0), (0xD7, 10, 0), (0xD8, 18, 0),
    (0xDC, 3, 0), (0xDD, 5, 0), (0xDE, 3, 0), (0xDF, 5, 0),
):  # fmt: skip
    _SIZES[_byte] = _size
    _FOLLOW[_byte] = _length
for _byte in (*range(0x80), *range(0x80, 0xA0), 0xC0, 0xC1, 0xC2, 0xC3, *range(0xE0, 0x100)):
    _SIZES[_byte] = 1
for _byte in range(0xA0, 0xC0):
    _SIZES[_byte] = 1 + (_byte & 0x1F)
for _byte in (*range(0x80, 0x90), 0xDE, 0xDF):
    _WEIGHTS[_byte] = 3


def check_nodes(body: memoryview, most: int) -> None:
    """Refuse a body of more elements than ``most``, having looked at no more than so many heads."""
    pos, end, nodes = 0, len(body), 0
    sizes, follow, weights = _SIZES, _FOLLOW, _WEIGHTS
    while pos < end:
        head = body[pos]
        nodes += weights[head]
        if nodes > most:
            raise LimitExceeded(f"expression of more than {most} nodes (max_nodes)")
        length = follow[head]
        step = sizes[head]
        if length:
            step += int.from_bytes(body[pos + 1 : pos + 1 + length], "big")
        pos += step
