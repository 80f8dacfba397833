"""Hooks that raise a BaseException: the call fails, once, and there are no other effects."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from support.memory import BrokerPair

from broker import pb
from broker.core.policy import PUBLISHED, STRICT
from broker.failure import Failure
from jelly.jellier import Jellier
from jelly.unjellier import Unjellier

RAISED = [
    pytest.fail.Exception,
    pytest.skip.Exception,
    asyncio.CancelledError,
    GeneratorExit,
    StopIteration,
    BaseException,
]
DIALECTS = [("msgpack/1",), ("pb", "none")]
# The exception that the hooks of this module raise; None while they must not raise.
WANTED: dict[str, type[BaseException]] = {}


def act(hook: str) -> None:
    """Raise, if this hook is the chosen one."""
    if hook in WANTED:
        raise WANTED[hook]("on purpose")


class Copied(pb.Copyable, pb.RemoteCopy):
    """Hooks of a copy."""

    def getStateToCopy(self) -> dict[str, Any]:
        """Implement the published hook."""
        act("getStateToCopy")
        return {"a": 1}

    def setCopyableState(self, state: Any) -> None:
        """Implement the published hook."""
        act("setCopyableState")
        self.__dict__.update(state)


class Own(pb.Copyable, pb.RemoteCopy):
    """Hooks that make the expression themselves."""

    def jellyFor(self, jellier: Jellier) -> Any:
        """Implement the published hook."""
        act("jellyFor")
        return [b"tests.Own", 5]

    def unjellyFor(self, unjellier: Unjellier, expression: list[Any]) -> Any:
        """Implement the published hook."""
        act("unjellyFor")
        return self


class Posted(pb.Copyable, pb.RemoteCopy):
    """A hook that is called at the end."""

    def setCopyableState(self, state: Any) -> None:
        """Ignore the state."""

    def getStateToCopy(self) -> dict[str, Any]:
        """Return an empty state."""
        return {}

    def postUnjelly(self) -> None:
        """Implement the published hook."""
        act("postUnjelly")


class Named(pb.Referenceable):
    """A hook that identifies an object."""

    def processUniqueID(self) -> Any:
        """Implement the published hook."""
        act("processUniqueID")
        return id(self)


class Watched(pb.Cacheable):
    """Hooks of a cache's owner."""

    def __init__(self) -> None:
        self.observer: Any = None

    def getStateToCacheAndObserveFor(self, perspective: Any, observer: Any) -> Any:
        """Implement the published hook."""
        self.observer = observer
        act("getStateToCacheAndObserveFor")
        return {"a": 1}

    def stoppedObserving(self, perspective: Any, observer: Any) -> None:
        """Implement the published hook."""
        act("stoppedObserving")


class Watching(pb.RemoteCache):
    """Hooks of a cache's holder."""

    def setCopyableState(self, state: Any) -> None:
        """Implement the published hook."""
        act("cache.setCopyableState")

    def observe_change(self) -> None:
        """Receive a change."""
        act("observe_change")


pb.setUnjellyableForClass("tests.Own", Own)
Posted.getTypeToCopy = lambda self: "tests.Posted"  # type: ignore[method-assign]
Copied.getTypeToCopy = lambda self: "tests.Copied"  # type: ignore[method-assign]
Watched.getTypeToCopy = lambda self: "tests.Watched"  # type: ignore[method-assign]
pb.setUnjellyableForClass("tests.Posted", Posted)
pb.setUnjellyableForClass("tests.Copied", Copied)
pb.setUnjellyableForClass("tests.Watched", Watching)

HOOKS = {
    "getStateToCopy": Copied,
    "setCopyableState": Copied,
    "jellyFor": Own,
    "unjellyFor": Own,
    "postUnjelly": Posted,
    "processUniqueID": Named,
    "getStateToCacheAndObserveFor": Watched,
    "cache.setCopyableState": Watched,
}


class House(pb.Root):
    """Takes and returns values."""

    def __init__(self) -> None:
        self.calls = 0
        self.given: Any = None

    def remote_take(self, *values: Any) -> str:
        """Take any values."""
        self.calls += 1
        return "taken"

    def remote_give(self) -> Any:
        """Return the value that the test has set."""
        return self.given


@pytest.fixture(autouse=True)
def _quiet() -> Any:
    yield
    WANTED.clear()


def pair_of(dialects: Any, policy: Any = PUBLISHED) -> tuple[BrokerPair, House]:
    """Return two ends."""
    house = House()
    return BrokerPair(house, policy=policy.but(dialects=dialects)), house


