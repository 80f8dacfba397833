"""The handshake: the two peers agree on a dialect.

Its messages are in the dialect ``none``. The server begins: it offers the names of its dialects,
best first. The client answers with the first name that it knows. Both change to that dialect at
once; the next bytes, which may be in the same segment, are in that dialect. Then each sends its
version. A Twisted client chooses ``pb`` from any offer that contains it.

A server with a login adds the names of its mechanisms after the dialects; see
`broker.core.wire.login_names`. That string is not a dialect: a client that chooses it is refused.

==========  ========================  =====================  ==========
state       expects                   then sends             and is
==========  ========================  =====================  ==========
CHOOSING    (client) list of names    the name it picked     settled
OFFERED     (server) one name         nothing                settled
==========  ========================  =====================  ==========
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from broker.core.wire.dialects import DIALECTS, Dialect
from broker.core.wire.login_names import read_names, write_names
from jelly.atoms import Expression
from jelly.errors import ProtocolError

__all__ = ["Handshake"]


class Handshake:
    """One side of the handshake.

    Args:
        is_client: whether this is the client's side.
        offered: the dialects of this side, best first.

    Attributes:
        logins: at a client, the names of the logins that the server accepts, from its offer. None
            before the offer, and if the server has no login.
        name_logins: at a server with a login, a function that returns those names for the offer.
    """

    __slots__ = ("_is_client", "_known", "logins", "name_logins")

    def __init__(self, is_client: bool, offered: Sequence[Dialect] = DIALECTS):
        self.logins: tuple[str, ...] | None = None
        self.name_logins: Callable[[], Sequence[str]] | None = None
        self._is_client = is_client
        self._known = {dialect.name: dialect for dialect in offered}

    def opening(self) -> Expression | None:
        """Return the offer of a server, or None at a client."""
        if self._is_client:
            return None
        offer: list[Expression] = list(self._known)
        if self.name_logins is not None:
            offer.append(write_names(self.name_logins()))
        return offer

    def receive(self, expression: Expression) -> tuple[Dialect, Expression | None]:
        """Return the dialect that the peer's message decides, and the reply to send, or None.

        Raises:
            ProtocolError: the message is not an offer or a choice, has no dialect of this side, or
                has logins that cannot be decoded.
        """
        if self._is_client:
            dialect = self._pick(expression)
            return dialect, dialect.name
        return self.named(expression), None

    def named(self, name: Expression) -> Dialect:
        """Return the dialect of this side with a name.

        Raises:
            ProtocolError: there is no such dialect.
        """
        if type(name) is not bytes or name not in self._known:
            raise ProtocolError("the peer chose a dialect that was not offered")
        return self._known[name]

    def _pick(self, offer: Expression) -> Dialect:
        if type(offer) is not list or not {bytes}.issuperset(map(type, offer)):
            raise ProtocolError("the peer is not a Perspective Broker server")
        names: list[Any] = offer
        self.logins = read_names(names)
        for name in names:
            if name in self._known:
                return self._known[name]
        raise ProtocolError("no dialect in common with the server")
