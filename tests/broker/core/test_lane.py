"""The lane as the inbox uses it: when it runs, where the inbox goes on, and what closes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from support.lane_forms import FORMS, LANES
from support.memory import FakeTransport, ManualScheduler

from broker.core.lane import Lane
from broker.core.policy import STRICT, Policy
from broker.errors import ProtocolError
from broker.flavors.referenceable import Root


def framed(*fields: Any) -> bytes:
    """Return a frame."""
    body = msgspec.msgpack.encode(fields)
    return len(body).to_bytes(4, "big") + body


def call(number: int) -> bytes:
    """Return a call."""
    return framed(1, number, "root", "echo", [number], {})


class House(Root):
    """Writes down what the general path has called."""

    def __init__(self) -> None:
        self.log: list[Any] = []

    def remote_echo(self, value: Any) -> Any:
        """Return it."""
        self.log.append(value)
        return value


class Fake:
    """A lane that takes some frames, and writes down what it was asked.

    Attributes:
        takes: how many frames it takes at most before it leaves the next one.
        log: the arguments of each run: the bytes from the start, and the most.
        during: called in the middle of each frame.
    """

    def __init__(self, reader: Any):
        self.reader = reader
        self.is_open = self.has_more = False
        self.position = self.handled = 0
        self.takes = 100
        self.log: list[tuple[int, int]] = []
        self.during: Callable[[], object] = lambda: None
        self.counted = self.retired = 0

    def run(self, data: bytes, start: int, most: int, /) -> None:
        """Take frames."""
        assert self.is_open
        self.log.append((len(data) - start, most))
        self.position, self.handled, self.has_more = start, 0, False
        while self.is_open and len(data) - self.position >= 4:
            size = 4 + int.from_bytes(data[self.position : self.position + 4], "big")
            if size > len(data) - self.position or not self.takes:
                return
            if self.handled == most:
                self.has_more = True
                return
            self.takes -= 1
            self.handled += 1
            self.position += size
            self.during()

    def count(self) -> None:
        """Count that."""
        self.counted += 1

    def retire(self) -> None:
        """Count that."""
        self.retired += 1


class Place:
    """An end with a fake lane."""

    def __init__(self, policy: Policy = STRICT):
        self.scheduler = ManualScheduler()
        self.house = House()
        self.broker = FORMS["none"](False, policy=policy)
        self.broker.setNameForLocal(b"root", self.house)
        self.broker.makeConnection(FakeTransport(self.scheduler))
        self.broker.dataReceived(b"\x09\x82msgpack/1")
        self.broker.dataReceived(framed(0, 6))
        self.session = self.broker.session
        self.inbox = self.session.inbox
        self.lanes: list[Fake] = []
        self.session.use_lane(self.make)

    def make(self) -> Lane:
        """Make the lane."""
        self.lanes.append(Fake(self.inbox.reader))
        return self.lanes[-1]

    @property
    def lane(self) -> Fake:
        """The lane."""
        return self.lanes[-1]

    def feed(self, data: bytes) -> None:
        """Receive bytes, and let turns pass."""
        self.broker.dataReceived(data)
        self.scheduler.run()


@pytest.mark.parametrize("form", LANES)
def test_both_forms_are_lanes(form: str) -> None:
    """Each form has the attributes and methods of the protocol, and begins closed."""
    broker = FORMS[form](False, policy=STRICT)
    broker.makeConnection(FakeTransport(ManualScheduler()))
    broker.dataReceived(b"\x09\x82msgpack/1")
    broker.dataReceived(framed(0, 6) + framed(12, 1))
    broker.dataReceived(framed(12, 2))
    lane: Any = broker.session.inbox.lane
    assert lane.reader is broker.session.inbox.reader
    assert (lane.handled, lane.has_more) == (0, False)
    lane.is_open = False
    assert lane.is_open is False
    assert lane.run(call(1), 0, -1) is None
    assert lane.position == 0
    assert lane.count() is None


def test_made_when_needed() -> None:
    """The lane is made when the next bytes arrive, once."""
    place = Place()
    assert place.lanes == []
    for number in range(3):
        place.feed(call(number))
    assert len(place.lanes) == 1
    # One frame at first, as for every turn.
    assert place.lane.log == [(len(call(0)), 1)] * 3
    assert place.house.log == []
    assert place.inbox.is_idle


def test_slices() -> None:
    """A turn begins with one frame, and goes on with ever more; bytes stay where they are."""
    place = Place()
    place.feed(call(0))
    place.lane.log.clear()
    size = len(call(0))
    place.feed(b"".join(map(call, range(9))))
    assert place.lane.log == [(9 * size, 1), (8 * size, 1), (7 * size, 2), (5 * size, 4), (size, 8)]
    assert place.inbox.is_idle
    assert place.inbox.waiting == place.inbox.pending == 0


@pytest.mark.parametrize("takes", range(6))
def test_what_it_leaves(takes: int) -> None:
    """The general path goes on exactly behind the last frame that the lane has taken."""
    place = Place()
    place.feed(call(0))
    place.lane.takes = takes
    place.feed(b"".join(map(call, range(5))) + call(9)[:7])
    assert place.house.log == list(range(takes, 5))
    assert place.inbox.pending == 7
    assert not place.inbox.is_idle
    place.lane.takes = 100
    place.feed(call(9)[7:])
    assert place.house.log == list(range(takes, 5))
    assert place.inbox.is_idle


@pytest.mark.parametrize("size", [1, 2, 3, 5, 11])
def test_pieces(size: int) -> None:
    """Frames in any pieces reach the lane whole."""
    place = Place()
    place.feed(call(0))
    data = b"".join(map(call, range(7)))
    for at in range(0, len(data), size):
        place.feed(data[at : at + size])
    assert place.lane.takes == 100 - 8
    assert place.house.log == []


def test_closed_during_a_run() -> None:
    """Whoever closes the lane stops it behind its frame; what it had not taken waits."""
    place = Place()
    place.feed(call(0))
    seen: list[Any] = []

    def close() -> None:
        place.inbox.close_lane()
        seen.append((place.lane.is_open, place.inbox.pending, place.inbox.has_more))

    place.lane.during = close
    size = len(call(1))
    place.feed(call(1) + call(2) + call(3)[:5])
    assert seen == [(False, size + 5, True), (False, 5, False)]
    assert place.inbox.pending == 5


def test_bytes_that_come_during_a_run() -> None:
    """Bytes that a method feeds wait behind those that are there."""
    place = Place()
    place.feed(call(0))
    later = [call(5), call(6)[:6], call(6)[6:]]
    place.lane.during = lambda: place.broker.dataReceived(later.pop(0)) if later else None
    place.lane.takes = 2
    place.feed(call(1) + call(2) + call(3))
    assert place.house.log == [3, 5]
    place.feed(later.pop())
    assert place.house.log == [3, 5, 6]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_exception(error: type[BaseException]) -> None:
    """After an exception that passes through, the inbox goes on behind the frame."""
    place = Place()
    place.feed(call(0))

    def stop() -> None:
        place.lane.during = lambda: None
        raise error

    place.lane.during = stop
    with pytest.raises(error):
        place.broker.dataReceived(call(1) + call(2))
    place.lane.takes = 0
    place.scheduler.run()
    assert place.house.log == [2]
    place.feed(call(3))
    assert place.house.log == [2, 3]


def test_a_fault_of_the_peer() -> None:
    """A ProtocolError that the lane raises ends the connection; nothing behind it is handled."""
    place = Place()
    place.feed(call(0))

    def refuse() -> None:
        raise ProtocolError("not legal")

    place.lane.during = refuse
    place.feed(call(1) + call(2))
    assert str(place.broker._fault) == "not legal"
    assert place.inbox.is_closed
    assert place.lane.takes == 98


def test_too_large_a_frame() -> None:
    """A frame over the limit is refused as soon as its length is known, behind those before it."""
    place = Place()
    place.feed(call(0))
    place.lane.takes = 0
    place.feed(call(1) + b"\x7f\xff\xff\xff")
    assert place.house.log == [1]
    assert "max_expression" in str(place.broker._fault)


def test_counters() -> None:
    """The counters of a session are asked of the lane first."""
    place = Place()
    place.feed(call(0))
    before = place.lane.counted
    assert place.session.stats is not None
    assert place.lane.counted == before + 1


def test_none_is_used() -> None:
    """A tracer, a drain and a login retire the lane; a login that is accepted makes another."""
    for begin in (
        lambda place: place.session.drain(),
        lambda place: place.session.shut_gate({}),
        lambda place: place.session.allow_lane(),
    ):
        place = Place()
        place.feed(call(0))
        begin(place)
        assert place.lane.retired == 1
        assert place.inbox.lane is None
        place.session.open_gate()
        place.feed(call(1))
        is_draining = place.session.incoming.is_draining
        assert len(place.lanes) == (1 if is_draining else 2)