def is_well(pair: BrokerPair) -> bool:
    """Whether the connection is open, and nothing remains on it."""
    assert pair.call("take") == "taken"
    for broker in (pair.client, pair.server):
        assert not broker.disconnected
        assert not broker.session.outgoing.open_calls.open
        assert not broker.session.incoming.running
        assert broker.session.translator.transaction is None
        assert not broker.session.inbox.works
    return True


@pytest.mark.parametrize("dialects", DIALECTS, ids=lambda each: each[0])
@pytest.mark.parametrize("kind", RAISED, ids=lambda each: each.__name__)
@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_fails_its_call(hook: str, kind: type[BaseException], dialects: Any) -> None:
    """For an argument and for a result, in the sender and in the receiver."""
    pair, house = pair_of(dialects)
    make = HOOKS[hook]
    others = [pair.root.callRemote("take") for _ in range(2)]
    WANTED[hook] = kind
    for many in ((), tuple(range(3000))):
        assert isinstance(pair.call("take", make(), *many), Failure)
        house.given = [make(), *many]
        assert isinstance(pair.call("give"), Failure)
    WANTED.clear()
    assert [pair.get(each) for each in others] == ["taken", "taken"]
    assert pair.call("take", make()) == "taken"
    assert is_well(pair)


@pytest.mark.parametrize("dialects", DIALECTS, ids=lambda each: each[0])
@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_program_passes(kind: type[BaseException], dialects: Any) -> None:
    """Ctrl-C in a hook is not an answer."""
    pair, _ = pair_of(dialects)
    WANTED["getStateToCopy"] = kind
    with pytest.raises(kind):
        pair.root.callRemote("take", Copied())
    WANTED.clear()
    assert is_well(pair)


@pytest.mark.parametrize("dialects", DIALECTS, ids=lambda each: each[0])
@pytest.mark.parametrize("kind", RAISED, ids=lambda each: each.__name__)
def test_a_cache_s_hooks(
    kind: type[BaseException], dialects: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change fails at the owner; an error at the end of observing is only logged."""
    pair, house = pair_of(dialects)
    # The log records hold tracebacks, which hold the cache.
    monkeypatch.setattr(logging.getLogger("broker"), "disabled", True)
    monkeypatch.setattr(logging.getLogger("broker.connection"), "disabled", True)
    house.given = owner = Watched()
    cache = pair.call("give")
    WANTED["observe_change"] = WANTED["stoppedObserving"] = kind
    assert isinstance(pair.get(owner.observer.callRemote("change")), Failure)
    del cache
    pair.collect()
    assert len(pair.server.session.translator.cacheables) == 0
    assert len(pair.client.session.translator.remote_caches) == 0
    assert is_well(pair)
    # The same at the end of the connection.
    kept = pair.call("give")
    pair.cut()
    assert kept.broker is None
    assert pair.server.disconnected
    assert pair.client.closed.called
    assert pair.server.closed.called


@pytest.mark.parametrize("dialects", DIALECTS, ids=lambda each: each[0])
@pytest.mark.parametrize("kind", RAISED, ids=lambda each: each.__name__)
def test_a_call_without_answer_does_not_raise(kind: type[BaseException], dialects: Any) -> None:
    """It is logged, and counted as dropped."""
    pair, house = pair_of(dialects)
    WANTED["getStateToCopy"] = kind
    assert pair.root.callRemote("take", Copied(), pbanswer=False) is None
    pair.root.send("take", Copied())
    assert pair.client.session.stats.sends_dropped == 2
    WANTED.clear()
    assert is_well(pair)
    assert house.calls == 1


@pytest.mark.parametrize("kind", RAISED, ids=lambda each: each.__name__)
def test_under_the_strict_policy(kind: type[BaseException]) -> None:
    """The same, but only registered classes can be received."""
    pair, house = pair_of(("msgpack/1",), STRICT)
    house.given = Named()
    WANTED["processUniqueID"] = kind
    assert isinstance(pair.call("give"), Failure)
    assert isinstance(pair.call("take", Named()), Failure)
    WANTED.clear()
    assert is_well(pair)


def test_work_that_is_closed_ends_as_closed() -> None:
    """A GeneratorExit that no hook raised is not an error of the call: the connection has ended."""
    pair, house = pair_of(("msgpack/1",))
    house.given = [Copied(), *([[1]] * 100_000)]
    waiting = pair.root.callRemote("give")
    failures: list[Any] = []
    waiting.addErrback(failures.append)
    pair.server.session.receive(pair.transport(pair.client).take())
    pair.server.session.pump(1)
    assert pair.server.session.inbox.works
    pair.cut()
    assert not pair.server.session.inbox.works
    assert len(failures) == 1
