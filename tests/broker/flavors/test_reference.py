"""References: identity, counts on the wire, one-way calls, and the end."""

from __future__ import annotations

import gc
import logging
from typing import Any

import pytest
from support.memory import BrokerPair

from broker.core.policy import PUBLISHED, STRICT, Policy
from broker.errors import CannotJelly, DeadReferenceError, PBConnectionLost
from broker.failure import Failure
from broker.flavors.reference import RemoteMethod, RemoteReference
from broker.flavors.referenceable import Referenceable, Root
from jelly.codec import Reader
from jelly.errors import InsecureJelly, LimitExceeded, MalformedJelly, TooLarge
from jelly.limits import Limits
from jelly.registry import defaults
from jelly.vocabulary import PB_VOCABULARY


class House(Root):
    """Hands out and keeps."""

    def __init__(self) -> None:
        self.child = Referenceable()
        self.log: list[Any] = []

    def remote_child(self) -> Any:
        """Return something of its own."""
        return self.child

    def remote_note(self, /, *args: Any, **kw: Any) -> Any:
        """Note."""
        self.log.append((args, kw))
        return len(self.log)


def spoken(data: bytes) -> list[Any]:
    """The messages of some bytes."""
    reader = Reader(Limits(), PB_VOCABULARY)
    reader.feed(data)
    return reader.read()


def test_one_reference_for_one_object() -> None:
    """However often an object arrives, one reference stands for it."""
    pair = BrokerPair(House())
    first = pair.call("child")
    again = pair.call("child")
    assert again is first
    assert again == first
    assert first != pair.root
    assert len({first, pair.call("child")}) == 1
    assert first != 5
    assert "object 1" in repr(first)


def test_receptions_and_decrefs() -> None:
    """N receptions are let go by n decrefs, at once when the reference is collected."""
    pair = BrokerPair(House())
    kept = [pair.call("child") for _ in range(3)]
    exports = pair.server.session.translator.exports
    assert exports.get(1).count == 3
    pair.transport(pair.client).take()
    kept.clear()
    pair.scheduler.run()
    said = pair.transport(pair.client).take()
    assert spoken(said) == [[b"decref", 1]] * 3
    pair.server.dataReceived(said)
    assert exports.get(1) is None
    again = pair.call("child")
    assert again.luid == 2


def test_a_named_object_is_not_counted() -> None:
    """Letting go of the root tells nobody."""
    pair = BrokerPair(House())
    before = len(pair.transport(pair.client).writes)
    reference = pair.client.remoteForName("root")
    del reference
    pair.collect()
    assert len(pair.transport(pair.client).writes) == before


@pytest.mark.parametrize("dialect", ["pb", "msgpack/1"])
@pytest.mark.parametrize("policy", [STRICT, PUBLISHED])
def test_a_named_object_comes_home(policy: Policy, dialect: str) -> None:
    """The reference to the root is the root itself at its owner, also inside a list."""
    house = House()
    pair = BrokerPair(house, policy=policy.but(dialects=(dialect,)))
    pair.call("note", pair.root, [pair.root])
    assert house.log == [((house, [house]), {})]


def test_keywords_belong_to_the_method() -> None:
    """Every keyword goes to the remote method, whatever its name, but ``pbanswer``."""
    house = House()
    pair = BrokerPair(house)
    pair.get(pair.root.callRemote("note", 1, _name=2, self=3, name=4, broker=5))
    assert house.log == [((1,), {"_name": 2, "self": 3, "name": 4, "broker": 5})]


def test_no_answer_wanted() -> None:
    """``pbanswer=False`` returns None, and no answer is sent."""
    house = House()
    pair = BrokerPair(house)
    writes = len(pair.transport(pair.server).writes)
    assert pair.root.callRemote("note", pbanswer=False) is None
    assert pair.root.callRemote("nothing", pbanswer=0) is None
    pair.exchange()
    assert house.log == [((), {})]
    assert len(pair.transport(pair.server).writes) == writes
    assert len(pair.client.session.outgoing.open_calls) == 0


def test_send() -> None:
    """``send`` is one way; it returns nothing, and a peer that has gone is no error."""
    house = House()
    pair = BrokerPair(house)
    pair.root.send("note", 1, name=2)
    pair.exchange()
    assert house.log == [((1,), {"name": 2})]
    pair.cut()
    pair.root.send("note", 1)


