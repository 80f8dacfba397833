"""The handshake: whatever is offered or chosen, in whatever pieces, one dialect or one refusal."""

from __future__ import annotations

from typing import Any

from support.memory import FakeHost

from broker.core.policy import PUBLISHED, STRICT
from broker.core.session import Session
from broker.core.wire.dialects import DIALECTS, EXPRESSION_DIALECTS
from fuzz.bending import bent, pieces
from fuzz.dice import Dice
from fuzz.expressions import encoded, raw
from jelly.errors import ProtocolError
from jelly.vocabulary import NONE_VOCABULARY

__all__ = ["fuzz"]

_NAMES = (
    b"pb", b"none", b"msgpack/1", b"msgpack/2", b"", b"PB", b"pb\0", b"login", b"login password",
    b"login SCRAM-SHA-256 token", b"login  \xff", b"login " + b"x " * 125, b"login " + b"x" * 251,
    b"logins", b"login\0pb",
)  # fmt: skip
_LOGINS = (None, (), ("password",), ("SCRAM-SHA-256", "token", "anonymous"), ("x" * 40,) * 9)


def fuzz(data: bytes) -> None:
    """Run one input."""
    dice = Dice(data)
    is_client = dice.once_in(2)
    options = (
        dice.pick((STRICT, PUBLISHED)),
        is_client,
        dice.pick((DIALECTS, EXPRESSION_DIALECTS)),
        dice.pick(_LOGINS),
    )
    written = _part(dice, is_client)
    whole = _outcome(options, [written])
    assert _outcome(options, list(pieces(dice, written))) == whole, "pieces make a difference"


def _part(dice: Dice, is_client: bool) -> bytes:
    part: Any
    match dice.below(8):
        case 7:
            return dice.rest()
        case 6:
            part = raw(dice, 3)
        case _ if is_client:
            part = [dice.pick(_NAMES) for _ in range(dice.below(5))]
        case _:
            part = dice.pick(_NAMES)
    written = encoded(dice, part, NONE_VOCABULARY)
    # What follows is of the dialect: a version, or its beginning.
    written += dice.pick(
        (b"", b"\x02\x80\x13\x87\x06\x81", b"\0\0\0\2\x92\0\6"[:6], b"\x07\x82vers")
    )
    return bent(dice, written)


def _outcome(options: Any, chunks: list[bytes]) -> tuple[Any, ...]:
    policy, is_client, offered, logins = options
    host = FakeHost()
    session = Session(host, policy, is_client=is_client, offered=offered)
    host.session = session
    if logins is not None and not is_client:
        session.name_logins(lambda: logins)
    session.start()
    sent = session.data_to_send()
    refused = None
    for chunk in chunks:
        session.receive(chunk)
        try:
            assert not session.pump(), "messages are left"
        except ProtocolError as error:
            assert len(str(error)) <= 400, "an error that is too long for a log"
            refused = type(error)
            break
        sent += session.data_to_send()
    if refused is not None:
        session.receive(b"\x01\x81")
        assert not session.pump(), "a session that is over has messages"
        # What was due when the fault was met may or may not have left already.
        return session.dialect, refused
    assert is_client or session.logins is None, "a server has read logins"
    return session.dialect, session.logins, sent, [type(event).__name__ for event in host.events]
