"""Bytes that were right, bent: some changed, cut out, put in or copied; and cut into pieces."""

from __future__ import annotations

from collections.abc import Iterator

from fuzz.dice import Dice

__all__ = ["bent", "pieces"]

_SIZES = (1, 2, 3, 5, 8, 16, 64, 300)
# Type bytes of banana and heads of msgpack beside plain chance.
_TELLING = bytes((0x00, 0x01, 0x7F, *range(0x80, 0x91), 0xC0, 0xC1, 0xC4, 0xCA, 0xCF, 0xD3, 0xDB))
_TELLING += bytes((0xDC, 0xDD, 0xDE, 0xDF, 0xFF))


def bent(dice: Dice, data: bytes) -> bytes:
    """Return bytes with up to three changes, in half of all cases with none."""
    changes = dice.below(8)
    if changes > 3 or not changes:
        return data
    bending = bytearray(data)
    for _ in range(changes):
        at = dice.below(len(bending) + 1) if len(bending) < 65535 else dice.below(65536)
        match dice.below(5):
            case 0:
                bending[at:at] = bytes((dice.pick(_TELLING),))
            case 1 if at < len(bending):
                bending[at] = dice.byte()
            case 2:
                del bending[at : at + 1 + dice.below(8)]
            case 3:
                bending[at:at] = dice.octets(8)
            case _:
                start = dice.below(len(bending) + 1) if len(bending) < 65535 else 0
                bending[at:at] = bending[start : start + 1 + dice.below(32)]
    return bytes(bending)


def pieces(dice: Dice, data: bytes) -> Iterator[bytes]:
    """Cut bytes into pieces."""
    if not dice.below(3):
        yield data
        return
    pos, end = 0, len(data)
    while pos < end:
        size = dice.pick(_SIZES)
        yield data[pos : pos + size]
        pos += size
