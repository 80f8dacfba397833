"""What one end says of a call: the types and texts of Twisted's, in PB's dialects."""

from __future__ import annotations

from typing import Any

import pytest
from support.memory import PUBLISHED_WIRE, BrokerPair
from support.told_failures import BUILTINS, SAID, Relay, called, is_raised_as

from broker import errors
from broker.core.policy import PUBLISHED, STRICT
from broker.failure import qual
from broker.flavors.avatar import AsReferenceable, Avatar
from broker.flavors.cacheable import Cacheable, RemoteCache
from broker.flavors.failures import CopiedFailure, shown_error
from broker.flavors.referenceable import Referenceable, Root
from broker.flavors.viewable import Viewable, ViewPoint
from jelly.registry import setUnjellyableForClass

# What one end says of a call: the types and texts of Twisted's, in PB's dialects.


class Person(Avatar):
    """Has a method with an argument."""

    def perspective_greet(self, name: str) -> None:
        """Do nothing."""


class Desk(Viewable):
    """Has one that is told who calls."""

    def view_write(self, perspective: Any, line: str) -> None:
        """Do nothing."""


class Followed(Cacheable):
    """Tells its follower what it has no method for."""

    def __init__(self) -> None:
        self.observers: list[Any] = []

    def getStateToCacheAndObserveFor(self, perspective: Any, observer: Any) -> Any:
        """Note the observer."""
        self.observers.append(observer)
        return {}


class FollowedCache(RemoteCache):
    """Its cache."""


setUnjellyableForClass(Followed, FollowedCache)


class House(Root):
    """Hands all of them out."""

    def __init__(self) -> None:
        self.followed = Followed()

    def remote_person(self) -> Any:
        """Return an avatar."""
        return AsReferenceable(Person(), "perspective")

    def remote_desk(self) -> Any:
        """Return what is seen through somebody's eyes."""
        return ViewPoint(None, Desk())

    def remote_followed(self) -> Any:
        """Return what is followed."""
        return self.followed

    def remote_greet(self, name: str) -> None:
        """Do nothing."""


PB_DIALECTS = ("pb", "none")
TOLD = [
    # what is called, how, in whose name; the class; the type of Twisted's; its text
    ("", "nothing", (), "NoSuchMethod", "twisted.spread.flavors.NoSuchMethod",
     "No such method: remote_nothing"),
    ("person", "nothing", (), "NoSuchMethod", "builtins.AttributeError",
     "'Person' object has no attribute 'perspective_nothing'"),
    ("desk", "nothing", (), "NoSuchMethod", "builtins.AttributeError",
     "'Desk' object has no attribute 'view_nothing'"),
    ("", "greet", (), "WrongArguments", "builtins.TypeError",
     "House.remote_greet() missing 1 required positional argument: 'name'"),
    ("", "greet", (Referenceable(), 2), "WrongArguments", "builtins.TypeError",
     "House.remote_greet() takes 2 positional arguments but 3 were given"),
    ("person", "greet", (), "WrongArguments", "builtins.TypeError",
     "Person.perspective_greet() missing 1 required positional argument: 'name'"),
    ("desk", "write", (), "WrongArguments", "builtins.TypeError",
     "Desk.view_write() missing 1 required positional argument: 'line'"),
]  # fmt: skip


def sent_and_raised(policy: Any, target: str, name: str, args: Any) -> tuple[Any, CopiedFailure]:
    """Return the state of a failure as it was on the wire, and what became of it."""
    pair = BrokerPair(House(), policy=policy)
    called_on = pair.call(target) if target else pair.root
    states: list[Any] = []
    take = CopiedFailure.setCopyableState

    def note(failure: Any, state: Any) -> None:
        states.append(dict(state))
        take(failure, state)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CopiedFailure, "setCopyableState", note)
        failure = pair.get(called_on.callRemote(name, *args))
    return states[0], failure


@pytest.mark.parametrize(("target", "name", "args", "cls", "kind", "text"), TOLD)
def test_the_published_policy_speaks_as_twisted(
    target: str, name: str, args: Any, cls: str, kind: str, text: str
) -> None:
    """In PB's dialects type and text are Twisted's, and ours is the second of the parents."""
    ours: Any = getattr(errors, cls)
    state, failure = sent_and_raised(PUBLISHED.but(dialects=PB_DIALECTS), target, name, args)
    assert (state["type"], state["value"]) == (kind.encode(), text)
    assert state["parents"][0] == kind
    assert state["parents"][: 1 if kind == qual(ours) else 2][-1] == qual(ours)
    assert len(set(state["parents"])) == len(state["parents"])
    assert failure.type == qual(ours)
    error = failure.as_exception()
    assert is_raised_as(error, ours, PUBLISHED)
    assert (str(error), error.remoteType) == (text, kind.encode())
    # One of ours reads the same of a peer that speaks msgpack/1, but for the text.
    state, failure = sent_and_raised(PUBLISHED, target, name, args)
    assert state["type"].decode() == qual(ours)
    assert is_raised_as(failure.as_exception(), ours, PUBLISHED)


@pytest.mark.parametrize(("target", "name", "args", "cls", "kind", "text"), TOLD)
def test_the_strict_policy_speaks_for_itself(
    target: str, name: str, args: Any, cls: str, kind: str, text: str
) -> None:
    """Its texts are the same in every dialect; in PB's the type is Twisted's."""
    ours: Any = getattr(errors, cls)
    texts = set()
    for policy in (STRICT, PUBLISHED_WIRE):
        state, failure = sent_and_raised(policy, target, name, args)
        assert state["type"].decode() == (qual(ours) if policy is STRICT else kind)
        assert failure.type == qual(ours)
        assert type(failure.as_exception()) is ours
        texts.add(state["value"])
    assert text not in texts
    assert len(texts) == 1


