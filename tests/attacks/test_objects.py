"""Objects and calls: a peer reaches only objects it was given, and only declared names."""

from __future__ import annotations

import gc
import sys
import time
from typing import Any

import pytest
from attacks.attacker import NOTHING, POLICIES, Speaker, Target, Victim, binds, flat, let_in, taming

import broker
from broker import pb
from broker.core.wire.messages import GraphError
from broker.defer import Deferred
from broker.flavors.cacheable import Cacheable


class Account(broker.Copyable, broker.RemoteCopy):
    """A copy with fields and a method that a peer would like to replace."""

    owner: str = ""

    def is_admin(self) -> bool:
        """Decide."""
        return False


class Loose(broker.RemoteCopy):
    """A copy without declared fields, as published programs have them."""

    def is_admin(self) -> bool:
        """Decide."""
        return False


class Tagged(broker.RemoteCopy):
    """A copy whose field becomes a set."""

    tags: set[int]


class Fussy(broker.Error):
    """An error that some fields cannot be printed with."""

    left: int

    def __str__(self) -> str:
        """Divide by what the peer sends."""
        return f"{1 // self.left}"


@pytest.fixture(autouse=True, scope="module")
def registered() -> Any:
    """Register the classes, and remove them afterwards."""
    with (
        let_in("demo.Account", Account),
        let_in("demo.Tagged", Tagged),
        let_in("demo.Fussy", Fussy),
        let_in("demo.Loose", published=Loose),
    ):
        yield


class Market(Target):
    """Returns objects, and raises."""

    def __init__(self) -> None:
        self.thing = broker.Referenceable()
        self.cache = Ticker()

    def remote_thing(self) -> broker.Referenceable:
        """Return the object."""
        return self.thing

    def remote_ticker(self) -> Ticker:
        """Return the cache."""
        return self.cache

    def remote_fall(self) -> None:
        """Raise an error with a secret in its text."""
        raise ValueError("the password of the database is secret")

    data = "not a method"
    remote_data = "no method either"


class Ticker(Cacheable):
    """Counts its observers."""

    def __init__(self) -> None:
        self.observers: list[Any] = []

    def getStateToCacheAndObserveFor(self, perspective: Any, observer: Any) -> dict[str, Any]:
        """Add an observer."""
        self.observers.append(observer)
        return {"price": 1}

    def stoppedObserving(self, perspective: Any, observer: Any) -> None:
        """Remove an observer."""
        self.observers.remove(observer)


def last(victim: Victim) -> Any:
    """The last message of a victim."""
    return victim.speaker.read(victim.said)[-1]


def given(victim: Victim, name: bytes = b"thing") -> int:
    """Call a method that returns an object, and return the object's number."""
    victim.hear(victim.speaker.call(name=name))
    expression = last(victim).value
    number = expression[1]
    assert type(number) is int
    return number


def decref(speaker: Speaker, number: int, count: int = 1) -> bytes:
    """Release an object, this many times."""
    if speaker.name == "pb":
        return speaker.message(b"decref", number) * count
    return speaker.message(b"decref", number, count)


@binds("B1")
def test_ids_are_per_connection_and_end(
    policy: str, dialect: str, caplog: pytest.LogCaptureFixture
) -> None:
    """An id is valid for the peer that received it, until it releases it, and is never reused."""
    market = Market()
    victim, other = Victim(dialect, policy, market), Victim(dialect, policy, market)
    number = given(victim)
    with taming(caplog) as lines:
        other.hear(other.speaker.call(target=number))
        victim.hear(decref(victim.speaker, number))
        victim.hear(victim.speaker.call(target=number, number=2))
    assert lines == [f"PEER: NoSuchObject: object {number} is not exported to this connection"] * 2
    assert given(victim) > number
    victim.end()
    other.end()


@binds("B1")
def test_no_address_of_memory_crosses(policy: str, dialect: str) -> None:
    """Ids are small consecutive numbers, not memory addresses."""
    victim = Victim(dialect, policy, Market())
    assert given(victim) == 1
    victim.end()


@binds("B1")
def test_who_guesses_ids_is_put_out(
    policy: str, dialect: str, caplog: pytest.LogCaptureFixture
) -> None:
    """99 guesses of ids are refused; the hundredth ends the connection. The same for arguments."""
    for values, target in (((), 12345), (([b"local", 12345],), b"root")):
        victim = Victim(dialect, policy, Market())
        with taming(caplog) as lines:
            for number in range(1, 101):
                assert not victim.is_dead
                victim.hear(victim.speaker.call(*values, target=target, number=number))
        assert victim.is_dead
        text = "object 12345 is not exported to this connection"
        assert lines == [f"PEER: NoSuchObject: {text}"] * 100 + [f"closed PEER: {text}"]
        assert victim.broker.session.stats.limits == {"max_unknown": 1}


