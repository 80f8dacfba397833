"""References in a message are released, even if the message is not read to its end."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.memory import BrokerPair

import broker
from broker import pb
from broker.core.policy import PUBLISHED, STRICT
from broker.defer import Deferred
from broker.failure import Failure
from jelly.unjellier import Unjellier

WIRES = [
    pytest.param(policy.but(dialects=dialects, max_refs=20), id=f"{name}-{dialects[0]}")
    for name, policy in (("strict", STRICT), ("published", PUBLISHED))
    for dialects in (("msgpack/1",), ("pb", "none"))
]
each_wire = pytest.mark.parametrize("policy", WIRES)
TIMES = 50


class Thing(pb.Referenceable):
    """Sent by reference."""


class Watched(pb.Cacheable):
    """Cached by receivers that know its class."""

    def __init__(self, name: str = "tests.unread.Unknown", extra: Any = None):
        self.name = name
        self.extra = extra

    def getTypeToCopy(self) -> str:
        """Return the tag that the test wants."""
        return self.name

    def getStateToCacheAndObserveFor(self, perspective: Any, observer: Any) -> Any:
        """Return a state with further references."""
        return {"extra": self.extra}


class Watching(pb.RemoteCache):
    """A cache."""

    extra: Any


class Unknown(pb.Copyable):
    """A copy that the other end does not know."""

    def __init__(self, **state: Any):
        self.__dict__.update(state)

    def getTypeToCopy(self) -> str:
        """Return a name that is not registered."""
        return "tests.unread.Unknown"


class Bad(Unknown):
    """A copy that refuses its state."""

    def getTypeToCopy(self) -> str:
        """Return the name of a class that refuses its state."""
        return "tests.unread.Bad"


class BadHere(pb.RemoteCopy):
    """Refuses its state."""

    a: Any = None
    b: Any = None

    def setCopyableState(self, state: Any) -> None:
        """Refuse."""
        raise KeyError("on purpose")


class Deaf(Unknown):
    """A copy whose state is not read."""

    def getTypeToCopy(self) -> str:
        """Return the name of a class that ignores its state."""
        return "tests.unread.Deaf"


class DeafHere(pb.RemoteCopy):
    """Ignores its expression."""

    a: Any = None
    b: Any = None

    def unjellyFor(self, unjellier: Unjellier, expression: list[Any]) -> Any:
        """Read nothing."""
        return self


class Half(Unknown):
    """A copy that reads its state, and then raises."""

    def getTypeToCopy(self) -> str:
        """Return the name of a class that raises after reading."""
        return "tests.unread.Half"


class HalfHere(pb.RemoteCopy):
    """Reads, and raises."""

    a: Any = None
    b: Any = None

    def unjellyFor(self, unjellier: Unjellier, expression: list[Any]) -> Any:
        """Read everything first."""
        unjellier.unjelly(expression[1])
        raise KeyError("on purpose")


broker.register(BadHere, "tests.unread.Bad")
broker.register(DeafHere, "tests.unread.Deaf")
broker.register(HalfHere, "tests.unread.Half")
broker.register(Watching, "tests.unread.Watched")


class House(pb.Root):
    """Takes and returns values."""

    def __init__(self) -> None:
        self.given: Any = None

    def remote_take(self, *args: Any, **kw: Any) -> str:
        """Take any values."""
        return "taken"

    def remote_give(self) -> Any:
        """Return the value that the test makes."""
        return self.given()


class Hooked(House):
    """Handles calls in the published hook, and passes all of them on."""

    def remoteMessageReceived(self, broker: Any, message: str, args: Any, kw: Any) -> Any:
        """Implement the published hook."""
        return super().remoteMessageReceived(broker, message, args, kw)


class Ignoring(House):
    """Handles calls in the published hook, and reads nothing."""

    def remoteMessageReceived(self, broker: Any, message: str, args: Any, kw: Any) -> Any:
        """Implement the published hook."""
        return broker.serialize("ignored")


class Refusing(House):
    """Reads half of its arguments, and raises."""

    def remoteMessageReceived(self, broker: Any, message: str, args: Any, kw: Any) -> Any:
        """Implement the published hook."""
        broker.unserialize(args)
        raise KeyError("on purpose")


class Later(House):
    """Reads its arguments when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.due: list[Callable[[], None]] = []

    def remoteMessageReceived(self, broker: Any, message: str, args: Any, kw: Any) -> Any:
        """Implement the published hook."""
        deferred: Deferred[Any] = Deferred()

        def read() -> None:
            broker.unserialize(args)
            deferred.callback(broker.serialize("late"))

        self.due.append(read)
        return deferred


