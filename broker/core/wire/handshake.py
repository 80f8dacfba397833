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
from functools import lru_cache
from typing import Any, TypeAlias

from msgspec.structs import replace

from broker.core.wire.dialects import DIALECTS, Dialect
from broker.core.wire.login_names import read_names, write_names
from jelly.atoms import Expression
from jelly.codec import Reader, Writer
from jelly.errors import BananaError, ProtocolError
from jelly.limits import Limits
from jelly.vocabulary import NONE_VOCABULARY

__all__ = ["Handshake", "written"]

# Digits of a length or count during the handshake. Text of another protocol consists of 7-bit
# bytes, which are valid digits: with this limit it is refused at byte 5.
_SMALL_PREFIX = 4
# Limits of what a peer may make us store before a dialect is chosen. An offer has about 100 bytes.
_SMALL_OFFER = 64 * 1024
_SMALL_LIST = 1024

# How many results of each pure function of this module are kept: a program meets few offers.
_MOST_KEPT = 32
# Most bytes of an offer whose result is kept. A usual offer is shorter.
_USUAL_OFFER = 512

_DEFAULT_LIMITS = Limits()

_Picked: TypeAlias = "tuple[Dialect, tuple[str, ...] | None]"


class Handshake:
    """One side of the handshake.

    Args:
        is_client: whether this is the client's side.
        offered: the dialects of this side, best first.
        limits: of what the peer sends; smaller ones hold in the handshake.

    Attributes:
        logins: at a client, the names of the logins that the server accepts, from its offer. None
            before the offer, and if the server has no login.
        name_logins: at a server with a login, a function that returns those names for the offer.
    """

    __slots__ = ("_is_client", "_limits", "_offered", "_reader", "logins", "name_logins")

    def __init__(
        self,
        is_client: bool,
        offered: Sequence[Dialect] = DIALECTS,
        limits: Limits = _DEFAULT_LIMITS,
    ):
        self.logins: tuple[str, ...] | None = None
        self.name_logins: Callable[[], Sequence[str]] | None = None
        self._is_client = is_client
        self._offered = tuple(offered)
        self._limits = limits
        # Made if the first bytes are not the usual ones.
        self._reader: Reader | None = None

    def opening(self) -> tuple[bytes, ...] | None:
        """Return the offer of a server, or None at a client."""
        if self._is_client:
            return None
        names = _names(self._offered)
        if self.name_logins is not None:
            names = (*names, write_names(tuple(self.name_logins())))
        return names

    def take(self, data: bytes) -> tuple[Dialect, bytes | None, bytes] | None:
        """Take in bytes of the peer.

        Returns:
            The dialect that they decide, the name to send or None, and the bytes behind the
            handshake; None if more bytes are needed.

        Raises:
            ProtocolError: see `receive`, or the bytes are not those of a handshake.
        """
        reader = self._reader
        if reader is None:
            if not self._is_client:
                for choice, dialect in _choices(self._offered):
                    if data.startswith(choice):
                        return dialect, None, data[len(choice) :]
            elif len(data) <= _USUAL_OFFER:
                offer = _whole_offer(data, self._limits)
                if offer is not None:
                    dialect, self.logins = _picked(offer, self._offered)
                    return dialect, dialect.name, b""
            reader = self._reader = Reader(_of_handshake(self._limits), NONE_VOCABULARY)
        reader.feed(data)
        try:
            expressions = reader.read(1)
            if not expressions:
                return None
            dialect, reply = self.receive(expressions[0])
            return dialect, reply, reader.take_rest()
        except BananaError as error:
            raise ProtocolError(f"the peer does not speak Perspective Broker ({error})") from error

    def receive(self, expression: Expression) -> tuple[Dialect, bytes | None]:
        """Return the dialect that the peer's message decides, and the reply to send, or None.

        Raises:
            ProtocolError: the message is not an offer or a choice, has no dialect of this side, or
                has logins that cannot be decoded.
        """
        if self._is_client:
            if type(expression) is not list or not {bytes}.issuperset(map(type, expression)):
                raise ProtocolError("the peer is not a Perspective Broker server")
            names: list[Any] = expression
            dialect, self.logins = _picked(tuple(names), self._offered)
            return dialect, dialect.name
        return self.named(expression), None

    def named(self, name: Expression) -> Dialect:
        """Return the dialect of this side with a name.

        Raises:
            ProtocolError: there is no such dialect.
        """
        for dialect in self._offered:
            if dialect.name == name:
                return dialect
        raise ProtocolError("the peer chose a dialect that was not offered")


@lru_cache(_MOST_KEPT)
def written(names: bytes | tuple[bytes, ...], limits: Limits) -> bytes:
    """Return the bytes of an offer, or of one name.

    Raises:
        EncodeError: they exceed a limit.
    """
    expression: Expression = list(names) if isinstance(names, tuple) else names
    return Writer(limits, NONE_VOCABULARY).encode(expression)


@lru_cache(_MOST_KEPT)
def _names(offered: tuple[Dialect, ...]) -> tuple[bytes, ...]:
    return tuple(dialect.name for dialect in offered)


@lru_cache(_MOST_KEPT)
def _choices(offered: tuple[Dialect, ...]) -> tuple[tuple[bytes, Dialect], ...]:
    """Return the usual bytes of the choice of each dialect."""
    return tuple((written(dialect.name, Limits()), dialect) for dialect in offered)


@lru_cache(_MOST_KEPT)
def _whole_offer(data: bytes, limits: Limits) -> tuple[bytes, ...] | None:
    """Return the names of an offer that is complete and has no bytes behind it; else None."""
    reader = Reader(_of_handshake(limits), NONE_VOCABULARY)
    reader.feed(data)
    try:
        (names,) = reader.read(1)
        rest: Any = reader.take_rest()
    except (BananaError, ValueError):
        return None
    if rest or type(names) is not list or not {bytes}.issuperset(map(type, names)):
        return None
    found: list[Any] = names
    return tuple(found)


@lru_cache(_MOST_KEPT)
def _picked(names: tuple[bytes, ...], offered: tuple[Dialect, ...]) -> _Picked:
    """Return the dialect that a client picks from an offer, and the logins in it.

    Raises:
        ProtocolError: no name of the offer is one of them, or the logins cannot be decoded.
    """
    logins = read_names(names)
    known = {dialect.name: dialect for dialect in offered}
    for name in names:
        if name in known:
            return known[name], logins
    raise ProtocolError("no dialect in common with the server")


@lru_cache(_MOST_KEPT)
def _of_handshake(limits: Limits) -> Limits:
    return replace(
        limits,
        max_prefix=_SMALL_PREFIX,
        max_expression=min(limits.max_expression, _SMALL_OFFER),
        max_string=min(limits.max_string, _SMALL_OFFER),
        max_list=min(limits.max_list, _SMALL_LIST),
    )