@binds("B1")
def test_a_call_of_a_cache_is_not_a_guess(policy: str, dialect: str) -> None:
    """Caches have the peer's own numbers: changes to one that is not held are refused, each."""
    victim = Victim(dialect, policy)
    for number in range(1, 151):
        victim.hear(
            victim.speaker.message(b"cachemessage", number, 5, b"x", 1, [b"tuple"], NOTHING)
        )
    answers = [m for m in victim.speaker.read(victim.said) if type(m) is GraphError]
    assert len(answers) == 150
    assert all(b"broker.errors.NoSuchObject" in flat(answer.failure) for answer in answers)
    victim.end()


@binds("B1")
def test_the_root_as_an_argument(policy: str, dialect: str) -> None:
    """A published object comes home by its name, and is given back as any other object."""
    victim = Victim(dialect, policy)
    kept = victim.broker.localObjectForID(b"root")
    victim.hear(victim.speaker.call([b"local", b"root"], name=b"keep"))
    assert kept.kept is kept
    victim.hear(victim.speaker.call([b"local", b"root"], number=2))
    assert last(victim).value == [b"remote", 1]
    victim.end()


@binds("B1")
def test_an_application_may_say_so_for_ever(policy: str, dialect: str) -> None:
    """An error of that class, raised by a method, is an ordinary answer, however often."""

    class Shelf(Target):
        """Is empty."""

        def remote_take(self) -> None:
            """Raise the error."""
            raise broker.NoSuchObject("no such book")

    victim = Victim(dialect, policy, Shelf())
    for number in range(1, 151):
        victim.hear(victim.speaker.call(name=b"take", number=number))
    assert not victim.is_dead
    victim.end()


