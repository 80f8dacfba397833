"""What both ends of the demonstration share: tags, texts, one login and one error."""

from __future__ import annotations

from types import MappingProxyType

import broker

__all__ = ["ANNOUNCEMENT", "BOARD", "CALL", "LOGINS", "SEAT", "THANKS", "SoldOut"]

SEAT = "demo.Seat"
BOARD = "demo.Board"

CALL = "curtain up in five minutes"
THANKS = "coming"
ANNOUNCEMENT = "the doors are open"

LOGINS = MappingProxyType({"alice": "open sesame"})


@broker.register
class SoldOut(broker.Error):
    """The seat has been sold."""