def test_send_what_cannot_be_sent(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged as ours, and nothing is written."""
    pair = BrokerPair(House())
    writes = len(pair.transport(pair.client).writes)
    with caplog.at_level(logging.ERROR, "broker"):
        pair.root.send("note", object())
        pair.root.callRemote("note", object(), pbanswer=False)
    pair.exchange()
    assert len(caplog.records) == 2
    assert all("was not sent" in record.message for record in caplog.records)
    assert len(pair.transport(pair.client).writes) == writes


@pytest.mark.parametrize("name", ["note", b"note"])
def test_names_are_str_or_bytes(name: Any) -> None:
    """A method's name may be either."""
    assert BrokerPair(House()).call(name) == 1


def test_what_cannot_be_sent() -> None:
    """The Deferred fails, nothing is written, and no question is left."""
    pair = BrokerPair(House())
    writes = len(pair.transport(pair.client).writes)
    assert pair.call("note", Referenceable(), object()).check(CannotJelly)
    assert pair.call("x" * 1000).check(TooLarge)
    assert len(pair.transport(pair.client).writes) == writes
    assert len(pair.client.session.outgoing.open_calls) == 0
    assert len(pair.client.session.translator.exports) == 0


def test_a_reference_of_another_connection() -> None:
    """It cannot be sent; the text says what to do, and nothing is written."""
    pair, other = BrokerPair(House()), BrokerPair(House())
    child = pair.call("child")
    writes = len(other.transport(other.client).writes)
    failure = other.call("note", child)
    assert failure.check(CannotJelly)
    assert "send your own Referenceable that forwards to it" in failure.getErrorMessage()
    assert len(other.transport(other.client).writes) == writes
    assert other.call("note", 1) == 1


def test_remote_methods() -> None:
    """A method can be kept, compared and called."""
    pair = BrokerPair(House())
    method = pair.root.remoteMethod("note")
    assert method == RemoteMethod(pair.root, "note")
    assert hash(method) == hash(RemoteMethod(pair.root, "note"))
    assert method != pair.root.remoteMethod("other")
    assert method != 5
    assert pair.get(method(1)) == 1


def test_after_the_end() -> None:
    """A call on a reference whose connection has ended raises at once."""
    pair = BrokerPair(House())
    child = pair.call("child")
    pair.cut()
    for reference in (pair.root, child):
        with pytest.raises(DeadReferenceError, match="has ended"):
            reference.callRemote("note")


def test_before_the_handshake() -> None:
    """There is no connection to call over yet either."""
    pair = BrokerPair(House(), connect=False)
    with pytest.raises(DeadReferenceError):
        pair.root.callRemote("note")


def test_notify_on_disconnect() -> None:
    """Each callback is called once with the reference, unless it was taken back."""
    pair = BrokerPair(House())
    told: list[Any] = []
    child = pair.call("child")
    child.notifyOnDisconnect(told.append)
    child.notifyOnDisconnect(told.append)
    pair.root.notifyOnDisconnect(told.append)
    child.dontNotifyOnDisconnect(told.append)
    with pytest.raises(TypeError):
        child.notifyOnDisconnect(5)
    pair.cut()
    pair.cut()
    assert sorted(map(id, told)) == sorted(map(id, [child, pair.root]))


def test_all_taken_back() -> None:
    """A reference that nobody waits for any more is not kept alive by that."""
    pair = BrokerPair(House())
    child = pair.call("child")
    child.notifyOnDisconnect(print)
    child.dontNotifyOnDisconnect(print)
    del child
    pair.collect()
    assert pair.server.session.translator.exports.get(1) is None


def test_a_callback_that_raises(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged, and the others are called."""
    pair = BrokerPair(House())
    told: list[Any] = []
    child = pair.call("child")

    def broken(reference: RemoteReference) -> None:
        raise ValueError("callback")

    child.notifyOnDisconnect(broken)
    child.notifyOnDisconnect(told.append)
    with caplog.at_level(logging.ERROR, "broker"):
        pair.cut()
    assert told == [child]
    assert "a callback of the application raised" in caplog.text


def test_too_many_references() -> None:
    """Above max_refs a call that would hand over one more fails, and the others go on."""
    pair = BrokerPair(House(), policy=STRICT.but(max_refs=2))
    kept = [Referenceable() for _ in range(3)]
    failure = pair.call("note", *kept)
    assert "more than 2 live references (max_refs)" in failure.getErrorMessage()
    assert len(pair.client.session.translator.exports) == 0
    assert pair.call("note", kept[0], kept[1]) == 1


def test_pending_calls_fail_at_the_end() -> None:
    """Each says whether it may have run."""
    pair = BrokerPair(House())
    results: list[Any] = []
    written = pair.root.callRemote("note", 1).addErrback(results.append)
    for _ in range(2):
        pair.root.callRemote("note", 2).addErrback(results.append)
    assert len(pair.client.session.outgoing.open_calls) == 3
    pair.cut()
    assert [failure.check(PBConnectionLost) for failure in results] == [PBConnectionLost] * 3
    assert [failure.value.may_have_run for failure in results] == [True, False, False]
    assert written.called


class Far(RemoteReference):
    """A class of references of a program's own."""


class Sent(Referenceable):
    """Sent under a tag of its own, with what else a test wants."""

    def __init__(self, *more: Any) -> None:
        self.more = more

    def jellyFor(self, jellier: Any) -> Any:
        """Return the tag, an id, and the rest."""
        return [b"far.Thing", jellier.invoker.registerReference(self), *self.more]


@pytest.fixture
def far(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register Far, for one test."""
    monkeypatch.setitem(defaults.published.classes, b"far.Thing", Far)
    monkeypatch.setitem(defaults.security.allowedTypes, b"far.Thing", 1)


class Giver(Root):
    """Hands out what it is told to."""

    given: Any = None

    def remote_given(self) -> Any:
        """Return it, and let it go."""
        return self.given


def is_failed(pair: BrokerPair, kind: type[Exception]) -> bool:
    """Whether the call for what is given failed so."""
    failure = pair.get(pair.root.callRemote("given"))
    return isinstance(failure, Failure) and isinstance(failure.value, kind)


def exported(pair: BrokerPair) -> int:
    """How many objects the client can name, but for the root."""
    return len(pair.server.session.translator.exports)


@pytest.mark.usefixtures("far")
def test_each_reception_of_a_registered_reference_is_counted_once() -> None:
    """Each has a reference of its own; the last that is collected lets the object go."""
    giver = Giver()
    pair = BrokerPair(giver, policy=PUBLISHED)
    giver.given = Sent()
    first, second = pair.call("given"), pair.call("given")
    assert (type(first), first is second, first == second) == (Far, False, True)
    # Calling it again, as programs do, counts nothing more.
    RemoteReference.__init__(first, None, first.broker, first.luid, 1)
    del first
    pair.exchange()
    assert exported(pair) == 1
    del second
    pair.exchange()
    assert exported(pair) == 0


@pytest.mark.usefixtures("far")
@pytest.mark.parametrize("given", ["before", "after"])
def test_a_registered_reference_in_a_message_that_cannot_be_read_is_let_go(given: str) -> None:
    """Whether it was read or not when the message failed, the peer is told."""
    giver = Giver()
    pair = BrokerPair(giver, policy=PUBLISHED)
    bad = Sent(5, 5, 5)
    bad.jellyFor = lambda jellier: [b"nobody.Knows", []]  # type: ignore[method-assign]
    giver.given = [Sent(), bad] if given == "before" else [bad, Sent()]
    assert is_failed(pair, InsecureJelly)
    gc.collect()
    pair.exchange()
    assert exported(pair) == 0


@pytest.mark.usefixtures("far")
def test_an_id_that_is_no_number_makes_no_reference() -> None:
    """A peer's text, list or huge number behind the tag is malformed, and nothing is counted."""
    giver = Giver()
    pair = BrokerPair(giver, policy=PUBLISHED)
    for wrong in (b"root", [b"list"], -1, 1 << 63):
        sent = Sent()
        sent.jellyFor = lambda jellier, wrong=wrong: [b"far.Thing", wrong]  # type: ignore[misc]
        giver.given = sent
        assert is_failed(pair, MalformedJelly)
    sent.jellyFor = lambda jellier: [b"far.Thing"]  # type: ignore[method-assign]
    assert is_failed(pair, MalformedJelly)
    # The same for one that a program makes by hand.
    with pytest.raises(MalformedJelly):
        Far(None, pair.client, b"root", 1)
    assert len(pair.client.session.translator.imports) == 0


@pytest.mark.usefixtures("far")
def test_registered_references_are_bounded_as_all_are() -> None:
    """One more than max_refs is refused, and the peer is told that it was not taken."""
    giver = Giver()
    pair = BrokerPair(giver, policy=PUBLISHED.but(max_refs=2))
    giver.given = Sent()
    kept = [pair.call("given") for _ in range(2)]
    assert is_failed(pair, LimitExceeded)
    # One that counts already is no further one.
    RemoteReference.__init__(kept[0], None, pair.client, kept[0].luid, 1)
    pair.exchange()
    assert exported(pair) == 1
    kept.clear()
    pair.exchange()
    assert exported(pair) == 0