@pytest.mark.parametrize("policy", [PUBLISHED.but(dialects=PB_DIALECTS), PUBLISHED_WIRE])
def test_an_unknown_object(policy: Any) -> None:
    """It is Twisted's own error, of which ours is a kind."""
    pair = BrokerPair(House(), policy=policy)
    failure = pair.get(pair.client.remoteForName("nobody").callRemote("greet"))
    error = failure.as_exception()
    assert is_raised_as(error, errors.NoSuchObject, policy)
    assert failure.check("twisted.spread.pb.Error")
    if policy.published_errors:
        assert str(error) == "Invalid Object ID"
        assert error.remoteType == b"twisted.spread.pb.Error"
    else:
        assert str(error) == "object 'nobody' is not exported to this connection"


def test_a_follower_without_the_method() -> None:
    """A cache that lacks a method is told of as a perspective is."""
    house = House()
    pair = BrokerPair(house, policy=PUBLISHED.but(dialects=PB_DIALECTS))
    cache = pair.call("followed")
    failure = pair.get(house.followed.observers[0].callRemote("changed"))
    assert failure.as_exception().remoteType == b"builtins.AttributeError"
    assert str(failure.value) == "'FollowedCache' object has no attribute 'observe_changed'"
    assert failure.check(errors.NoSuchMethod)
    del cache


@pytest.mark.parametrize("error", SAID, ids=lambda error: type(error).__name__)
def test_each_has_a_name_that_twisted_knows(error: Any) -> None:
    """Whatever is said of a call, a Twisted peer can trap it by a class of its own, or Python's."""
    for policy in (STRICT, PUBLISHED):
        shown, _ = shown_error(type(error)("x"), policy, as_twisted=True)
        state = shown.getStateToCopy()
        known = ("twisted.", "builtins.")
        assert state["parents"][0] == state["type"].decode()
        names = [name for name in state["parents"] if name.startswith(known)]
        assert names[0] not in BUILTINS
        assert qual(type(error)) in state["parents"][:2]
        # And ours are what they are at a peer of ours, of each policy.
        for reader in (STRICT, PUBLISHED):
            copied = CopiedFailure.received(state, reader)
            assert copied.type == qual(type(error))
            assert copied.check(type(error))


@pytest.mark.parametrize("policy", [PUBLISHED_WIRE, PUBLISHED.but(dialects=PB_DIALECTS)])
@pytest.mark.parametrize("way", ["ask", "ask_later"])
def test_what_another_peer_refuses_is_passed_on(policy: Any, way: str) -> None:
    """It has Twisted's type and the first peer's text on its way, and ours behind that."""
    state, failure = sent_and_raised_by_relay(policy, way)
    assert state["type"] == b"builtins.TypeError"
    assert state["parents"][:2] == ["builtins.TypeError", "broker.errors.WrongArguments"]
    assert state["raised"] is True
    assert failure.type == "broker.errors.WrongArguments"
    error = failure.as_exception()
    assert type(error) is errors.RemoteError
    assert error.type_name == "broker.errors.WrongArguments"


def sent_and_raised_by_relay(policy: Any, way: str) -> tuple[Any, CopiedFailure]:
    """Return what a caller gets whose method asks another peer with arguments that do not fit."""

    class Asking(Relay):
        def remote_ask(self, other: Any) -> Any:
            return other.callRemote("takes_one")

        async def remote_ask_later(self, other: Any) -> Any:
            return await other.callRemote("takes_one")

    class Asked(Referenceable):
        def remote_takes_one(self, one: Any) -> None:
            pass

    states: list[Any] = []
    take = CopiedFailure.setCopyableState

    def note(failure: Any, state: Any) -> None:
        states.append(dict(state))
        take(failure, state)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CopiedFailure, "setCopyableState", note)
        failure = called(Asking(), policy, way, Asked())
    return states[-1], failure


def test_a_subclass_has_its_own_name() -> None:
    """What an application has made of one is not told as Twisted's."""

    class NoSuchBook(errors.NoSuchObject):
        pass

    shown, _ = shown_error(NoSuchBook("x"), PUBLISHED, as_twisted=True)
    state = shown.getStateToCopy()
    assert state["type"].decode() == state["parents"][0] == qual(NoSuchBook)
    assert state["value"] == "x"


@pytest.mark.parametrize("policy", [STRICT, PUBLISHED])
def test_what_only_looks_like_one(policy: Any) -> None:
    """A TypeError of a method is none of ours, and neither is a foreign error of that base."""
    for parents in (
        ["builtins.TypeError", "builtins.Exception"],
        ["builtins.KeyError", "broker.errors.WrongArguments"],
        ["builtins.TypeError", "twisted.spread.flavors.NoSuchMethod"],
        [],
    ):
        state = {"type": b"builtins.TypeError", "value": "x", "parents": parents}
        failure = CopiedFailure.received(state, policy)
        assert failure.type == "builtins.TypeError"
        assert type(failure.as_exception()) is errors.RemoteError


def test_a_dead_reference() -> None:
    """It says what Twisted's says, under the published policy."""
    for policy, text in ((PUBLISHED, "Calling Stale Broker"), (STRICT, "has ended")):
        pair = BrokerPair(House(), policy=policy)
        pair.cut()
        with pytest.raises(errors.DeadReferenceError, match=text):
            pair.root.callRemote("greet")
