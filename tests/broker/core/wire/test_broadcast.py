"""A broadcast is encoded once for each dialect."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from broker.core.wire import messages
from broker.core.wire.broadcast import Broadcast
from broker.core.wire.dialects import DIALECTS, MSGPACK, Dialect
from jelly.errors import TooLarge
from jelly.limits import Limits
from jelly.unjellier import Unjellier


def test_tails() -> None:
    """A tail is made once, even if it is None."""
    made: list[str] = []

    def make(name: str, tail: bytes | None) -> Any:
        def call(broadcast: Broadcast) -> bytes | None:
            assert broadcast is notice
            made.append(name)
            return tail

        return call

    notice = Broadcast("heard", (1,), {})
    for _ in range(2):
        assert notice.tail("one", make("one", b"tail")) == b"tail"
        assert notice.tail("other", make("other", None)) is None
    assert made == ["one", "other"]


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("object_id", [1, 1 << 40, b"root"])
def test_what_a_peer_reads(dialect: Dialect, object_id: Any) -> None:
    """A call that wants no answer, of the object that the id names."""
    data = dialect.writer(Limits()).broadcast(object_id, Broadcast("heard", (1, "two"), {}), 2)
    assert data is not None
    inbox: list[Any] = []
    dialect.reader(Limits()).receive(data, inbox)
    target = object_id.decode() if object_id == b"root" and dialect is MSGPACK else object_id
    assert inbox == [messages.PlainSend(0, target, "heard", (1, "two"), {})]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_a_follower_reads(dialect: Dialect) -> None:
    """A call of a cache that wants no answer, whose tail an object's call shares."""
    notice = Broadcast("heard", (1, "two"), {})
    writer = dialect.writer(Limits())
    data = (writer.broadcast(7, notice, 4) or b"") + (writer.broadcast(7, notice, 2) or b"")
    inbox: list[Any] = []
    dialect.reader(Limits()).receive(data, inbox)
    assert inbox == [
        messages.PlainSendToCache(0, 7, "heard", (1, "two"), {}),
        messages.PlainSend(0, 7, "heard", (1, "two"), {}),
    ]
    for wants_answer, number in enumerate((4, 3)):
        called = writer.call(number, 0, 7, "heard", (1, "two"), {}, None)
        assert (called == writer.broadcast(7, notice, 4)) is not bool(wants_answer)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_one_message_after_the_other(dialect: Dialect) -> None:
    """Each receiver gets its own, whichever was written before; equal ones may be one object."""
    notice = Broadcast("heard", (1,), {})
    receivers = [(1, 2), (1, 2), (1, 4), (2, 4), (b"1", 2), (1, 2), (1 << 40, 2), (1, 2)]
    for object_id, number in receivers:
        alone = dialect.writer(Limits()).broadcast(object_id, Broadcast("heard", (1,), {}), number)
        assert dialect.writer(Limits()).broadcast(object_id, notice, number) == alone


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_long_message_is_not_kept(dialect: Dialect) -> None:
    """A broadcast that waits has its values, and the tail of its messages, and no copy of them."""
    for text, is_kept in (("x" * 100, True), ("x" * 1000, False)):
        notice = Broadcast("heard", (text,), {})
        written = dialect.writer(Limits()).broadcast(1, notice, 2)
        assert written
        assert (notice.last == written) is is_kept


@pytest.mark.parametrize("args", [("x" * 2000,), (1,) * 2000], ids=["long", "many"])
def test_each_receiver_has_its_limits(args: tuple[Any, ...]) -> None:
    """A message that one connection takes is refused by another one, before and after."""
    notice = Broadcast("heard", args, {})
    small = MSGPACK.writer(Limits(max_expression=1000, max_nodes=1000))
    for _ in range(2):
        with pytest.raises(TooLarge):
            small.broadcast(1, notice, 2)
        assert MSGPACK.writer(Limits()).broadcast(1, notice, 2)


def test_what_takes_a_jellier() -> None:
    """Is not shared."""
    for dialect in DIALECTS:
        broadcast = Broadcast("heard", (object(),), {})
        assert dialect.writer(Limits()).broadcast(1, broadcast, 2) is None


DATA = [
    ([1, ["two", None]], {"k": (b"x", {3})}),
    (1 << 90, Decimal("1.5")),
    ([[[[[[[["deep"]]]]]]]],),
    (date(2026, 1, 1), {(1, 2): frozenset({b""})}),
]


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("args", DATA, ids=str)
@pytest.mark.parametrize("number", [2, 4])
def test_data_is_encoded_once(dialect: Dialect, args: tuple[Any, ...], number: int) -> None:
    """Values that are data alone are read as those of an ordinary call, whatever form they have."""
    notice = Broadcast("heard", args, {}, True)
    limits = Limits()
    pieces = [dialect.writer(limits).broadcast(target, notice, number) for target in (1, 1 << 40)]
    kept = [list(notice._tails.values())]
    inbox: list[Any] = []
    dialect.reader(limits).receive(b"".join(piece or b"!" for piece in pieces), inbox)
    assert [message.object_id for message in inbox] == [1, 1 << 40]
    for message in inbox:
        assert (message.name, message.request_id) == ("heard", 0)
        heard = message.args
        if isinstance(message, messages.GraphCall):
            assert not message.wants_answer
            assert isinstance(message, messages.GraphCallToCache) == (number == 4)
            heard = Unjellier().unjellyFull(heard)
        assert heard == args
    assert [list(notice._tails.values())] == kept


@pytest.mark.parametrize("dialect", DIALECTS)
def test_data_beyond_a_limit(dialect: Dialect) -> None:
    """It is refused by the limits of each connection, or left to the general path."""
    notice = Broadcast("heard", ([[b"x" * 5000]],), {}, True)
    assert dialect.writer(Limits()).broadcast(1, notice, 2)
    small = Limits(max_expression=1000, max_string=1000)
    try:
        piece = dialect.writer(small).broadcast(1, notice, 2)
    except TooLarge:
        piece = None
    assert piece is None
