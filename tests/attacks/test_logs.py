"""The log: a peer's text cannot forge lines, fill the log, or take long to write."""

from __future__ import annotations

import gc
import io
import logging
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from attacks.attacker import BOTH, POLICIES, Speaker, Victim, portal
from support.effort import units
from support.memory import BrokerPair, FakeTransport, ManualScheduler

import broker
from broker import pb
from broker.connection.broker import Broker
from broker.core.policy import Policy
from broker.defer import Deferred, fail
from broker.errors import ConnectionAborted
from broker.failure import Failure
from broker.login.accept import Acceptor
from broker.login.server import root_of
from broker.net.log_throttle import OWN
from broker.net.socket_addresses import IPv4Address

HOSTILE = ["\n", "\x1b[2J", "\u2028", "\x07", "\x9b", "\u202e", "\ud800"]
MOST = 4096


class Log:
    """The output of a stream handler, and the records."""

    def __init__(self) -> None:
        self.stream = io.StringIO()
        self.handler = logging.StreamHandler(self.stream)
        self.handler.setFormatter(logging.Formatter("%(levelname)s %(name)s %(message)s"))
        self.sizes: list[int] = []
        self.handler.addFilter(self._measure)

    def _measure(self, record: logging.LogRecord) -> bool:
        self.sizes.append(len(self.handler.format(record).encode()))
        return True

    @property
    def text(self) -> str:
        """All written text."""
        return self.stream.getvalue()

    @property
    def heads(self) -> list[str]:
        """The first line of each record."""
        return re.findall(r"^(?:DEBUG|INFO|WARNING|ERROR) .*$", self.text, re.MULTILINE)

    def check(self) -> None:
        """Check that all lines are printable, and that each record was written, in 4 kB at most."""
        assert all(line.isprintable() for line in self.text.split("\n"))
        assert len(self.heads) == len(self.sizes)
        assert max(self.sizes, default=0) <= MOST


@pytest.fixture
def log() -> Iterator[Log]:
    """All records of the library, from DEBUG on."""
    logger, log = logging.getLogger("broker"), Log()
    level = logger.level
    logger.addHandler(log.handler)
    logger.setLevel(logging.DEBUG)
    try:
        yield log
    finally:
        logger.removeHandler(log.handler)
        logger.setLevel(level)


@broker.register
class Meant(broker.Error):
    """Raised on purpose."""


class Own(Exception):
    """Defines its own text."""

    def __init__(self, what: Any):
        super().__init__()
        self.what = what

    def __str__(self) -> str:
        return f"own {self.what}"


def chained(value: Any, length: int) -> Exception:
    """Return an error with a long chain of causes."""
    error = ValueError(value)
    for _ in range(length):
        later = ValueError(value)
        later.__cause__ = error
        error = later
    return error


def noted(value: Any) -> Exception:
    """Return an error with notes."""
    error = ValueError("noted")
    for _ in range(50):
        error.add_note(str(value) if isinstance(value, str) else "a note\n" * 1000)
    return error


ERRORS: dict[str, Callable[[Any], BaseException]] = {
    "key": KeyError,
    "value": ValueError,
    "two": lambda value: ValueError(value, value),
    "own": Own,
    "group": lambda value: ExceptionGroup("group", [ValueError(value), KeyError(value)] * 50),
    "named group": lambda value: (
        ExceptionGroup(str(value)[:100], [ValueError(value)])
        if isinstance(value, str)
        else ExceptionGroup("group", [ExceptionGroup("inner", [ValueError(value)])])
    ),
    "chain": lambda value: chained(value, 10_000),
    "notes": noted,
    "meant": Meant,
    "published": pb.Error,
}


class House(broker.Root):
    """Fails in each way."""

    def remote_fail(self, kind: str, value: Any) -> None:
        """Raise at once."""
        raise ERRORS[kind](value)

    def remote_fail_later(self, kind: str, value: Any) -> Any:
        """Fail with a Deferred."""
        return fail(ERRORS[kind](value))

    def remote_forget(self, kind: str, value: Any) -> None:
        """Leave a failure unhandled."""
        fail(ERRORS[kind](value))

    def remote_look(self, value: Any) -> Any:
        """Look the value up in a table."""
        return {}[value]

    def remote_one_way(self, reference: Any, name: str) -> None:
        """Call back with values that cannot be sent, in each way that reports only to the log."""
        reference.send(name, object())
        reference.callRemote(name, object(), pbanswer=False)
        subscribers = broker.Subscribers()
        subscribers.add(reference)
        subscribers.send(name, object())

    def remote_notify(self, reference: Any, value: Any) -> None:
        """Register a callback that fails when the peer disconnects."""

        def gone(_: Any) -> None:
            raise ValueError(value)

        reference.notifyOnDisconnect(gone)


