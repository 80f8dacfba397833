"""A broadcast is encoded once for each dialect."""

from __future__ import annotations

from typing import Any

import pytest

from broker.core.wire import messages
from broker.core.wire.broadcast import Broadcast
from broker.core.wire.dialects import DIALECTS, MSGPACK, Dialect
from jelly.limits import Limits


def test_tails() -> None:
    """A tail is made once, even if it is None."""
    made: list[str] = []

    def make(name: str, tail: bytes | None) -> Any:
        def call() -> bytes | None:
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


def test_what_takes_a_jellier() -> None:
    """Is not shared."""
    for dialect in DIALECTS:
        broadcast = Broadcast("heard", (object(),), {})
        assert dialect.writer(Limits()).broadcast(1, broadcast, 2) is None
