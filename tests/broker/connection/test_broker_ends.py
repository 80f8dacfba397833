"""A session on a transport: its end, pressure, and references that are let go."""

from __future__ import annotations

import asyncio
import gc
import logging
import re
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from support.broker_house import House, spoken
from support.memory import BrokerPair
from support.ticket_office import DIALECTS

from broker.core.policy import STRICT
from broker.core.wire.messages import Goodbye
from broker.defer import CancelledError
from broker.errors import DeadReferenceError, PBConnectionLost
from broker.flavors.paging import StringPager
from broker.flavors.referenceable import Referenceable, Root
from broker.limit_errors import limit_error
from broker.net.scheduler import LoopScheduler
from broker.net.transport_port import LINGER_SIZE

# The end.


def test_ids_of_errors_that_are_left_out(caplog: pytest.LogCaptureFixture) -> None:
    """Each id that a peer is shown is in the log, also when most errors are only counted."""
    pair = BrokerPair(House())
    with caplog.at_level(logging.ERROR, "broker"):
        shown = {
            re.findall(r"\(id ([0-9a-f]{8})\)", pair.call("fail").value)[0] for _ in range(300)
        }
        pair.scheduler.advance(1.0)
    assert 2 < len(shown) < 300
    assert all(error_id in caplog.text for error_id in shown)
    (told,) = [text for text in caplog.messages if "left out" in text]
    assert re.search(r"left out; the id of errors among them is [0-9a-f]{8}$", told)


def test_the_log_of_a_client_has_its_errors(caplog: pytest.LogCaptureFixture) -> None:
    """A server that calls a method of its client is sent to the log of the client."""
    pair = BrokerPair(House())
    outcome: list[Any] = []
    reference = pair.server.remoteForName("house")
    pair.client.setNameForLocal("house", House())
    reference.callRemote("fail").addErrback(outcome.append)
    with caplog.at_level(logging.ERROR, "broker"):
        pair.exchange()
    (failure,) = outcome
    assert failure.value.endswith("; the client's log has it under that id")


class Relay(Root):
    """Passes on what an object of its caller's raises."""

    def remote_relay(self, reference: Any) -> Any:
        """Call it back."""
        return reference.callRemote("fail")


def test_the_log_of_a_relay_has_both_ids(caplog: pytest.LogCaptureFixture) -> None:
    """An error that is passed on gets an id of the relay's; its log has that, and the first id."""
    pair = BrokerPair(Relay())
    with caplog.at_level(logging.ERROR, "broker"):
        failure = pair.call("relay", House())
    (shown,) = re.findall(r"\(id ([0-9a-f]{8})\)", failure.value)
    first, second = caplog.messages
    (own,) = re.findall(r"^remote method 'fail' raised \(id ([0-9a-f]{8})\)$", first)
    assert second == (
        f"remote method 'relay' raised (id {shown}): internal error (id {own});"
        " the client's log has it under that id"
    )


def test_what_a_cancelled_method_tells() -> None:
    """The peer reads that the method was cancelled, and no id, since the log has no record."""
    house = House()
    pair = BrokerPair(house)
    outcome: list[Any] = []
    pair.root.callRemote("wait").addErrback(outcome.append)
    pair.exchange()
    house.waiting[0].errback(asyncio.CancelledError())
    pair.exchange()
    (failure,) = outcome
    assert (failure.type, failure.value) == (
        "twisted.spread.pb.RemoteError", "the method was cancelled"
    )  # fmt: skip


def test_a_cancelled_method(caplog: pytest.LogCaptureFixture) -> None:
    """A method that ends as cancelled is no fault of ours, and fills no log."""
    for kind in (CancelledError, asyncio.CancelledError):
        house = House()
        pair = BrokerPair(house)
        outcome: list[Any] = []
        pair.root.callRemote("wait").addBoth(outcome.append)
        pair.exchange()
        with caplog.at_level(logging.INFO, "broker"):
            house.waiting[0].errback(kind("'wait' was cancelled"))
            pair.exchange()
        assert outcome
        assert caplog.text == ""


def test_what_comes_after_a_goodbye() -> None:
    """It is ignored, whatever it is, and the connection is closed."""
    house = House()
    pair = BrokerPair(house, policy=STRICT)
    pair.client.session.outbox.say(Goodbye("closing", "bye"))
    pair.root.callRemote("echo", 1).addErrback(lambda _: None)
    pair.exchange()
    assert house.log == []
    pair.server.dataReceived(b"\xff" * 4)
    server = pair.transport(pair.server)
    assert (server.is_losing, server.is_aborted) == (True, False)
    pair.cut()
    assert str(pair.server.reason) == "the peer closed the connection: bye"


