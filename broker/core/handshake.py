"""The handshake: which dialect two peers speak.

Spoken in ``none``. A server begins: it offers the names of its dialects, best first. The client
answers with the name of the first that it knows, and both change over at once; the next bytes,
which may be in the same segment, are of that dialect. Then each sends its version. A Twisted client
takes ``pb`` from any offer that holds it.

==========  ========================  =====================  ==========
state       expects                   then sends             and is
==========  ========================  =====================  ==========
CHOOSING    (client) list of names    the name it picked     settled
OFFERED     (server) one name         nothing                settled
==========  ========================  =====================  ==========
"""

from __future__ import annotations

from collections.abc import Sequence

from broker.core.dialects import DIALECTS, Dialect
from jelly.atoms import Expression
from jelly.errors import ProtocolError

__all__ = ["Handshake"]


class Handshake:
    """One side's part in choosing a dialect.

    Args:
        is_client: which side this is.
        offered: the dialects of this side, best first.
    """

    __slots__ = ("_is_client", "_known")

    def __init__(self, is_client: bool, offered: Sequence[Dialect] = DIALECTS):
        self._is_client = is_client
        self._known = {dialect.name: dialect for dialect in offered}

    def opening(self) -> Expression | None:
        """Return what this side sends before it hears anything."""
        return None if self._is_client else list(self._known)

    def receive(self, expression: Expression) -> tuple[Dialect, Expression | None]:
        """Return the dialect that is settled by the peer's part, and the reply that is due.

        Raises:
            ProtocolError: the peer's part is none, or names no dialect of this side.
        """
        if self._is_client:
            dialect = self._pick(expression)
            return dialect, dialect.name
        if type(expression) is not bytes or expression not in self._known:
            raise ProtocolError("the peer chose a dialect that was not offered")
        return self._known[expression], None

    def _pick(self, offer: Expression) -> Dialect:
        if type(offer) is not list or not all(type(name) is bytes for name in offer):
            raise ProtocolError("the peer is not a Perspective Broker server")
        for name in offer:
            if type(name) is bytes and name in self._known:
                return self._known[name]
        raise ProtocolError("no dialect in common with the server")
