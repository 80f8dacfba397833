"""What both ends of the demonstration share: tags, texts, a login, a contract and an error."""

from __future__ import annotations

from types import MappingProxyType
from typing import Protocol

import broker

__all__ = ["ANNOUNCEMENT", "BOARD", "CALL", "LOGINS", "SEAT", "THANKS", "SoldOut", "Till"]

SEAT = "demo.Seat"
BOARD = "demo.Board"

CALL = "curtain up in five minutes"
THANKS = "coming"
ANNOUNCEMENT = "the doors are open"

LOGINS = MappingProxyType({"alice": "open sesame"})


class Till(Protocol):
    """The typed methods for every visitor."""

    async def price(self, seats: int) -> int:
        """Return the price of some seats, in euros."""
        ...


@broker.register
class SoldOut(broker.Error):
    """The seat has been sold."""