@pytest.mark.parametrize("unsent", [LINGER_SIZE, LINGER_SIZE + 1])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_how_a_fault_ends_the_connection(unsent: int, dialect: str) -> None:
    """So that the peer can read the goodbye, unless it reads nothing or the dialect has none."""
    pair = BrokerPair(House(), policy=STRICT.but(dialects=(dialect,)))
    server = pair.transport(pair.server)
    server.unsent = unsent
    pair.server.cut(PBConnectionLost("for a reason"), "for a reason")
    assert server.is_aborted
    assert server.is_left == (dialect == "msgpack/1" and unsent == LINGER_SIZE)
    pair.cut()
    assert str(pair.server.reason) == "for a reason"


def test_no_message_is_handled_after_a_fault() -> None:
    """Those that wait for their turn are dropped, though the connection has not ended yet."""
    house = House()
    pair = BrokerPair(house, policy=STRICT.but(turn_messages=1))
    for number in range(3):
        pair.root.callRemote("echo", number).addErrback(lambda _: None)
    pair.client.flush()
    pair.server.dataReceived(pair.transport(pair.client).take())
    assert pair.server.pump.has_turn
    pair.server.cut(PBConnectionLost("for a reason"), "for a reason")
    pair.scheduler.run()
    assert house.log == [0]
    pair.cut()


def test_the_goodbye_is_behind_the_pages() -> None:
    """A connection sends the pages of its Pagers before it says goodbye."""
    house = House()
    pair = BrokerPair(house, policy=STRICT)
    pair.call("keep", Referenceable())
    transport: Any = pair.transport(pair.server)
    transport.registerProducer = lambda producer, streaming: None
    ended: list[bool] = []
    transport.unregisterProducer = lambda: ended.append(True)
    StringPager(house.kept[0], b"x" * 100, 50)
    pair.server.leave("closing", "bye")
    assert transport.is_left
    while not ended:
        assert b"bye" not in b"".join(transport.writes)
        pair.server.resumeProducing()
    assert transport.writes[-1].endswith(b"bye")
    with pytest.raises(DeadReferenceError):
        pair.server.remoteForName("root").callRemote("echo")


def test_pending_calls() -> None:
    """Each pending call fails with PBConnectionLost, and knows of what."""
    pair = BrokerPair(House())
    failures: list[Any] = []
    pair.root.callRemote("wait").addErrback(failures.append)
    pair.exchange()
    pair.root.callRemote("echo").addErrback(failures.append)
    pair.root.callRemote("echo").addErrback(failures.append)
    pair.cut(clean=True)
    assert [failure.check(PBConnectionLost) for failure in failures] == [PBConnectionLost] * 3
    assert [failure.value.may_have_run for failure in failures] == [True, False, False]
    assert "closed cleanly" in str(failures[0].value)
    assert failures[0].value.limit == ""


def test_pending_calls_are_told_of_the_limit() -> None:
    """If a limit of this side has ended the connection, the error of each call has it, too."""
    pair = BrokerPair(House())
    failures: list[Any] = []
    pair.root.callRemote("wait").addErrback(failures.append)
    pair.exchange()
    pair.client.abort(limit_error(PBConnectionLost, "partial_timeout", 30.0))
    pair.cut()
    (error,) = (failure.value for failure in failures)
    assert (error.limit, error.most, error.got) == ("partial_timeout", 30.0, None)
    assert str(error) == "message not completed in 30 s"
    assert pair.client.session.stats.limits == {"partial_timeout": 1}
    assert pair.server.session.stats.limits == {}


def test_everything_is_let_go() -> None:
    """Tables, notifiers and calls of an ended connection hold nothing."""
    house = House()
    pair = BrokerPair(house)
    pair.call("keep", Referenceable())
    told: list[str] = []
    for broker, name in ((pair.client, "client"), (pair.server, "server")):
        broker.notifyOnDisconnect(lambda name=name: told.append(name))
        broker.notifyOnFail(lambda: told.append("failed"))
    taken: Callable[[], None] = lambda: told.append("taken back")  # noqa: E731
    pair.client.notifyOnDisconnect(taken)
    pair.client.dontNotifyOnDisconnect(taken)
    pair.client.dontNotifyOnDisconnect(taken)
    closed: list[Any] = []
    pair.client.closed.addCallback(closed.append)
    pair.cut()
    pair.cut()
    assert told == ["client", "server"]
    assert closed == [None]
    assert pair.client.disconnected == pair.server.disconnected == 1
    for broker in (pair.client, pair.server):
        translator = broker.session.translator
        tables = (
            translator.exports,
            translator.imports,
            translator.cacheables,
            translator.remote_caches,
        )
        assert [len(table) for table in tables] == [0, 0, 0, 0]
    assert "closed" in repr(pair.client)
    house.kept.clear()
    pair.collect()