@binds("A14")
def test_three_times_too_many_references(
    policy: str, dialect: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Too many references fail the call the first and second time, then end the connection."""
    victim = Victim(dialect, POLICIES[policy].but(max_refs=20))
    value = [b"list", *([b"remote", number] for number in range(1, 22))]
    with taming(caplog) as lines:
        for number in (1, 2):
            victim.hear(victim.speaker.call(value, number=number))
            assert not victim.is_dead
        victim.hear(victim.speaker.call(value, number=3))
    text = "more than 20 live references (max_refs)"
    assert lines == [f"PEER: LimitExceeded: {text}"] * 3 + [f"closed PEER: {text}"]
    assert victim.is_dead
    assert victim.broker.session.stats.limits == {"max_refs": 3, "max_strikes": 1}


@binds("B2")
@pytest.mark.parametrize("count", [0, -5, 2, 1_000_000])
def test_decrefs_beyond_what_is_held(
    count: int, policy: str, dialect: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Releasing more references than were given, or none that was, ends the connection."""
    victim = Victim(dialect, policy, Market())
    number = given(victim)
    if dialect == "pb" and count != 2:
        victim.end()
        return
    with taming(caplog) as lines:
        victim.hear(decref(victim.speaker, number, count))
    (line,) = lines
    assert victim.is_dead
    if count > 0:
        held = 1 if dialect == "msgpack/1" else 0
        by = count if dialect == "msgpack/1" else 1
        assert line == f"closed PEER: decref of object {number} by {by} (held {held})"


@binds("B3")
def test_answers_that_come_late_or_twice(
    policy: str, dialect: str, caplog: pytest.LogCaptureFixture
) -> None:
    """An answer to a cancelled call is dropped; a second one ends the connection."""
    victim = Victim(dialect, policy)
    far = victim.broker.remoteForName(b"theirs")
    first, second = far.callRemote("x"), far.callRemote("y")
    second.addErrback(lambda failure: None)
    first.addErrback(lambda failure: None)
    first.cancel()
    victim.scheduler.run()
    with taming(caplog) as lines:
        victim.hear(victim.speaker.message(b"answer", 1, 5))
        victim.hear(victim.speaker.message(b"answer", 2, 5))
        assert not victim.is_dead
        victim.hear(victim.speaker.message(b"answer", 2, 5))
    assert lines == ["closed PEER: answer to unknown request 2"]


@binds("B4")
def test_a_request_id_in_use(policy: str, dialect: str, caplog: pytest.LogCaptureFixture) -> None:
    """A second call with the id of a running one ends the connection."""

    class Slow(Target):
        """Never answers."""

        def remote_wait(self) -> Any:
            """Return a result that never comes."""
            return Deferred()

    victim = Victim(dialect, policy, Slow())
    with taming(caplog) as lines:
        victim.hear(victim.speaker.call(name=b"wait", number=7) * 2)
    assert lines == ["closed PEER: request id 7 already in use"]


@binds("B5")
@pytest.mark.parametrize(
    "name",
    [b"data", b"remote_echo", b"__init__", b"\xef\xbd\x85cho", b"echo\x00", b"", b"ec ho", b"kept"],
)
def test_only_methods_are_reached(
    name: bytes, policy: str, dialect: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Private, missing, data, lookalike Unicode names: all get the same error."""
    victim = Victim(dialect, policy, Market())
    with taming(caplog) as lines:
        victim.hear(victim.speaker.call(1, name=name))
    (line,) = lines
    assert line.startswith("PEER: NoSuchMethod: no remote method '")
    assert not victim.is_dead
    victim.end()


@binds("B6", policies=("strict",))
def test_texts_of_exceptions_stay_here(
    policy: str, dialect: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A peer gets an id in place of the text of an unexpected exception; the log has both."""
    victim = Victim(dialect, policy, Market())
    victim.hear(victim.speaker.call(name=b"fall"))
    said = flat(last(victim).failure)
    assert b"secret" not in victim.said
    assert b"ValueError" not in victim.said
    (record,) = caplog.records
    _, _, error_id = record.getMessage().partition("(id ")
    text = f"internal error (id {error_id[:-1]}); the server's log has it under that id"
    assert text.encode() in said
    assert record.exc_info is not None
    victim.end()


@binds("B6", policies=("published",))
def test_published_texts_cross_without_tracebacks(policy: str, dialect: str) -> None:
    """PB shows the text and the names of the classes; the traceback only if it is enabled."""
    victim = Victim(dialect, policy, Market())
    victim.hear(victim.speaker.call(name=b"fall"))
    assert b"the password of the database is secret" in victim.said
    assert b"test_objects.py" not in victim.said
    victim.end()


@binds("B7")
def test_names_of_exceptions_make_nothing(policy: str, dialect: str) -> None:
    """A peer's exception is of a class that is registered under its name, or a RemoteError."""
    victim = Victim(dialect, policy)
    failed = victim.broker.remoteForName(b"theirs").callRemote("x")
    kept: list[Any] = []
    failed.addErrback(kept.append)
    victim.scheduler.run()
    modules = set(sys.modules)
    state = [
        [[b"unicode", b"type"], b"os.not_there"],
        [[b"unicode", b"value"], b"x"],
        [[b"unicode", b"parents"], [b"list", b"builtins.SystemExit"]],
    ]
    failure = [b"twisted.spread.pb.CopyableFailure", [b"dictionary", *state]]
    victim.hear(victim.speaker.message(b"error", 1, failure))
    with pytest.raises(broker.RemoteError) as caught:
        kept[0].raiseException()
    assert caught.value.type_name == "os.not_there"
    assert str(caught.value) == ("x" if policy == "published" else "os.not_there: x")
    assert set(sys.modules) == modules
    victim.end()


@binds("B8")
@pytest.mark.parametrize(
    "key", [b"is_admin", b"__class__", b"postUnjelly", b"setCopyableState", b"__dict__"]
)
def test_fields_that_are_not_declared(
    key: bytes, policy: str, dialect: str, caplog: pytest.LogCaptureFixture
) -> None:
    """State sets only the fields that the class declares: no method, no hook, no special name."""
    victim = Victim(dialect, policy)
    state = [b"dictionary", [[b"unicode", key], 1]]
    with taming(caplog) as lines:
        victim.hear(victim.speaker.call([b"demo.Account", state]))
    (line,) = lines
    assert line == f"PEER: InsecureJelly: field '{key.decode()}' is not declared by demo.Account"
    victim.end()


@binds("B8")
def test_fields_of_another_type(
    policy: str, dialect: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A declared field of another type is refused; the text has no value of the peer."""
    victim = Victim(dialect, policy)
    state = [b"dictionary", [[b"unicode", b"owner"], [b"dictionary", [[b"unicode", b"secret"], 1]]]]
    with taming(caplog) as lines:
        victim.hear(victim.speaker.call([b"demo.Account", state]))
    assert lines == ["PEER: MalformedJelly: demo.Account: owner: Expected `str`, got `object`"]
    victim.end()


@binds("B8")
@pytest.mark.parametrize("kind", [b"list", b"tuple", b"set"])
def test_a_field_bomb(kind: bytes, policy: str, dialect: str) -> None:
    """The check of a field takes no longer than its decoding, and does not hash wide ints."""
    numbers = [(2**61 - 1) * (n + 1) for n in range(20_000)]
    wide = [n << 61 for n in numbers]
    for items in (numbers, [b"x"] * 20_000, wide):
        victim = Victim(dialect, policy)
        state = [b"dictionary", [[b"unicode", b"tags"], [kind, *map(_expression, items)]]]
        begin = time.process_time()
        victim.hear(victim.speaker.call([b"demo.Tagged", state]))
        assert time.process_time() - begin < 5.0
        victim.end()


def _expression(item: Any) -> Any:
    """Return the expression of an int that may be wide, or bytes."""
    if type(item) is int and item >= 1 << 64:
        return [b"int", b"%d" % item]
    return item


@binds("B7")
def test_an_error_that_cannot_be_printed(policy: str, dialect: str) -> None:
    """A class whose ``__str__`` raises with the peer's fields arrives as a RemoteError."""
    victim = Victim(dialect, policy)
    failed = victim.broker.remoteForName(b"theirs").callRemote("x")
    kept: list[Any] = []
    failed.addErrback(kept.append)
    victim.scheduler.run()
    state = [
        [[b"unicode", b"type"], b"demo.Fussy"],
        [[b"unicode", b"value"], [b"unicode", b"x"]],
        [[b"unicode", b"fields"], [b"dictionary", [[b"unicode", b"left"], 0]]],
    ]
    failure = [b"twisted.spread.pb.CopyableFailure", [b"dictionary", *state]]
    victim.hear(victim.speaker.message(b"error", 1, failure))
    with pytest.raises(broker.RemoteError) as caught:
        kept[0].raiseException()
    assert caught.value.type_name == "demo.Fussy"
    victim.end()


@binds("B8", policies=("published",))
@pytest.mark.parametrize("key", [b"is_admin", b"__class__", b"setCopyableState"])
def test_fields_of_a_class_that_declares_none(
    key: bytes, policy: str, dialect: str, caplog: pytest.LogCaptureFixture
) -> None:
    """If any field is allowed, none may hide a method."""
    victim = Victim(dialect, policy)
    state = [b"dictionary", [[b"unicode", key], 1]]
    with taming(caplog) as lines:
        victim.hear(victim.speaker.call([b"demo.Loose", state]))
    (line,) = lines
    assert line.startswith("PEER: InsecureJelly: ")
    victim.end()


@binds("B9")
def test_nothing_is_imported(policy: str, dialect: str) -> None:
    """No tag of a peer makes Python import a module."""
    victim = Victim(dialect, policy)
    modules = set(sys.modules)
    for number, tag in enumerate([b"antigravity.x", b"this.s", b"module", b"class"], 1):
        victim.hear(victim.speaker.call([tag, b"antigravity"], number=number))
        assert type(last(victim)) is GraphError
    assert set(sys.modules) == modules
    victim.end()


@binds("B10")
def test_observers_end_with_their_connections(policy: str, dialect: str) -> None:
    """After hundreds of connections that took a cache and ended, it has no observers."""
    market = Market()
    for _ in range(100):
        victim = Victim(dialect, policy, market)
        victim.hear(victim.speaker.call(name=b"ticker"))
        victim.hear(victim.speaker.call(name=b"ticker", number=2))
        assert len(market.cache.observers) == 1
        victim.end()
        assert market.cache.observers == []
    gc.collect()


@binds("B10")
def test_a_decache_too_many(policy: str, dialect: str, caplog: pytest.LogCaptureFixture) -> None:
    """Releasing a cache more often than it was sent ends the connection; the hook runs once."""
    market = Market()
    victim = Victim(dialect, policy, market)
    victim.hear(victim.speaker.call(name=b"ticker"))
    speaker = victim.speaker
    number = last(victim).value[1]
    drop = (b"decache", number) if dialect == "pb" else (b"decache", number, 1)
    with taming(caplog) as lines:
        victim.hear(speaker.message(*drop))
        assert market.cache.observers == []
        victim.hear(speaker.message(*drop) * 3)
    assert lines == [f"closed PEER: decache of cache {number} by 1 (held 0)"]


@binds("B10")
def test_caches_count(policy: str, dialect: str, caplog: pytest.LogCaptureFixture) -> None:
    """A peer that makes a server hold caches reaches the same limit as with references."""
    most = 50
    victim = Victim(dialect, POLICIES[policy].but(max_refs=most))
    caches = [[b"cache", n, b"demo.Held", NOTHING] for n in range(1, most + 2)]
    with let_in("demo.Held", published=pb.RemoteCache), taming(caplog) as lines:
        victim.hear(victim.speaker.call([b"list", *caches], name=b"keep"))
    (line,) = lines
    assert line.startswith("PEER: ")
    assert len(victim.broker.session.translator.remote_caches) <= most
    victim.end()
