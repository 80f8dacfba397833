"""Runs of ints with equally many digits, which are encoded and decoded together.

Theory of operation. Each int of a run has a lane of 32 bits in one long integer, whose operations
are done in C. A few of them move the digits of all lanes: from 7 bits each to a byte each, or back.
So an int takes a twentieth of the time that a step of its own takes in Python.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import pack, unpack
from typing import Any

__all__ = ["MANY", "MOST_DIGITS", "Run", "decoded", "in_runs"]

MANY = 256
"""Least number of elements of a list that is looked through for runs; most ints that are encoded
together, in one visit."""

MOST_DIGITS = 4
"""Most digits of an int in a run."""

# Fewest ints that are decoded together, and most.
_FEWEST, _MOST = 8, 1024
_INTS = {int}
_LANES = sum(1 << 32 * lane for lane in range(_MOST))
# By place: the bits of the digit in a number, in each lane; and those of the byte in the run.
_DIGITS = [_LANES * (0x7F << 7 * place) for place in range(MOST_DIGITS)]
_BYTES = [_LANES * (0x7F << 8 * place) for place in range(MOST_DIGITS)]


class Run(bytes):
    """The elements of several ints, one after the other."""

    __slots__ = ()


def in_runs(items: list[Any]) -> Iterator[Any]:
    """Yield the items of a list, or in place of several ints a `Run`; the list is emptied."""
    items.reverse()
    while items:
        ints = items[: -MANY - 1 : -1]
        run = _encoded(ints)
        if run is None:
            for _ in ints:
                yield items.pop()
        else:
            del items[-MANY:]
            yield run


def _encoded(ints: list[Any]) -> Run | None:
    """Return the elements of ints of up to 28 bits; None if they are not alike, or no ints."""
    if len(ints) < _FEWEST or set(map(type, ints)) != _INTS or min(ints) < 0:
        return None
    bits = max(ints).bit_length()
    digits, count = max(1, (bits + 6) // 7), len(ints)
    if digits > MOST_DIGITS or (digits > 1 and not min(ints) >> 7 * (digits - 1)):
        return None
    number = int.from_bytes(pack(f"<{count}I", *ints), "little")
    spread = number & _DIGITS[0]
    for place in range(1, digits):
        spread |= (number & _DIGITS[place]) << place
    lanes, size = spread.to_bytes(4 * count, "little"), digits + 1
    elements = bytearray(b"\x81") * (size * count)
    for place in range(digits):
        elements[place::size] = lanes[place::4]
    return Run(elements)


def decoded(data: bytes, pos: int, size: int, most: int) -> list[Any]:
    """Return the ints of a run; none if it is short.

    Args:
        data, pos: the bytes, and where the first element begins.
        size: bytes of each element.
        most: ints.
    """
    if size > MOST_DIGITS + 1:
        return []
    most = min(most, _MOST, (len(data) - pos) // size)
    run = data[pos : pos + size * most]
    types = run[size - 1 :: size]
    count = most - len(types.lstrip(b"\x81"))
    if count < _FEWEST:
        return []
    run = run[: size * count]
    lanes = bytearray(4 * count)
    for place in range(size - 1):
        digits = run[place::size]
        if not digits.isascii():
            return []
        lanes[place::4] = digits
    spread = int.from_bytes(lanes, "little")
    number = spread & _BYTES[0]
    for place in range(1, size - 1):
        number |= (spread & _BYTES[place]) >> place
    return list(unpack(f"<{count}I", number.to_bytes(4 * count, "little")))
