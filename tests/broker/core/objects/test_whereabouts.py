"""Where something stands that cannot be sent: the path to it, as a program writes it."""

from __future__ import annotations

import datetime
import decimal
import re
from typing import Any

import pytest
from support.memory import BrokerPair

from broker.core.objects.whereabouts import name_argument, name_result, path_to
from broker.core.policy import PUBLISHED, STRICT
from broker.errors import CannotJelly, TooLarge
from broker.flavors.cacheable import Cacheable
from broker.flavors.copyable import Copyable
from broker.flavors.referenceable import Referenceable, Root
from broker.flavors.subscribers import Subscribers
from jelly.errors import EncodeError


class Thing:
    """Nothing that can be sent."""


class Account(Copyable):
    """Has an owner."""

    def __init__(self, owner: Any):
        self.owner = owner


class House(Root):
    """Returns things."""

    def remote_take(self, *args: Any, **kw: Any) -> None:
        """Take anything."""

    def remote_give(self) -> Any:
        """Return what cannot be sent."""
        return {"accounts": [Account("x"), Account([Thing()])]}

    def remote_large(self) -> Any:
        """Return what is written in many slices, and cannot be sent."""
        rows: list[Any] = [{"number": [number]} for number in range(20_000)]
        return {"rows": [*rows, Account(Thing())]}

    def remote_relay(self) -> Any:
        """Raise what a call of its own failed with."""
        raise CannotJelly("x cannot be sent (args[0] of 'other')")


SEE = "see 'Send your own objects'"
WAY_OUT = f"make it Copyable to send a copy, or Referenceable to send a reference; {SEE}"
# The published policy sends the rest of a state: see tests/behaviour/test_unpersistable.py.
FOR_STATES = [STRICT, STRICT.but(dialects=("pb",))]
POLICIES = [*FOR_STATES, PUBLISHED]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(
    ("args", "kw", "place"),
    [
        ((Thing(),), {}, "args[0]"),
        ((), {"user": (0, Thing())}, "kw['user'][1]"),
        (({5: Thing()},), {}, "args[0][5]"),
        (({("a", 1): Thing()},), {}, "args[0][…]"),
        (({"a" * 60: Thing()},), {}, f"args[0]['{'a' * 39}]"),
        (({(Thing(),): 1},), {}, "a key of args[0][0]"),
        (({Thing()},), {}, "an element of args[0]"),
    ],
)
def test_an_argument(policy: Any, args: Any, kw: Any, place: str) -> None:
    """The error says which argument of which method cannot be sent, and what to write."""
    pair = BrokerPair(House(), policy=policy)
    failure = pair.call("take", *args, **kw)
    assert failure.check(CannotJelly)
    text = f"{__name__}.Thing cannot be sent: {WAY_OUT} ({place} of 'take')"
    assert failure.getErrorMessage() == text
    assert (failure.value.culprit, failure.value.trail) == (None, ())


@pytest.mark.parametrize("policy", FOR_STATES)
@pytest.mark.parametrize(
    ("args", "place"),
    [
        ((1, [{"user": Account(Thing())}]), "args[1][0]['user'].owner"),
        ((Account(Account({"deep": Thing()})),), "args[0].owner.owner['deep']"),
    ],
)
def test_an_attribute(policy: Any, args: Any, place: str) -> None:
    """So it does of an attribute of an argument."""
    failure = BrokerPair(House(), policy=policy).call("take", *args)
    assert failure.check(CannotJelly)
    text = f"{__name__}.Thing cannot be sent: {WAY_OUT} ({place} of 'take')"
    assert failure.getErrorMessage() == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("\ud800", "str with a lone surrogate"),
        (decimal.Decimal("NaN"), "a Decimal that is not finite"),
        (datetime.datetime.now(datetime.UTC), "datetime with a time zone"),
    ],
)
def test_a_value_without_an_expression(value: Any, text: str) -> None:
    """A value of a type that may cross, which itself cannot, is found too."""
    pair = BrokerPair(House(), policy=STRICT.but(dialects=("pb",)))
    failure = pair.call("take", [1, {"at": value}])
    assert failure.getErrorMessage().startswith(text)
    assert failure.getErrorMessage().endswith("(args[0][1]['at'] of 'take')")