def test_notifiers_that_raise(caplog: pytest.LogCaptureFixture) -> None:
    """A notifier that raises is logged; the others are called."""
    pair = BrokerPair(House())
    told: list[int] = []
    pair.client.notifyOnDisconnect(lambda: int("no number"))
    pair.client.notifyOnDisconnect(lambda: told.append(1))
    with pytest.raises(TypeError):
        pair.client.notifyOnDisconnect(5)  # type: ignore[arg-type]
    with caplog.at_level(logging.ERROR, "broker"):
        pair.cut()
    assert told == [1]
    assert "a callback of the application raised" in caplog.text


def test_notifiers_of_the_beginning() -> None:
    """``notifyOnConnect`` comes when calls can be made, ``notifyOnFail`` if they never could."""
    told: list[str] = []
    pair = BrokerPair(House(), connect=False)
    pair.client.notifyOnConnect(lambda: told.append("connected"))
    pair.client.notifyOnFail(lambda: told.append("failed"))
    assert told == []
    pair.connect()
    pair.client.notifyOnConnect(lambda: told.append("at once"))
    pair.cut()
    assert told == ["connected", "at once"]
    failing = BrokerPair(connect=False)
    failing.client.notifyOnFail(lambda: told.append("failed"))
    failing.client.notifyOnDisconnect(lambda: told.append("disconnected"))
    failing.client.makeConnection(failing.transport(failing.client))
    failing.cut()
    assert told[2:] == ["failed"]


def test_notifiers_of_what_cannot_happen_any_more() -> None:
    """``notifyOnFail`` keeps nothing once calls can be made, as a callback may hold a reference."""
    pair = BrokerPair(House())
    notifier = House().remote_wait
    kept = weakref.ref(notifier.__self__)
    pair.client.notifyOnFail(notifier)
    del notifier
    assert kept() is None
    with pytest.raises(TypeError):
        pair.client.notifyOnFail(5)  # type: ignore[arg-type]


def test_answers_that_come_too_late() -> None:
    """A method that ends after its connection changes nothing, and exports nothing."""
    house = House()
    pair = BrokerPair(house)
    pair.root.callRemote("wait").addErrback(lambda _: None)
    pair.exchange()
    pair.cut()
    house.waiting[0].callback(Referenceable())
    assert len(pair.server.session.translator.exports) == 0


def test_cancelling_a_call() -> None:
    """A cancelled call ends at once; its answer, if it comes, is dropped and let go."""
    house = House()
    pair = BrokerPair(house)
    failures: list[Any] = []
    call = pair.root.callRemote("wait").addErrback(failures.append)
    pair.exchange()
    call.cancel()
    assert len(failures) == 1
    house.waiting[0].callback(Referenceable())
    pair.exchange()
    assert len(pair.server.session.translator.exports) == 0
    assert pair.call("echo", 5) == 5


def test_draining() -> None:
    """``drain`` refuses further calls and fires when none is left."""
    house = House()
    pair = BrokerPair(house)
    answer = pair.root.callRemote("wait")
    pair.exchange()
    idle: list[Any] = []
    pair.server.drain().addCallback(idle.append)
    assert "ServerDraining" in pair.call("echo", 1).type
    assert house.log == idle == []
    house.waiting[0].callback(7)
    assert pair.get(answer) == 7
    assert idle == [None]
    assert BrokerPair(House()).server.drain().called


# Pressure.


def test_answers_that_are_not_taken() -> None:
    """While a peer does not read, no call of its is started; below the mark they go on."""
    house = House()
    pair = BrokerPair(house)
    transport = pair.transport(pair.server)
    transport.unsent = STRICT.high_water + 1
    much = "x" * transport.unsent
    pair.root.callRemote("echo", much)
    pair.exchange()
    assert house.log == [much]
    answers = [pair.root.callRemote("echo", n) for n in (2, 3)]
    pair.exchange()
    assert house.log == [much]
    assert not transport.is_paused
    transport.unsent = 0
    transport.on_drained()
    assert house.log == [much, 2, 3]
    assert [pair.get(answer) for answer in answers] == [2, 3]