def pair_of(policy: str, dialect: str) -> BrokerPair:
    """Return both ends, which use one dialect."""
    chosen = POLICIES[policy].but(dialects=(dialect,))
    return BrokerPair(House(), policy=chosen)


# Places of a lone surrogate: it has no UTF-8 form, and cannot be sent as a value.
CROSSING = [text for text in HOSTILE if text != "\ud800"]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("dialect", BOTH)
@pytest.mark.parametrize("text", CROSSING, ids=ascii)
@pytest.mark.parametrize("kind", ERRORS)
def test_texts_of_errors(policy: str, dialect: str, text: str, kind: str, log: Log) -> None:
    """An error with a peer's text, raised, returned or unhandled, does not forge lines."""
    pair = pair_of(policy, dialect)
    said = f"a{text}ERROR forged"
    for name in ("fail", "fail_later", "forget"):
        outcome = pair.call(name, kind, said)
        if isinstance(outcome, Failure):
            repr(outcome), str(outcome)
            fail(outcome.as_exception())
            fail(outcome)
    del outcome
    pair.get(pair.root.callRemote("look", said)).trap(Exception)
    gc.collect()
    pair.cut()
    log.check()
    assert "\nERROR forged" not in log.text


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("dialect", BOTH)
@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_names(policy: str, dialect: str, text: str, log: Log) -> None:
    """Names of commands, methods, objects, types and keywords are escaped."""
    # No correct writer encodes a lone surrogate.
    surrogate, stand_in = "\ud800".encode("utf-8", "surrogatepass"), "\ufffd".encode()
    said = f"a{text}b".encode("utf-8", "surrogatepass").replace(surrogate, stand_in)
    speaker = Speaker(dialect)
    messages = [
        speaker.call(1, name=said),
        speaker.call(1, target=said),
        speaker.call([said, [b"dictionary"]]),
        speaker.call([b"reference", 1, [said, [b"dictionary"]]]),
        speaker.call([b"class", said]),
        speaker.call([b"module", said]),
        speaker.call([b"unpersistable", said]),
        speaker.call(1, kw=[b"dictionary", [said, 1]]),
        speaker.call(1, kw=[b"dictionary", [[b"unicode", said], 1]]),
        speaker.call([b"cached", said]),
        speaker.call([b"decimal", said]),
        speaker.message(b"answer", 12, said),
        speaker.message(b"error", 12, said),
    ]
    if dialect == "pb":
        # The other dialect has numbers there instead of names.
        messages += [
            speaker.message(said),
            speaker.message(b"didNotUnderstand", said),
            speaker.message(b"cachemessage", 1, said, b"x", 1, [b"tuple"], [b"dictionary"]),
            speaker.message(b"decref", said),
            speaker.message(b"decache", said),
            speaker.message(b"goodbye", said, said),
        ]
    for message in messages:
        victim = Victim(dialect, policy, House())
        victim.hear(message.replace(stand_in, surrogate))
        victim.end()
    log.check()
    assert log.heads


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_goodbyes(policy: str, text: str, log: Log) -> None:
    """A peer's text of its goodbye is one line at either end."""
    pair = pair_of(policy, "msgpack/1")
    said = f"a{text}b".encode("utf-8", "replace").decode()
    pair.server.leave(said[:20], said * 100)
    pair.client.leave(said[:20], said * 100)
    pair.exchange()
    pair.cut()
    log.check()
    assert sum(" leaves: " in head for head in log.heads) == 2


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_handshakes(text: str, log: Log) -> None:
    """Dialects and garbage before the handshake are escaped, at servers and at clients."""
    said = f"a{text}b".encode("utf-8", "surrogatepass")
    writer = Speaker("none")
    for is_client in (True, False):
        for data in (said * 50, writer.message(said), writer.message(said, said), b"\xff" * 100):
            end = Broker(is_client, policy=POLICIES["strict"])
            transport = FakeTransport(ManualScheduler(), f"unix:{text}")
            end.makeConnection(transport)
            end.dataReceived(data)
            end.connectionLost(Failure(ConnectionAborted(said.decode("utf-8", "replace"))))
    log.check()


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("dialect", BOTH)
@pytest.mark.parametrize("text", CROSSING, ids=ascii)
def test_names_of_calls_back(policy: str, dialect: str, text: str, log: Log) -> None:
    """The name of a method that a peer has chosen for calls back to it is escaped."""
    pair = pair_of(policy, dialect)
    pair.call("one_way", pb.Referenceable(), f"a{text}b")
    pair.call("notify", pb.Referenceable(), f"a{text}b")
    pair.cut()
    log.check()
    # Both calls, the method in which the subscribers raised, and the callback.
    assert sum(head.startswith(("ERROR", "WARNING")) for head in log.heads) == 4


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("dialect", BOTH)
@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_names_of_users(policy: str, dialect: str, text: str, log: Log) -> None:
    """A user name is escaped in each record about a login."""
    said = f"a{text}b".encode("utf-8", "surrogatepass")
    for name in (b"loginPassword", b"login", b"loginScram", b"loginToken"):
        victim = Victim(dialect, POLICIES[policy].but(challenge_login=True), portal())
        victim.transport.is_secure = True  # type: ignore[attr-defined]
        arguments = [said, b"x", [b"None"]] if name == b"loginPassword" else [said, [b"None"]]
        victim.hear(victim.speaker.call(*arguments[: 1 if name == b"login" else 3], name=name))
        victim.end()
    log.check()
    assert log.heads


