"""Credit: how many items and bytes of a stream its producer may still send.

The credit has two numbers. A frame of k items and b bytes is allowed while at least k items and one
byte are left, and takes both numbers away. So the bytes can fall below 0 by one frame. The reader
gives credit back for items that its program has taken.
"""

from __future__ import annotations

from collections.abc import Mapping

from jelly.errors import ProtocolError

__all__ = ["META_KEY", "Allowance", "Credit", "credit_in", "credit_text"]

META_KEY = "credit"
"""The key of the first credit in the metadata of a call."""

_MOST = (1 << 31) - 1


def credit_text(credit: tuple[int, int]) -> str:
    """Return a first credit as the text of metadata."""
    return f"{credit[0]},{credit[1]}"


def credit_in(meta: Mapping[str, str] | None) -> tuple[int, int] | None:
    """Return the first credit that the metadata of a call asks for; None without a legal one."""
    items, comma, size = (meta or {}).get(META_KEY, "").partition(",")
    parts = items, size
    if not comma or not all(part.isascii() and part.isdigit() for part in parts):
        return None
    if max(map(len, parts)) > len(str(_MOST)):
        return None
    return max(1, int(items)), max(1, int(size))


class Credit:
    """The credit that the producer of a stream has.

    Args:
        items, size: the first credit, in items and in bytes.

    Attributes:
        items, size: what is left; the size may be negative.
    """

    __slots__ = ("items", "size")

    def __init__(self, items: int, size: int):
        self.items = items
        self.size = size

    @property
    def is_spent(self) -> bool:
        """Whether nothing may be sent now."""
        return self.items <= 0 or self.size <= 0

    def add(self, items: int, size: int) -> None:
        """Take credit of the reader."""
        self.items += items
        self.size += size

    def take(self, items: int, size: int) -> None:
        """Use credit for a frame."""
        self.items -= items
        self.size -= size


class Allowance:
    """The credit that the reader of a stream has given.

    Args:
        items, size: the first credit, in items and in bytes.
        least_items, least_size: the first credit of a producer that does not know these numbers
            yet; more than them is not against the rules.
    """

    __slots__ = ("_items", "_left", "_size", "_used", "_used_items")

    def __init__(self, items: int, size: int, least_items: int = 0, least_size: int = 0):
        self._items = items
        self._size = size
        self._left = Credit(max(items, least_items), max(size, least_size))
        self._used = 0
        self._used_items = 0

    @property
    def items(self) -> int:
        """The items that the producer may still send."""
        return self._left.items

    @property
    def size(self) -> int:
        """The bytes that it may still send; may be negative."""
        return self._left.size

    def charge(self, stream: int, items: int, size: int) -> None:
        """Count a frame of the producer.

        Raises:
            ProtocolError: it is beyond the credit.
        """
        left = self._left
        if left.items < items:
            raise ProtocolError(f"stream {stream}: {items - left.items} items beyond its credit")
        if left.size <= 0:
            raise ProtocolError(f"stream {stream}: a frame beyond its credit of bytes")
        left.take(items, size)

    def raise_by(self, size: int) -> None:
        """Give more bytes from now on; the caller sends them."""
        self._size += size
        self._left.add(0, size)

    def give_back(self, items: int, size: int) -> tuple[int, int] | None:
        """Note that the program has taken items; return the credit to send, or None.

        Credit is sent when half of it is used.
        """
        self._used_items += items
        self._used += size
        if self._used_items * 2 < self._items and self._used * 2 < self._size:
            return None
        given = self._used_items, self._used
        self._used_items = self._used = 0
        self._left.add(*given)
        return given
