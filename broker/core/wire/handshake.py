"""The handshake: which dialect two peers speak.

Spoken in ``none``. A server begins: it offers the names of its dialects, best first. The client
answers with the name of the first that it knows, and both change over at once; the next bytes,
which may be in the same segment, are of that dialect. Then each sends its version. A Twisted client
takes ``pb`` from any offer that holds it.

A server with a login names its ways to log in behind the dialects, see
`broker.core.wire.login_names`. That string is no dialect: a client that chooses it is refused.

==========  ========================  =====================  ==========
state       expects                   then sends             and is
==========  ========================  =====================  ==========
CHOOSING    (client) list of names    the name it picked     settled
OFFERED     (server) one name         nothing                settled
==========  ========================  =====================  ==========
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

from broker.core.wire.dialects import DIALECTS, Dialect
from broker.core.wire.login_names import read_names, write_names
from jelly.atoms import Expression
from jelly.errors import ProtocolError

__all__ = ["Handshake"]


class Handshake:
    """One side's part in choosing a dialect.

    Args:
        is_client: which side this is.
        offered: the dialects of this side, best first.

    Attributes:
        logins: of a client: the names of the logins that the server takes, as it gave them; None
            where it gave none, and before its offer.
        name_logins: of a server with a login: returns those names, when the offer is made.
    """

    __slots__ = ("_is_client", "_known", "logins", "name_logins")

    def __init__(self, is_client: bool, offered: Sequence[Dialect] = DIALECTS):
        self.logins: tuple[str, ...] | None = None
        self.name_logins: Callable[[], Sequence[str]] | None = None
        self._is_client = is_client
        self._known = {dialect.name: dialect for dialect in offered}

    def opening(self) -> Expression | None:
        """Return what this side sends before it hears anything."""
        if self._is_client:
            return None
        offer: list[Expression] = list(self._known)
        if self.name_logins is not None:
            offer.append(write_names(self.name_logins()))
        return offer

    def receive(self, expression: Expression) -> tuple[Dialect, Expression | None]:
        """Return the dialect that is settled by the peer's part, and the reply that is due.

        Raises:
            ProtocolError: the peer's part is none, or names no dialect of this side, or the logins
                in it cannot be read.
        """
        if self._is_client:
            dialect = self._pick(expression)
            return dialect, dialect.name
        return self.named(expression), None

    def named(self, name: Expression) -> Dialect:
        """Return the dialect of this side that has a name.

        Raises:
            ProtocolError: none has it.
        """
        if type(name) is not bytes or name not in self._known:
            raise ProtocolError("the peer chose a dialect that was not offered")
        return self._known[name]

    def _pick(self, offer: Expression) -> Dialect:
        if type(offer) is not list or not all(type(name) is bytes for name in offer):
            raise ProtocolError("the peer is not a Perspective Broker server")
        names = cast(list[bytes], offer)
        self.logins = read_names(names)
        for name in names:
            if name in self._known:
                return self._known[name]
        raise ProtocolError("no dialect in common with the server")