def shared(levels: int) -> list[Any]:
    """A list that holds the same list twice, and so on."""
    value: list[Any] = []
    for _ in range(levels):
        value = [value, value]
    return value


LARGE = {"24 levels": shared(24), "44 levels": shared(44), "text": "x\n" * 7_500_000}


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("kind", ERRORS)
@pytest.mark.parametrize("large", LARGE)
def test_large_errors(policy: str, kind: str, large: str, log: Log) -> None:
    """For any content, an error is one record of at most 4 kB, written in a few milliseconds."""
    session = Broker(False, policy=POLICIES[policy])
    session.makeConnection(FakeTransport(ManualScheduler(), "PEER"))
    error = ERRORS[kind](LARGE[large])

    def tell() -> None:
        shown, _ = session.shown_error(error)
        if isinstance(shown, pb.CopyableFailure):
            shown.unsafeTracebacks = True
            assert len(str(shown.getStateToCopy())) < 200_000
        session.on_event(broker.core.events.CallRaised("look", error, None))
        repr(Failure(error)), str(Failure(error)), Failure(error).getBriefTraceback()
        fail(error)
        gc.collect(0)

    assert units(tell, 20) <= 20
    session.connectionLost(Failure(ConnectionAborted()))
    log.check()


@pytest.mark.parametrize("policy", POLICIES)
def test_large_errors_of_a_peer(policy: str, log: Log) -> None:
    """A client that logs a server's error writes at most 4 kB."""
    from broker.reactor import log as published

    pair = pair_of(policy, "msgpack/1")
    failure = pb.CopiedFailure.__new__(pb.CopiedFailure)
    failure.setCopyableState(
        {"type": "x\n" * 50_000, "value": "v\x1b" * 5_000_000, "traceback": "t\n" * 1_000_000}
    )

    def tell() -> None:
        for each in (failure, failure.as_exception()):
            published.err(each, "it failed\n")
            fail(each)
            pair.client.on_event(broker.core.events.CallRaised("look", each, None))
        gc.collect(0)

    assert units(tell, 20) <= 20
    assert str(failure.as_exception()).endswith("v\x1b")
    pair.cut()
    log.check()


def test_an_ordinary_traceback_is_whole(log: Log) -> None:
    """An application's exception is logged with all frames, its cause, and its text."""
    pair = pair_of("strict", "pb")
    pair.call("fail", "value", "Größe 5")
    pair.cut()
    log.check()
    assert "raise ERRORS[kind](value)\nValueError: Größe 5\n" in log.text
    assert "in remote_fail\n" in log.text