def test_a_reference_of_another_connection() -> None:
    """What a hook refuses is found as well."""

    class Holder(Root):
        def remote_take(self, thing: Any = None) -> Any:
            self.thing = thing

    holder = Holder()
    one, other = BrokerPair(holder), BrokerPair(House())
    one.call("take", Referenceable())
    failure = other.call("take", [holder.thing])
    assert failure.getErrorMessage().endswith("forwards to it (args[0][0] of 'take')")


@pytest.mark.parametrize("policy", POLICIES)
def test_what_is_too_large(policy: Any) -> None:
    """Where a size is wrong, the method is named."""
    failure = BrokerPair(House(), policy=policy).call("take", "x" * 20_000_000)
    assert failure.check(TooLarge)
    assert failure.getErrorMessage().endswith("(arguments of 'take')")


@pytest.mark.parametrize("policy", FOR_STATES)
def test_a_result(policy: Any, caplog: Any) -> None:
    """Of a result the log of the server says where it is; the peer is told no more than what."""
    failure = BrokerPair(House(), policy=policy).call("give")
    assert failure.check(CannotJelly)
    assert failure.getErrorMessage() == f"{__name__}.Thing cannot be sent: {WAY_OUT}"
    (record,) = caplog.records
    assert record.getMessage().endswith(
        f": CannotJelly: {__name__}.Thing cannot be sent: {WAY_OUT}"
        " (result['accounts'][1].owner[0] of 'give')"
    )


class Made(Copyable):
    """Makes its state anew for each message."""

    def getStateToCopyFor(self, perspective: Any) -> Any:
        """Return what is no attribute."""
        return {"made": [Thing()], "1 x": 5}


class Odd(Copyable):
    """Has a state with a key that is no name."""

    def getStateToCopyFor(self, perspective: Any) -> Any:
        """Return it."""
        return {"1 x": Thing()}


class Bare(Copyable):
    """Has a state that is no dict."""

    def getStateToCopyFor(self, perspective: Any) -> Any:
        """Return it."""
        return Thing()


class Refusing(Copyable):
    """Refuses to be sent."""

    def getStateToCopyFor(self, perspective: Any) -> Any:
        """Refuse."""
        raise CannotJelly("not for you")


class Written(Referenceable):
    """Writes itself, and has attributes that are not sent."""

    def __init__(self) -> None:
        self.thing = THING

    def jellyFor(self, jellier: Any) -> Any:
        """Write what it is asked to hold."""
        return jellier.jelly([1, {"in": THING}])


class Kept(Cacheable):
    """A cache whose state cannot be sent."""

    def getStateToCacheAndObserveFor(self, perspective: Any, observer: Any) -> Any:
        """Return it."""
        return {"row": (1, Thing())}


THING = Thing()


@pytest.mark.parametrize("policy", FOR_STATES)
@pytest.mark.parametrize(
    ("value", "place"),
    [
        (Made(), "args[0]['x'].made[0]"),
        (Odd(), "args[0]['x']['1 x']"),
        (Bare(), "args[0]['x']"),
        (Refusing(), "args[0]['x']"),
        (Written(), "args[0]['x'][1]['in']"),
        (Kept(), "args[0]['x'].row[1]"),
        (Account("\ud800"), "args[0]['x'].owner"),
        (Account({"a": 1, "b": "\ud800"}), "args[0]['x'].owner['b']"),
        (Account({"\ud800": 1}), "a key of args[0]['x'].owner"),
        (Account((1, 2, "\ud800")), "args[0]['x'].owner[2]"),
    ],
)
def test_what_hooks_write(policy: Any, value: Any, place: str) -> None:
    """The place is where it was written, whatever the attributes are."""
    failure = BrokerPair(House(), policy=policy).call("take", {"a": House(), "x": value})
    assert failure.getErrorMessage().endswith(f"({place} of 'take')")


@pytest.mark.parametrize("policy", POLICIES)
def test_a_million_values(policy: Any) -> None:
    """In a large graph the place is found too, and no more than a part of it is looked at."""
    values: list[Any] = [1] * 1_000_000
    failure = BrokerPair(House(), policy=policy).call("take", [values, THING, values])
    assert failure.getErrorMessage().endswith("(args[0][1] of 'take')")
    failure = BrokerPair(House(), policy=policy).call("take", [*values, THING])
    assert failure.getErrorMessage().endswith("(args[0][1000000] of 'take')")
    failure = BrokerPair(House(), policy=policy).call("take", dict.fromkeys(range(5000), THING))
    assert failure.getErrorMessage().endswith("(args[0][0] of 'take')")


