"""The login of IRC: collects what CAP, AUTHENTICATE, PASS, NICK and USER tell."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

__all__ = ["BadResponse", "Registration", "SASLPlain"]

PIECE = 400
"""The characters of a piece of a SASL response; a shorter one is the last."""

LONGEST_RESPONSE = 2_400
"""The most characters of a response: a name of 256 bytes twice, and a password of 1,024."""


class BadResponse(Exception):
    """A SASL response is not one of PLAIN, or is too long."""


class SASLPlain:
    """Puts a response of SASL PLAIN together (RFC 4616), which comes in pieces of base64."""

    def __init__(self) -> None:
        self._pieces = ""

    def add(self, piece: str) -> tuple[str, str] | None:
        """Add a piece; return name and password after the last one, else None.

        Raises:
            BadResponse: it is too long, or not of that form, or for another user.
        """
        if piece != "+":
            self._pieces += piece
        if len(piece) > PIECE or len(self._pieces) > LONGEST_RESPONSE:
            raise BadResponse("SASL message too long")
        if len(piece) == PIECE:
            return None
        try:
            text = base64.b64decode(self._pieces, validate=True).decode()
            authorized, name, password = text.split("\0")
        except (ValueError, binascii.Error):
            raise BadResponse("not a response of SASL PLAIN") from None
        if authorized not in ("", name):
            raise BadResponse("you cannot log in for somebody else")
        return name, password


@dataclass
class Registration:
    """What a client has told before it is welcome.

    Attributes:
        nick, user, password: of NICK, USER and PASS; empty before.
        negotiates: whether CAP has begun and not ended.
        sasl: the response that is coming in; None outside of AUTHENTICATE.
        is_done: whether the client is welcome.
    """

    nick: str = ""
    user: str = ""
    password: str = ""
    negotiates: bool = False
    sasl: SASLPlain | None = None
    is_done: bool = False

    @property
    def is_complete(self) -> bool:
        """Whether nothing is missing but the check of the password."""
        return bool(self.nick and self.user) and not self.negotiates and not self.is_done
