"""A session on a transport: batching, timers, faults, and Twisted at the other end."""

from __future__ import annotations

import logging
import re
from types import SimpleNamespace
from typing import Any

import pytest
from support.broker_house import House, spoken
from support.memory import BrokerPair, ManualScheduler
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure as TwistedFailure
from twisted.spread import pb as twisted_pb

from broker.connection.broker import Broker
from broker.core.policy import PUBLISHED, STRICT, published_policy
from broker.core.wire.dialects import PB
from broker.defer import Deferred
from broker.errors import DeadReferenceError, PBConnectionLost, ProtocolError
from broker.flavors.paging import StringPager
from broker.flavors.referenceable import Referenceable
from jelly.limits import Limits

# Batches.


def test_a_single_call_leaves_at_once() -> None:
    """When nothing else is in flight a call is written without waiting for the turn to end."""
    pair = BrokerPair(House())
    before = len(pair.transport(pair.client).writes)
    pair.root.callRemote("echo", 1)
    assert len(pair.transport(pair.client).writes) == before + 1


def test_calls_of_one_turn_are_one_write() -> None:
    """Further calls of a turn leave together at its end, or early when they are many."""
    pair = BrokerPair(House())
    transport = pair.transport(pair.client)
    before = len(transport.writes)
    results = [pair.root.callRemote("echo", n) for n in range(20)]
    assert len(transport.writes) == before + 1
    pair.scheduler.run()
    assert len(transport.writes) == before + 2
    assert len(spoken(transport.writes[-1])) == 19
    for n, result in enumerate(results):
        assert pair.get(result) == n
    before = len(transport.writes)
    for n in range(100):
        pair.root.callRemote("echo", n)
    assert len(transport.writes) > before + 2


def test_answers_of_one_turn_are_one_write() -> None:
    """The answers to calls that came together leave together."""
    pair = BrokerPair(House())
    for n in range(20):
        pair.root.callRemote("echo", n)
    pair.client.flush()
    before = len(pair.transport(pair.server).writes)
    pair.server.dataReceived(pair.transport(pair.client).take())
    assert len(pair.transport(pair.server).writes) == before + 1


def test_a_slice_at_a_time() -> None:
    """Of many messages a slice is handled in a turn, in order, the rest in the next ones."""
    house = House()
    pair = BrokerPair(house, policy=STRICT.but(turn_messages=5))
    for n in range(12):
        pair.root.callRemote("echo", n)
    pair.client.flush()
    pair.server.dataReceived(pair.transport(pair.client).take())
    assert house.log == list(range(5))
    pair.scheduler.step()
    assert house.log == list(range(10))
    pair.scheduler.step()
    assert house.log == list(range(12))


def test_what_comes_meanwhile_waits_too() -> None:
    """Messages that come while others wait for their turn join these, and get no turn more."""
    house = House()
    pair = BrokerPair(house, policy=STRICT.but(turn_messages=5))
    for begin in (0, 10, 20):
        for n in range(begin, begin + 10):
            pair.root.callRemote("echo", n)
        pair.client.flush()
        pair.server.dataReceived(pair.transport(pair.client).take())
    assert house.log == list(range(5))
    for turn in range(2, 7):
        pair.scheduler.step()
        assert house.log == list(range(5 * turn))


@pytest.mark.parametrize("client_first", [True, False])
@pytest.mark.parametrize("scheduler", [None, False])
def test_either_side_first(client_first: bool, scheduler: Any) -> None:
    """Whichever side is connected first, with turns or without, the two understand each other."""
    pair = BrokerPair(House(), client_first=client_first, scheduler=scheduler)
    assert pair.call("echo", [1, "two"]) == [1, "two"]
    assert (pair.client.dialect, pair.server.dialect) == ("pb", "pb")


# Timers.


@pytest.mark.parametrize(
    ("side", "text"),
    [
        ("client", "no Perspective Broker offer in 10 s; is this a TLS port?"),
        ("server", "no choice of a dialect in 10 s"),
    ],
)
def test_no_offer(side: str, text: str, caplog: pytest.LogCaptureFixture) -> None:
    """A peer that says nothing is given up after ten seconds, with one line in the log."""
    pair = BrokerPair(connect=False)
    broker: Broker = getattr(pair, side)
    transport = pair.transport(broker)
    broker.makeConnection(transport)
    pair.scheduler.advance(9.9)
    assert not transport.is_aborted
    with caplog.at_level(logging.INFO, "broker"):
        pair.scheduler.advance(0.2)
    assert transport.is_aborted
    assert [record.message.partition(": ")[2] for record in caplog.records] == [text]
    pair.cut()
    assert isinstance(broker.reason, PBConnectionLost)
    assert str(broker.reason) == text
    assert (broker.reason.limit, broker.reason.most) == ("offer_timeout", 10.0)
    assert broker.session.stats.limits == {"offer_timeout": 1}