def test_a_search_is_bounded() -> None:
    """Where there is no trail, so many values are looked at, and each container once."""
    many: list[Any] = [*range(1_000_000), THING]
    assert path_to(CannotJelly("x").about(THING), [("args", (many,))]) is None
    assert path_to(CannotJelly("x").about(THING), [("args", (many[-9:],))]) == "args[0][8]"
    shared: list[Any] = []
    for _ in range(100):
        shared = [shared, shared]
    assert path_to(CannotJelly("x").about(Thing()), [("args", (shared,))]) is None
    assert path_to(CannotJelly("x").about(THING), [("args", (shared, THING))]) == "args[1]"


def test_a_long_path_is_cut() -> None:
    """It is bounded in the middle."""
    value: Any = THING
    for number in range(40):
        value = {f"level {number}": value}
    failure = BrokerPair(House()).call("take", value)
    (place,) = re.findall(r"\((args.*) of 'take'\)", failure.getErrorMessage())
    assert place.startswith("args[0]['level 39']['level 38']")
    assert place.endswith("['level 1']['level 0']")
    assert 200 < len(place) < 250


def test_an_error_that_is_raised_twice() -> None:
    """An error that a hook keeps tells the place once."""
    kept = CannotJelly("not for you")
    for _ in range(2):
        name_argument(kept, "take", (1,), {})
        name_result(kept, "take", 1)
    assert str(kept) == "not for you (arguments of 'take')"
    assert kept.__notes__ == ["result of 'take'"]


@pytest.mark.parametrize("policy", FOR_STATES)
def test_a_large_result(policy: Any, caplog: Any) -> None:
    """So it is where the answer is written in several turns."""
    failure = BrokerPair(House(), policy=policy).call("large")
    assert failure.getErrorMessage() == f"{__name__}.Thing cannot be sent: {WAY_OUT}"
    (record,) = caplog.records
    assert record.getMessage().endswith("(result['rows'][20000].owner of 'large')")


@pytest.mark.parametrize("policy", FOR_STATES)
def test_a_result_of_a_hook(policy: Any, caplog: Any) -> None:
    """So it is where the published hook of a class answers."""

    class Hooked(House):
        def remoteMessageReceived(self, broker: Any, message: Any, args: Any, kw: Any) -> Any:
            return broker.handle_message(self.route(), message, args, kw)

    failure = BrokerPair(Hooked(), policy=policy).call("give")
    assert failure.getErrorMessage() == f"{__name__}.Thing cannot be sent: {WAY_OUT}"
    (record,) = caplog.records
    assert record.getMessage().endswith("(result['accounts'][1].owner[0] of 'give')")


@pytest.mark.parametrize("policy", POLICIES)
def test_a_simple_result(policy: Any, caplog: Any) -> None:
    """So it is where the result needs no jellier."""

    class Large(Root):
        def remote_give(self) -> str:
            return "x" * 20_000_000

    assert BrokerPair(Large(), policy=policy).call("give").check(TooLarge)
    (record,) = caplog.records
    assert record.getMessage().endswith("(result of 'give')")


def test_what_a_method_raised(caplog: Any) -> None:
    """An error of this kind that a method raised has no place in a result."""
    failure = BrokerPair(House()).call("relay")
    assert failure.getErrorMessage() == "x cannot be sent (args[0] of 'other')"
    (record,) = caplog.records
    text = ": CannotJelly: x cannot be sent (args[0] of 'other') (remote method 'relay')"
    assert record.getMessage().endswith(text)


@pytest.mark.parametrize("policy", POLICIES)
def test_an_event_for_many(policy: Any) -> None:
    """The error of an event says so, too."""
    kept: list[Any] = []

    class Hall(Root):
        def remote_enter(self, reference: Any) -> None:
            kept.append(reference)

    for event in ([Thing()], "x" * 20_000_000):
        pair = BrokerPair(Hall(), policy=policy)
        pair.call("enter", Referenceable())
        subscribers = Subscribers()
        subscribers.add(kept.pop())
        with pytest.raises(EncodeError, match=r"\((args\[0\]\[0\]|arguments) of 'news'\)$"):
            subscribers.send("news", event)


def test_what_is_not_found() -> None:
    """An error of another kind, or about something that is not there, has no place."""
    assert path_to(EncodeError("size"), [("a", 1)]) is None
    loop: list[Any] = []
    loop.append(loop)
    assert path_to(CannotJelly("x").about(Thing()), [("a", loop), ("b", House)]) is None