@pytest.fixture(autouse=True)
def _no_log() -> Iterator[None]:
    """Keep no log records: their tracebacks hold the values that were read."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def is_even(pair: BrokerPair) -> bool:
    """Whether neither end holds an object for the other, and the connection is open."""
    for _ in range(3):
        gc.collect()
        pair.exchange()
    for end in (pair.client, pair.server):
        assert not end.disconnected
        translator = end.session.translator
        handed_over = [key for key in translator.exports.names() if type(key) is int]
        assert (handed_over, len(translator.cacheables), len(translator.remote_caches)) == (
            [],
            0,
            0,
        )
        assert len(translator.imports) == 0
        assert not translator._watched
    return True


def many(*values: Any) -> list[Any]:
    """A list that is long enough to be emptied while it is read."""
    return [*values[:1], *range(2000), *values[1:]]


WRONG: dict[str, Callable[[], tuple[Any, ...]]] = {
    "before": lambda: (Thing(), Unknown()),
    "behind": lambda: (Unknown(), Thing()),
    "inside": lambda: (Unknown(a=Thing()),),
    "state": lambda: (Bad(a=Thing(), b=Thing()), Thing()),
    "list": lambda: ([1, [Unknown(), Thing()], Thing()],),
    "dict": lambda: ({"a": [Unknown()], "b": Thing(), "c": {"d": Thing()}},),
    "key": lambda: ({(1, Unknown()): Thing()},),
    "looks": lambda: ({b"remote": 5, b"cached": 6}, Unknown(), {b"remote": Thing(), b"cached": 1}),
    "tuple": lambda: ((Thing(), (Unknown(), Thing())), Thing()),
    "long": lambda: (many(Thing(), Unknown(), Thing(), [Thing()]), Thing()),
    "deep": lambda: (many(many(Unknown(), Thing()), Thing()), many(Thing())),
    "longdict": lambda: ({n: (Unknown() if n == 1500 else Thing() if n > 1995 else n) for n in
                          range(2000)},),
    "twice": lambda: (thing := Thing(), Unknown(), thing, [thing]),
    "cache": lambda: (Watched(extra=Thing()), Thing()),
    "known": lambda: (Unknown(), Watched("tests.unread.Watched", Thing()), Thing()),
    "again": lambda: (Unknown(), cache := Watched("tests.unread.Watched"), cache, [cache]),
    "bad": lambda: (Watched("tests.unread.Watched", Bad(a=Thing())), Thing()),
    "half": lambda: (Half(a=Thing(), b=[Thing()]), Thing()),
}  # fmt: skip


@each_wire
@pytest.mark.parametrize("make", WRONG.values(), ids=WRONG)
def test_arguments_and_results_that_cannot_be_read(make: Any, policy: Any) -> None:
    """Their other parts are released, at the server and at the client, each time it happens."""
    house = House()
    pair = BrokerPair(house, policy=policy)
    house.given = make
    for _ in range(TIMES // 5):
        assert isinstance(pair.call("take", *make()), Failure)
        assert isinstance(pair.call("take", Unknown(), a=Thing(), b=[*make()]), Failure)
        assert isinstance(pair.call("give"), Failure)
    assert is_even(pair)
    assert pair.call("take", Thing()) == "taken"


@each_wire
def test_a_hook_that_looks_at_nothing(policy: Any) -> None:
    """The objects that its expression refers to are released, although nothing failed."""
    house = House()
    pair = BrokerPair(house, policy=policy)
    house.given = lambda: Deaf(a=Thing())
    for _ in range(TIMES):
        assert pair.call("take", Deaf(a=Thing(), b=[Thing()])) == "taken"
        assert type(pair.call("give")) is DeafHere
    assert is_even(pair)


@each_wire
@pytest.mark.parametrize("kind", [House, Hooked, Ignoring, Refusing])
def test_a_class_with_the_published_hook(kind: type[House], policy: Any) -> None:
    """A missing method, arguments that do not fit, a hook that does not read: all are released."""
    pair = BrokerPair(kind(), policy=policy)
    for _ in range(TIMES):
        pair.call("missing", Thing(), a=Thing())
        pair.call("give", Thing(), [Thing()], a=Thing())
        pair.call("take", Unknown(), Thing(), a=Thing())
        pair.call("take", Thing(), a=[Thing()])
        pair.root.callRemote("missing", Thing(), pbanswer=False)
    assert is_even(pair)


@each_wire
def test_a_hook_that_reads_later(policy: Any) -> None:
    """Its arguments are held until it has answered."""
    house = Later()
    pair = BrokerPair(house, policy=policy)
    calls = [pair.root.callRemote("x", Thing(), a=Thing()) for _ in range(3)]
    pair.exchange()
    assert len(pair.client.session.translator.exports.names()) == 6
    for read in house.due:
        read()
    house.due.clear()
    assert [pair.get(call) for call in calls] == ["late"] * 3
    assert is_even(pair)


@each_wire
def test_a_call_that_is_refused_before_it_is_read(policy: Any) -> None:
    """An object that does not exist, a limit, a drain."""
    pair = BrokerPair(House(), policy=policy.but(max_unknown=1000))
    nobody = pair.client.remoteForName("nobody")
    for _ in range(TIMES):
        assert isinstance(pair.get(nobody.callRemote("x", Thing(), a=[Thing()])), Failure)
    pair.server.session.incoming.max_calls = 0
    for _ in range(TIMES):
        assert isinstance(pair.call("take", Watched("tests.unread.Watched"), Thing()), Failure)
    pair.server.session.drain()
    for _ in range(TIMES):
        assert isinstance(pair.call("take", Thing()), Failure)
    assert is_even(pair)


@each_wire
def test_references_beyond_the_limit_are_released(policy: Any) -> None:
    """The call with too many references fails, and the next one does not."""
    pair = BrokerPair(House(), policy=policy.but(max_strikes=1000), client_policy=policy.but(
        max_refs=1000))  # fmt: skip
    for _ in range(TIMES):
        assert isinstance(pair.call("take", [Thing() for _ in range(30)], a=Thing()), Failure)
        assert pair.call("take", [Thing() for _ in range(10)]) == "taken"
    assert is_even(pair)