class Crowd:
    """Connections of one server from many addresses, whose clock a test moves."""

    def __init__(self, target: Any, policy: Policy):
        self.reception = Acceptor(policy, Counter())
        self.root = root_of(target)
        self.policy = policy
        self.scheduler = ManualScheduler()
        self.speaker = Speaker("pb")

    def visit(self, host: str, data: bytes) -> Broker | None:
        """Connect, send some bytes, and disconnect."""
        address = IPv4Address("TCP", host, 1)
        end = Broker(False, policy=self.policy)
        end.peer.address = address
        if not self.reception.receive(end, self.root.rootObject(end), address):
            return None
        end.makeConnection(FakeTransport(self.scheduler, address))
        end.dataReceived(self.speaker.greeting + data)
        end.connectionLost(Failure(ConnectionAborted()))
        return end


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("has_login", [True, False])
@pytest.mark.parametrize("sources", [1, 200])
def test_floods(policy: str, has_login: bool, sources: int, log: Log) -> None:
    """Ten records a second for one source, fifty for all; the number of omitted ones is exact."""
    crowd = Crowd(portal() if has_login else House(), POLICIES[policy])
    speaker = crowd.speaker
    bad = speaker.call(1, name=b"nothing", number=7)
    raising = speaker.call([b"unicode", b"value"], [b"unicode", b"x" * 2000], name=b"fail")
    for _ in range(5):
        for number in range(1000):
            crowd.visit(f"10.0.0.{number % sources}", bad if number % 2 else raising)
        crowd.scheduler.advance(1.0)
    log.check()
    found = [re.search(r"… (\d+) records? left out", head) for head in log.heads]
    told = [int(each[1]) for each in found if each is not None]
    assert len(told) == 5
    logged = len(log.heads) - len(told)
    assert logged <= 5 * (10 if sources == 1 else 50)
    assert logged + sum(told) == 5000
    assert sum(log.sizes) < 5 * 50_000


def test_a_flood_after_the_login(log: Log) -> None:
    """A logged-in client has two hundred records a second on each connection, and 40 kB."""
    victim = Victim("pb", "published", House())
    for number in range(2000):
        victim.hear(victim.speaker.call(1, name=b"nothing", number=number))
    victim.wait(1.0)
    assert len(log.heads) == OWN + 1
    assert log.heads[-1].endswith(f"… {2000 - OWN} records left out")
    for number in range(2000):
        victim.hear(victim.speaker.call([b"unicode", b"value"], 1, name=b"fail", number=number))
    victim.wait(1.0)
    assert sum(log.sizes[OWN + 1 :]) < 50_000
    victim.end()


def test_refusals(log: Log) -> None:
    """Refused connections count in the same limit."""
    crowd = Crowd(portal(), POLICIES["strict"])
    ends = []
    for _ in range(16):
        address = IPv4Address("TCP", "10.0.0.1", 1)
        end = Broker(False, policy=crowd.policy)
        assert crowd.reception.receive(end, crowd.root.rootObject(end), address)
        end.makeConnection(FakeTransport(crowd.scheduler, address))
        ends.append(end)
    for _ in range(7896):
        assert crowd.visit("10.0.0.1", b"") is None
    crowd.scheduler.advance(1.0)
    assert len(log.heads) == 11
    assert log.heads[-1].endswith("10.0.0.1: … 7886 records left out")
    assert crowd.reception.limits["max_waiting_each"] == 7896
    for end in ends:
        end.connectionLost(Failure(ConnectionAborted()))


def test_a_hook_that_raises(log: Log) -> None:
    """If an overridden hook raises in a later turn, the connection ends, and this is logged."""

    class Hooked(Broker):
        """Overrides a hook."""

        def proto_decref(self, objectID: Any) -> None:
            """Fail."""
            raise ValueError(f"a\n{objectID}")

    end = Hooked(False, policy=POLICIES["published"])
    transport = FakeTransport(ManualScheduler(), "PEER")
    end.makeConnection(transport)
    speaker = Speaker("pb")
    end.dataReceived(speaker.greeting)
    end.pump.has_turn = True
    end.dataReceived(speaker.message(b"decref", 5))
    end.pump._take_turn()
    assert transport.is_aborted
    end.connectionLost(Failure(ConnectionAborted()))
    log.check()
    assert any("a hook raised" in head for head in log.heads)


def test_cancelled_deferreds(log: Log) -> None:
    """In debug mode, a Deferred that fails with a peer's text is logged in printable lines."""
    Deferred().errback(ValueError("a\x1b\nb"))
    gc.collect()
    log.check()
    assert len(log.heads) == 1