def test_timers_end_with_what_they_wait_for() -> None:
    """After the handshake, or the end, no timer is left."""
    pair = BrokerPair(House())
    assert pair.scheduler.waiting == 0
    pair.client.setup_timeouts.add("login", 5)
    pair.cut()
    assert pair.scheduler.waiting == 0


# Faults.


@pytest.mark.parametrize(
    "data",
    [
        b"\x90" * 1000,
        b"\x01" * 70,
        PB.writer(Limits()).write_expression([b"decref", 99]),
        b"\x05\x81",
    ],
)
def test_a_fault_of_the_peers(data: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """The connection is aborted with one log line of at most 400 bytes, and no more is handled."""
    house = House()
    pair = BrokerPair(house)
    call = PB.writer(Limits()).write_expression(
        [b"message", 7, b"root", b"echo", 1, [b"tuple"], [b"dictionary"]]
    )
    with caplog.at_level(logging.DEBUG, "broker"):
        pair.server.dataReceived(data + call)
        pair.server.dataReceived(call)
        pair.scheduler.run()
    assert pair.transport(pair.server).is_aborted
    assert house.log == []
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.message.startswith("closed the client: ")
    assert len(record.message.encode()) <= 400
    pair.cut()
    assert isinstance(pair.server.reason, ProtocolError)


def test_other_connections_do_not_notice() -> None:
    """A fault ends its own connection only."""
    house = House()
    bad, good = BrokerPair(house), BrokerPair(house)
    bad.server.dataReceived(b"\x90" * 10)
    assert good.call("echo", 5) == 5
    assert not good.transport(good.server).is_aborted


def test_a_transport_without_abort() -> None:
    """Where a transport cannot be aborted it is closed."""
    broker = Broker(False, policy=STRICT)
    transport: Any = StringTransport()
    transport.abortConnection = transport.loseConnection
    broker.makeConnection(transport)
    broker.dataReceived(b"\x90")
    assert transport.disconnecting


FORGED = "a\nERROR everything is lost"


@pytest.mark.parametrize(
    ("name", "args", "kw"),
    [
        (FORGED, (), {}),
        ("x" * 128, (), {}),
        ("echo", (1, 2, 3), {}),
        ("echo", (), {FORGED: 1}),
        ("echo", (), {"x" * 100_000: 1}),
        ("keep", (), {}),
    ],
)
@pytest.mark.parametrize("policy", [STRICT, PUBLISHED])
def test_one_line_for_each_bad_call(
    name: str, args: Any, kw: Any, policy: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """What a peer sends makes at most one line of at most 400 bytes, and forges none."""
    pair = BrokerPair(House(), policy=policy)
    with caplog.at_level(logging.DEBUG, "broker"):
        pair.call(name, *args, **kw)
    (record,) = caplog.records
    assert "\n" not in record.message
    assert len(record.message.encode()) <= 400


def test_a_text_of_another_peers(caplog: pytest.LogCaptureFixture) -> None:
    """An error that came from one peer, and goes on to another, forges no line either."""

    class Forging(Referenceable):
        def remote_forge(self) -> None:
            raise ProtocolError(FORGED)

    class Asking(House):
        def remote_ask(self, other: Any) -> Any:
            return other.callRemote("forge")

        async def remote_ask_async(self, other: Any) -> Any:
            return await other.callRemote("forge")

    for name in ("ask", "ask_async"):
        pair = BrokerPair(Asking())
        with caplog.at_level(logging.DEBUG, "broker"):
            assert pair.call(name, Forging()).check(ProtocolError)
        for record in caplog.records:
            assert "\n" not in record.message


def test_a_command_that_the_peer_does_not_know(caplog: pytest.LogCaptureFixture) -> None:
    """The peer says so, which is one line in the log here; the connection goes on."""
    pair = BrokerPair(House())
    pair.client.sendCall(b"new\ncommand", 1)
    with caplog.at_level(logging.WARNING, "broker"):
        pair.exchange()
    assert [record.message for record in caplog.records] == [
        "the server did not understand 'new\\ncommand'"
    ]
    assert pair.call("echo", 5) == 5


def test_late_answers_leave_by_themselves() -> None:
    """An answer that comes when all is quiet is written without anybody asking."""
    house = House()
    pair = BrokerPair(house)
    pair.root.callRemote("wait").addErrback(lambda _: None)
    pair.root.callRemote("wait").addErrback(lambda _: None)
    pair.exchange()
    transport = pair.transport(pair.server)
    before = len(transport.writes)
    house.waiting[0].callback(5)
    house.waiting[1].errback(KeyError("late"))
    pair.scheduler.run()
    assert b"".join(transport.writes[before:])
    commands = [m[0] for data in transport.writes[before:] for m in spoken(data)]
    assert commands == [b"answer", b"error"]
    pair.cut()


def test_a_fault_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    """What a method raises is logged with its traceback and the id that the peer was shown."""
    pair = BrokerPair(House())
    with caplog.at_level(logging.ERROR, "broker"):
        failure = pair.call("fail")
    (record,) = caplog.records
    text = re.fullmatch(
        r"internal error \(id ([0-9a-f]{8})\); the server's log has it under that id", failure.value
    )
    assert text is not None
    error_id = text[1]
    assert record.message == f"remote method 'fail' raised (id {error_id})"
    assert record.exc_info is not None
    assert record.exc_info[0] is ValueError


# Published names.


def test_the_published_policy() -> None:
    """A Broker that is made by its published name goes by the published policy."""
    policy = Broker(True).policy
    assert policy == published_policy()
    assert not policy.declared_state
    assert Broker.version == 6
    assert published_policy(unsafe_tracebacks=True).unsafe_tracebacks


def test_string_transport() -> None:
    """A Broker over Twisted's StringTransport writes at once."""
    server, client = Broker(False), Broker(True)
    transports = {server: StringTransport(), client: StringTransport()}
    house = House()
    server.setNameForLocal("root", house)
    for broker, transport in transports.items():
        broker.makeConnection(transport)

    def cross() -> None:
        for sender, receiver in ((server, client), (client, server)) * 3:
            data = transports[sender].value()
            transports[sender].clear()
            if data:
                receiver.dataReceived(data)

    cross()
    results: list[Any] = []
    client.remoteForName("root").callRemote("echo", "hi").addCallback(results.append)
    assert transports[client].value()
    cross()
    assert results == ["hi"]


class TwistedHouse(twisted_pb.Root):  # type: ignore[misc]
    """The same, by Twisted."""

    def remote_echo(self, value: Any) -> Any:
        """Return it."""
        return value

    def remote_call_back(self, value: Any) -> Any:
        """Call what was handed over."""
        return value.callRemote("echo", "from Twisted")

    def remote_fail(self) -> None:
        """Raise."""
        raise twisted_pb.Error("on purpose")


class CallingBack(House):
    """Calls what was handed over."""

    def remote_call_back(self, value: Any) -> Any:
        """Call it."""
        return value.callRemote("echo", "from ours")


class TwistedEcho(twisted_pb.Referenceable):  # type: ignore[misc]
    """Something of Twisted's that is handed over."""

    def remote_echo(self, value: Any) -> Any:
        """Return it."""
        return value


@pytest.mark.parametrize("ours_is_client", [True, False])
@pytest.mark.parametrize("chunk", [1, 1448])
def test_twisteds_broker_at_the_other_end(ours_is_client: bool, chunk: int) -> None:
    """Calls, callbacks and errors cross to Twisted's own Broker, either way."""
    ours: Any = Broker(ours_is_client)
    theirs: Any = twisted_pb.Broker(not ours_is_client)
    transports = {ours: StringTransport(), theirs: StringTransport()}
    client, server = (ours, theirs) if ours_is_client else (theirs, ours)
    server.setNameForLocal("root", TwistedHouse() if ours_is_client else CallingBack())
    theirs.factory = SimpleNamespace(clientConnectionMade=lambda _: None, unsafeTracebacks=False)
    ours.makeConnection(transports[ours])
    theirs.makeConnection(transports[theirs])

    def cross() -> None:
        for sender, receiver in ((server, client), (client, server)) * 12:
            data = transports[sender].value()
            transports[sender].clear()
            for begin in range(0, len(data), chunk):
                receiver.dataReceived(data[begin : begin + chunk])

    def get(result: Any) -> Any:
        found: list[Any] = []
        result.addBoth(found.append)
        cross()
        return found[0]

    cross()
    root = client.remoteForName("root")
    assert get(root.callRemote("echo", [1, ("two", None), {b"x": 1.5}])) == [
        1,
        ("two", None),
        {b"x": 1.5},
    ]
    mine = House() if ours_is_client else TwistedEcho()
    expected = "from Twisted" if ours_is_client else "from ours"
    assert get(root.callRemote("call_back", mine)) == expected
    failure = get(root.callRemote("fail"))
    assert failure.check("twisted.spread.pb.Error" if ours_is_client else "builtins.ValueError")
    ours.connectionLost(TwistedFailure(Exception("cut")))
    theirs.connectionLost(TwistedFailure(Exception("cut")))


def test_published_doors() -> None:
    """The published methods lead to session and tables."""
    pair = BrokerPair(House())
    server = pair.server
    thing = Referenceable()
    luid = server.registerReference(thing)
    assert server.registerReference(thing) == luid
    assert server.localObjectForID(luid) is thing
    assert type(server.localObjectForID("root")) is House
    assert server.localObjectForID(99) is None
    assert server.serialize(thing) == [b"remote", luid]
    assert server.unserialize([b"local", luid]) is thing
    assert server.serializingPerspective is server.unserializingPerspective is None
    result: Deferred[Any] = Deferred()
    expressions: list[Any] = []
    server.serialize(result).addCallback(expressions.append)
    assert expressions == []
    result.callback([1])
    assert expressions == [[b"list", 1]]
    pair.client.sendCall(b"message", 50, b"root", b"echo", 0, [b"tuple", 8], [b"dictionary"])
    pair.exchange()
    assert server.localObjectForID("root").log == [8]


def test_what_hooks_see() -> None:
    """While a message is made, hooks see for whom; while one is read, they see it too."""
    seen: list[Any] = []

    class Looking(Referenceable):
        def jellyFor(self, jellier: Any) -> Any:
            seen.append(jellier.invoker.serializingPerspective)
            return super().jellyFor(jellier)

    pair = BrokerPair(House())
    pair.client.serialize([Looking()], "eyes")
    assert seen == ["eyes"]
    assert pair.client.serializingPerspective is None


def test_paging_ends_with_a_peer_that_leaves() -> None:
    """Who has said goodbye gets no more pages, though its connection has not ended yet."""
    house = House()
    pair = BrokerPair(house, policy=STRICT)
    pair.call("keep", Referenceable())
    (collector,) = house.kept
    transport: Any = pair.transport(pair.server)
    taken: list[bool] = []
    transport.registerProducer = lambda producer, streaming: taken.append(True)
    transport.unregisterProducer = lambda: taken.append(False)
    StringPager(collector, b"x" * 100, 10)
    pair.client.leave("closing", "the client is closing")
    pair.exchange()
    pair.server.resumeProducing()
    assert pair.server.pageProducers == []
    assert taken == [True, False]


def test_a_dead_connection_takes_no_calls() -> None:
    """After a fault, even before the transport has closed, a call raises at once."""
    pair = BrokerPair(House())
    pair.client.dataReceived(b"\x90")
    with pytest.raises(DeadReferenceError):
        pair.root.callRemote("echo")


def test_the_manual_scheduler_is_needed_for_turns() -> None:
    """The scheduler of a transport is the one that is used."""
    scheduler = ManualScheduler()
    pair = BrokerPair(House(), scheduler=scheduler)
    pair.root.callRemote("echo", 1)
    pair.root.callRemote("echo", 2)
    assert scheduler.step()


class Stubborn:
    """Looks like a cache that is held, and lets nobody set anything."""

    def __setattr__(self, name: str, value: Any) -> None:
        raise TypeError(f"{name} is not to be set")


def test_a_cache_that_refuses_attributes_does_not_stop_the_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A connection ends for everybody, also when the class of a cache raises meanwhile."""
    pair = BrokerPair(House())
    told: list[str] = []
    first, second = Stubborn(), House()
    pair.client.cacheLocally(1, first)
    pair.client.cacheLocally(2, second)
    pair.client.notifyOnDisconnect(lambda: told.append("gone"))
    pair.client.connectionLost(TwistedFailure(Exception("cut")))
    assert (told, pair.client.closed.called) == (["gone"], True)
    assert vars(second)["broker"] is None
    assert [record.levelname for record in caplog.records] == ["ERROR"]