def test_a_peer_that_takes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Above max_unsent the connection is aborted, once it is sure that nothing is taken."""
    pair = BrokerPair(House())
    pair.transport(pair.server).unsent = STRICT.max_unsent + 1
    with caplog.at_level(logging.WARNING, "broker"):
        pair.root.callRemote("echo", "x" * STRICT.high_water).addErrback(lambda _: None)
        pair.exchange()
        assert not pair.transport(pair.server).is_aborted
        pair.scheduler.advance(2)
    assert pair.transport(pair.server).is_aborted
    assert f"peer is not reading ({STRICT.max_unsent + 1} bytes unsent)" in caplog.text
    pair.cut()


def test_reading_stops_at_the_cap_and_goes_on() -> None:
    """A backlog above its cap stops reading; when it has been handled, reading goes on."""
    house = House()
    pair = BrokerPair(house, policy=STRICT.but(max_backlog=500, turn_messages=2))
    transport = pair.transport(pair.server)
    for n in range(100):
        pair.root.callRemote("echo", n)
    pair.client.flush()
    pair.server.dataReceived(pair.transport(pair.client).take())
    assert transport.is_paused
    pair.scheduler.run()
    assert house.log == list(range(100))
    assert not transport.is_paused


def test_reading_stops_and_goes_on_with_held_calls() -> None:
    """So it is for calls that wait until the peer reads."""
    house = House()
    pair = BrokerPair(house, policy=STRICT.but(max_backlog=500))
    transport = pair.transport(pair.server)
    transport.unsent = STRICT.high_water + 1
    pair.server.flush()
    pair.server.session.inbox.hold_calls(True)
    for n in range(100):
        pair.root.callRemote("echo", n)
    pair.client.flush()
    pair.server.dataReceived(pair.transport(pair.client).take())
    assert transport.is_paused
    assert house.log == []
    transport.unsent = 0
    transport.on_drained()
    pair.scheduler.run()
    assert len(house.log) == 100
    assert not transport.is_paused


def test_a_transport_that_closes_is_written_nothing() -> None:
    """What a closing transport would drop stays unwritten: those calls have not run, surely."""
    pair = BrokerPair(House())
    transport = pair.transport(pair.client)
    ends: list[bool] = []
    for is_closing in (False, True):
        transport.is_closing = is_closing
        called = pair.root.callRemote("wait")
        called.addErrback(lambda failure: ends.append(failure.value.may_have_run))
        pair.scheduler.run()
    assert len(spoken(transport.take())) == 1
    pair.cut()
    assert ends == [True, False]


# Letting go.


def test_a_reference_collected_in_a_thread() -> None:
    """The peer is told, by way of the scheduler, also on a quiet connection."""
    house = House()
    pair = BrokerPair(house)
    pair.call("keep", Referenceable())
    thread = threading.Thread(target=house.kept.clear)
    thread.start()
    thread.join()
    assert len(pair.client.session.translator.exports) == 1
    pair.exchange()
    assert len(pair.client.session.translator.exports) == 0


def test_a_reference_collected_after_its_loop() -> None:
    """A loop that is closed is told nothing, and nobody hears of that."""
    house = House()

    async def make_a_pair() -> Any:
        pair = BrokerPair(connect=False)
        broker = pair.server
        transport: Any = pair.transport(broker)
        transport.scheduler = LoopScheduler(asyncio.get_running_loop())
        broker.makeConnection(transport)
        house.kept.append(broker.unserialize([b"remote", 5]))
        return pair

    pair = asyncio.run(make_a_pair())
    house.kept.clear()
    gc.collect()
    assert len(pair.server.session.translator.imports) == 0


def test_everything_leaves_without_a_scheduler() -> None:
    """Under a transport without any scheduler each message is written at once."""
    house = House()
    pair = BrokerPair(house, scheduler=False)
    for n in range(3):
        before = len(pair.transport(pair.client).writes)
        pair.root.callRemote("echo", n)
        assert len(pair.transport(pair.client).writes) == before + 1
    pair.call("keep", Referenceable())
    house.kept.clear()
    pair.exchange()
    assert len(pair.client.session.translator.exports) == 0
