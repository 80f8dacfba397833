"""The base of the pump: what it is given, and what a method may do to its connection in a turn."""

from __future__ import annotations

from typing import Any

import pytest
from fuzz.lane_room import POLICIES, Quiet, Room
from support.lane_forms import LANES, PythonPump
from support.memory import BrokerPair
from support.no_memory import framed, frames_of

from broker.connection import log
from broker.connection.pump import Pump
from broker.connection.pump_base import BATCH, PumpBase, PythonPumpBase
from broker.flavors.referenceable import Root
from broker.native import native

ECHO = framed(1, 20, "root", "echo", [5], {})
AGAIN = framed(1, 21, "root", "echo", [6], {})
ANSWER = [5, 20, 5]
ANSWERS = [ANSWER, [5, 21, 6]]


@pytest.fixture(params=LANES)
def room(request: pytest.FixtureRequest) -> Any:
    """A server whose inbox is idle, in each form."""
    with Quiet():
        made = Room(request.param, False, POLICIES[0])
        made.feed(framed(1, 9, "root", "nothing", [], {}))
        made.transport.take()
        assert made.broker.session.inbox.is_idle
        yield made
        made.release()
        made.end()


def answers_of(room: Room) -> list[Any]:
    """Return the frames that were written."""
    return frames_of(room.transport.take())


def test_the_form(room: Room) -> None:
    """The pump of a Broker has the base in C if that is in use, and a test has the other one."""
    base = PythonPumpBase if native is None else native.PumpBase
    assert PumpBase is base
    assert type(room.broker.pump) in (Pump, PythonPump)


def test_a_turn(room: Room) -> None:
    """The bytes of an idle inbox are handled and answered at once, and counted."""
    stats = room.broker.session.stats
    received, sent = stats.bytes_received, stats.bytes_sent
    room.broker.dataReceived(ECHO)
    assert answers_of(room) == [ANSWER]
    assert room.broker.session.inbox.is_idle
    stats = room.broker.session.stats
    assert stats.bytes_received - received == len(ECHO)
    assert stats.bytes_sent - sent == len(framed(*ANSWER))


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_other_bytes(room: Room, kind: Any) -> None:
    """Bytes of another class are handled as well."""
    room.broker.dataReceived(bytes(kind(ECHO)))
    assert answers_of(room) == [ANSWER]


def test_several_frames(room: Room) -> None:
    """One frame is handled, then the others, in the same turn."""
    room.broker.dataReceived(ECHO + AGAIN)
    assert answers_of(room) == ANSWERS


def test_half_a_frame(room: Room) -> None:
    """Half a frame waits for the rest."""
    for size in range(1, len(ECHO)):
        room.broker.dataReceived(ECHO[:size])
        assert not room.broker.session.inbox.is_idle
        assert answers_of(room) == []
        room.broker.dataReceived(ECHO[size:])
        assert answers_of(room) == [ANSWER]


def test_a_frame_that_the_lane_leaves(room: Room) -> None:
    """A frame with a deadline goes the general path, and so does what is behind it."""
    room.broker.dataReceived(framed(1, 20, "root", "echo", [5], {}, 5000) + AGAIN)
    assert answers_of(room) == ANSWERS


def doing(room: Room, what: Any) -> bytes:
    """Return the frame of a call whose method does something."""
    room.act = lambda number: what()  # type: ignore[method-assign]
    return framed(1, 19, "root", "act", [0], {})


def test_a_method_that_takes_the_lane_away(room: Room) -> None:
    """What is behind the call is handled without a lane."""
    inbox = room.broker.session.inbox
    room.broker.dataReceived(doing(room, lambda: inbox.allow_lane(None)) + ECHO)
    assert inbox.lane is None
    assert [each[1] for each in answers_of(room)] == [19, 20]


def test_a_method_that_is_told_to_stop(room: Room) -> None:
    """KeyboardInterrupt leaves the turn, and the pump stays usable."""

    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        room.broker.dataReceived(doing(room, stop))
    pump = room.broker.pump
    assert not (pump._is_running or room.broker.calls.is_batched)
    room.scheduler.run()
    room.transport.take()
    room.broker.dataReceived(ECHO)
    assert answers_of(room)[-1] == ANSWER


