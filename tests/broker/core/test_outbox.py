"""The outbox: order, releases, and a host that overrides methods."""

from __future__ import annotations

from typing import Any, cast

import pytest
from support.memory import FakeHost, Reference, SessionPair, make_end

from broker.core.events import CallRaised
from broker.core.policy import STRICT
from broker.core.session import Session
from broker.core.wire.dialects import NONE, PB
from broker.core.wire.messages import GraphAnswer, Version
from broker.flavors.cacheable import Cacheable
from broker.flavors.referenceable import Referenceable
from jelly.codec import Reader
from jelly.errors import CannotJelly, EncodeError
from jelly.limits import Limits
from jelly.vocabulary import NONE_VOCABULARY


def read(data: bytes) -> list[Any]:
    """The expressions of some bytes."""
    reader = Reader(Limits(), NONE_VOCABULARY)
    reader.feed(data)
    return reader.read()


def outbox() -> Any:
    """The outbox of a session that speaks ``none``."""
    return make_end(STRICT, True).outbox


def test_take() -> None:
    """What was sent comes out once, in order."""
    box = outbox()
    assert box.take() == b""
    box.send(Version(1))
    box.send_expression([b"second"])
    assert box.unsent.queued == 2
    assert read(box.take()) == [[b"version", 1], [b"second"]]
    assert box.unsent.queued == 0
    assert box.take() == b""


def test_another_dialect() -> None:
    """What is sent after ``speak`` is in the new dialect, what was before is not."""
    box = outbox()
    box.send(Version(1))
    box.speak(PB)
    box.send(Version(2))
    data = box.take()
    none = NONE.writer(Limits()).write_expression([b"version", 1])
    assert data == none + PB.writer(Limits()).write_expression([b"version", 2])


def test_releases() -> None:
    """What was collected is told as many times as it was received, after what was sent."""
    session = make_end(STRICT, True)
    session.translator.imports.receive(7, None, Reference)
    reference = session.translator.imports.receive(7, None, Reference)
    box = session.outbox
    box.send(Version(1))
    del reference
    assert read(box.take()) == [[b"version", 1], [b"decref", 7], [b"decref", 7]]
    assert box.take() == b""


def test_many_releases_take_several_turns() -> None:
    """The host is asked for more turns until the peer is told of all receptions."""
    session = make_end(STRICT, True)
    for number in (*range(1, 3000), *[3000] * 3000):
        session.translator._dropped.reference(number, 1)
    session.translator._dropped.reference(3001, 3000)
    told: list[Any] = []
    turns = 0
    while data := session.outbox.take():
        turns += 1
        told += read(data)
        assert len(data) < 60_000
    assert turns > 3
    assert sorted(told) == sorted(
        [b"decref", number] for number in (*range(1, 3000), *[3000] * 3000, *[3001] * 3000)
    )


def test_what_cannot_be_sent() -> None:
    """A message that cannot be sent leaves nothing behind."""
    box, unsendable = outbox(), cast(Any, object())
    with pytest.raises(EncodeError):
        box.send(GraphAnswer(1, unsendable))
    assert box.take() == b""


def test_after_the_end() -> None:
    """A closed outbox says so, and has forgotten everything."""
    box = outbox()
    box.send(Version(1))
    assert not box.unsent.is_closed
    box.clear()
    assert box.unsent.is_closed
    assert box.take() == b""


def test_a_hook_that_raises_while_it_is_taken_back() -> None:
    """A stoppedObserving that raises is an event, and the rest is taken back all the same."""

    class Broken(Cacheable):
        def getStateToCacheAndObserveFor(self, perspective: Any, observer: Any) -> Any:
            return [object()]

        def stoppedObserving(self, perspective: Any, observer: Any) -> None:
            raise ValueError("hook")

    pair = SessionPair()
    with pytest.raises(CannotJelly):
        pair.client.outgoing.call(1, "m", (Referenceable(), Broken()), {})
    (raised,) = pair.client_host.of(CallRaised)
    assert (raised.name, str(raised.error)) == ("stoppedObserving", "hook")
    assert len(pair.client.translator.exports) == 0
    assert len(pair.client.translator.cacheables) == 0


class Overriding(FakeHost):
    """A host that overrides Twisted's methods."""

    overridden = frozenset({"sendCall", "serialize"})

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Any] = []

    def sendCall(self, *message: Any) -> None:
        """Note, and send."""
        self.calls.append(message[0])
        self.session.outbox.send_expression(list(message))

    def serialize(self, value: Any, perspective: Any, method: Any, args: Any, kw: Any) -> Any:
        """Note, and do what the default does."""
        self.calls.append(("serialize", value, method))
        return self.session.outbox.serialize(value, perspective, method, args, kw)


def test_a_room_above_that_does_its_part() -> None:
    """Overridden ``sendCall`` and ``serialize`` see every message and value that goes out."""
    host = Overriding()
    host.session = Session(host, STRICT, is_client=True)
    request_id = host.session.outgoing.call(5, "name", (1,), {"a": 2})
    assert host.calls == [
        ("serialize", (1,), "name"),
        ("serialize", {"a": 2}, "name"),
        b"message",
    ]
    (sent,) = read(host.session.data_to_send())
    assert sent[:4] == [b"message", request_id, 5, b"name"]
