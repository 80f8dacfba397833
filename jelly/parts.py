"""Parts: the bytes of something that is not whole yet, kept as the pieces that came."""

from __future__ import annotations

__all__ = ["Parts"]

# Each piece is an object of 33 bytes besides its own: were small ones not joined now and then,
# 16 MiB in pieces of two bytes would take 350 MB.
_MOST_LOOSE = 1024


class Parts:
    """Pieces, which cost little more than their bytes, and no copying for each of them.

    Attributes:
        size: bytes of all of them.
    """

    __slots__ = ("_joined", "_pieces", "size")

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._joined = 0
        self.size = 0

    def add(self, piece: bytes) -> None:
        """Keep one more."""
        pieces = self._pieces
        pieces.append(piece)
        self.size += len(piece)
        if len(pieces) - self._joined >= _MOST_LOOSE:
            pieces[self._joined :] = [b"".join(pieces[self._joined :])]
            self._joined += 1

    def take(self) -> bytes:
        """Return all of them, joined, and keep none."""
        data = b"".join(self._pieces)
        self._pieces.clear()
        self._joined = self.size = 0
        return data