def test_a_turn_inside_of_a_turn(room: Room) -> None:
    """A turn that a method asks for does nothing: the turn that runs goes on."""
    pump = room.broker.pump
    room.broker.dataReceived(doing(room, lambda: pump.run()) + ECHO)
    assert [each[1] for each in answers_of(room)] == [19, 20]


def test_too_many_unsent_bytes(room: Room) -> None:
    """Each byte that is written counts, and the unsent bytes are compared with the policy."""
    pump = room.broker.pump
    before = pump._write_budget
    room.broker.dataReceived(ECHO)
    assert before - pump._write_budget == len(framed(*ANSWER))
    pump._write_budget = 3
    room.broker.dataReceived(ECHO)
    assert pump._write_budget > 3, "the budget was not made again"


@pytest.mark.parametrize(("seconds", "told"), [(1.5, [("act", 1, 1.5)]), (0.9, [])])
def test_a_slow_method(
    room: Room, monkeypatch: pytest.MonkeyPatch, seconds: float, told: list[Any]
) -> None:
    """A method that takes more than a second is told, once, with its time."""
    seen: list[Any] = []
    monkeypatch.setattr(log, "blocked", lambda owner, *what: seen.append(what))

    def work() -> None:
        room.scheduler.clock += seconds

    room.broker.dataReceived(doing(room, work))
    room.broker.dataReceived(ECHO)
    assert seen == told


def test_what_may_have_left(room: Room) -> None:
    """A call may have left from the write on, not before."""
    outbox = room.broker.session.outbox
    room.broker.calls.is_batched = True
    promise: Any = room.root.callRemote("x", 1)
    promise.addErrback(lambda failure: None)
    number = room.broker.session.outgoing.open_calls.last
    assert not outbox.may_have_left(number)
    room.broker.pump.flush()
    assert outbox.may_have_left(number)


def test_a_closing_transport(room: Room) -> None:
    """Nothing is taken from the outbox then: calls that were not written end as not run."""
    outbox = room.broker.session.outbox
    room.transport.is_closing = True
    room.broker.dataReceived(ECHO)
    assert answers_of(room) == []
    assert outbox.unsent.size == len(framed(*ANSWER))
    room.transport.is_closing = False
    room.broker.pump.flush()
    assert answers_of(room) == [ANSWER]


def test_a_clock_that_fails(room: Room) -> None:
    """An error of the clock leaves the pump usable."""
    pump = room.broker.pump
    clock = pump._now

    def fails() -> float:
        raise ZeroDivisionError

    pump._now = fails
    with pytest.raises(ZeroDivisionError):
        pump.run(0.0, ECHO)
    pump._now = clock
    assert not (pump._is_running or room.broker.calls.is_batched)


def test_what_it_is_given() -> None:
    """Wrong arguments, and a pump that has not begun, are errors."""
    with Quiet():
        room = Room(LANES[-1], False, POLICIES[0])
        pump = room.broker.pump
        with pytest.raises(TypeError):
            pump.run(0.0, b"", None)  # type: ignore[call-arg]
        bare = Pump.__new__(Pump)
        for method in (bare.run, bare.flush, bare.soon_flush):
            with pytest.raises((RuntimeError, AttributeError)):
                method()
        room.release()
        room.end()


def test_written_at_the_end_of_the_turn() -> None:
    """One call alone is written at once, several at the end of the turn of the loop."""
    pair = BrokerPair(Root())
    there = pair.transport(pair.client)
    there.take()

    def written() -> int:
        return there.take().count(b"root")

    counts = []
    for number in range(3):
        pair.root.callRemote("x", number).addErrback(lambda failure: None)
        counts.append(written())
    assert counts == [1, 0, 0]
    pair.scheduler.step()
    assert written() == 2
    for number in range(BATCH + 8):
        pair.root.callRemote("x", number).addErrback(lambda failure: None)
    assert written() == BATCH
