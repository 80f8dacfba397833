"""The lane: an end with the lane in C, and one without a lane, do the same with the same bytes.

Most inputs are given to a lane itself, and to its form in Python, which takes a hundredth of the
time of a connection. The lane in C may leave frames to the general path that the other one takes.
What it does take must have the same effects. The other inputs are given to whole connections.
"""

from __future__ import annotations

import json
from typing import Any

from support.folders import ROOT
from support.lane_forms import FORMS

from broker.flavors.promise import Promise
from fuzz.lane_frames import Plan, bytes_of, plan_of
from fuzz.lane_room import POLICIES, PROMISES, Quiet, Room

__all__ = ["difference", "fuzz", "seeds"]

# Ends that are as they were after the handshake, by form, which end, and policy: to make new ones
# takes longer than most inputs.
_ROOMS: dict[tuple[str, bool, int], Room] = {}
_FORM = "c" if "c" in FORMS else "python"
# One input in so many is given to whole connections.
_WHOLE = 64
_LONGEST_SEED = 400
# Actions that change nothing for later.
_HARMLESS = 6


def fuzz(data: bytes) -> None:
    """Run one input."""
    with _QUIET:
        if data and data[0] % _WHOLE:
            found = _BENCHES[data[0] >> 3 & 1].difference(bytes_of(data))
        else:
            found = difference(plan_of(data[1:]), ("none", _FORM))
    assert found is None, found


def seeds() -> list[bytes]:
    """Return inputs to begin with: the frames of the vectors, for lanes and for connections."""
    found = []
    for case in json.loads((ROOT / "tests/vectors/msgpack.json").read_text("utf-8")):
        for sender in ("client", "server"):
            frames = [
                bytes.fromhex(each["hex"]) for each in case["messages"] if each["from"] == sender
            ]
            data = b"".join(each for each in frames if each[:3] == bytes(3))[:_LONGEST_SEED]
            found.append(b"\1\xff" + data)
            if not len(found) % _WHOLE:
                found.append(bytes((0, 0x30, 0, 0, 0)) + data)
    return found


def difference(plan: Plan, forms: tuple[str, str], *, is_fresh: bool = False) -> str | None:
    """Return what differs between ends of two forms, or None.

    Args:
        plan: what is done with each.
        forms: of ``support.lane_forms``.
        is_fresh: whether new ends are made.
    """
    rooms = [_room(form, plan, is_fresh) for form in forms]
    for step in plan.steps:
        for room in rooms:
            if type(step) is bytes:
                room.feed(step)
            else:
                room.act(step)  # type: ignore[arg-type]
                room.run()
    one, other = (room.shown() for room in rooms)
    if one == other and (rooms[0].is_over or rooms[1].is_over):
        for room in rooms:
            room.end()
        one, other = (room.shown() for room in rooms)
        for form, room in zip(forms, rooms, strict=True):
            _ROOMS.pop((form, plan.is_client, plan.policy), None)
            room.release()
    if one == other:
        return None
    _ROOMS.clear()
    return _told(one, other)


def _room(form: str, plan: Plan, is_fresh: bool) -> Room:
    key = form, plan.is_client, plan.policy
    room = None if is_fresh else _ROOMS.get(key)
    if room is None:
        room = _ROOMS[key] = Room(form, plan.is_client, POLICIES[plan.policy])
    else:
        room.renew()
    return room


def _told(one: tuple[Any, ...], other: tuple[Any, ...]) -> str:
    index = next(index for index in range(len(one)) if one[index] != other[index])
    return f"field {index} differs: {str(one[index])[-300:]} | {str(other[index])[-300:]}"


class _Lane:
    """The lane of an end, without what feeds it."""

    def __init__(self, form: str, policy: int):
        self.room = Room(form, False, POLICIES[policy])
        # Two objects, whose methods are known from now on.
        for target, name in ((b"\xa4root", b"\xa4make"), (b"\1", b"\xa4echo")):
            body = b"\x96\1\x64" + target + name + b"\x90\x80"
            self.room.feed(len(body).to_bytes(4, "big") + body)
        self.room.act = self._act  # type: ignore[method-assign]
        session = self.room.broker.session
        self.lane: Any = session.inbox.lane
        self._inbox = session.inbox
        self._unsent = session.outbox.unsent
        self._open_calls = session.outgoing.open_calls
        self._open = session.outgoing.open_calls.open
        self._waiting = self.room.broker.calls.waiting
        self._running = session.incoming.running
        self._log = self.room.log
        self._writes = self.room.transport.writes
        self._stats = session.stats
        self._promises: dict[int, Any] = {}
        self._writes.clear()

    def _act(self, number: int) -> None:
        """Do something that has no effect on the next input."""
        Room.act(self.room, number % _HARMLESS)

    def run(self, data: bytes, most: int) -> tuple[Any, ...]:
        """Handle frames; return what can be seen."""
        lane, log, unsent = self.lane, self._log, self._unsent
        waiting, running, opened = self._waiting, self._running, self._open
        if len(waiting) != PROMISES or len(opened) != PROMISES:
            self._renew()
        log.clear()
        calls = self._stats.calls_received
        lane.is_open = True
        try:
            lane.run(data, 0, most)
        except (KeyboardInterrupt, SystemExit) as error:
            log.append(repr(error))
        size, queued = unsent.size, unsent.queued
        answers = "" if len(waiting) == PROMISES else repr(self._answers())
        shown = (
            lane.handled, lane.position, "".join(log), answers, size, queued, unsent.take(),
            self._stats.calls_received - calls, [*opened], [*waiting], len(running),
            b"".join(self._writes),
        )  # fmt: skip
        if running or self._inbox.works or self._writes:
            running.clear()
            self._inbox.works = None
            self._writes.clear()
            self.room.pending.clear()
        return shown

    def _renew(self) -> None:
        """Have the calls 1, 2 and 3 without an answer."""
        self._open.clear()
        self._waiting.clear()
        self._open_calls.last = PROMISES
        for number in range(1, 1 + PROMISES):
            self._open[number] = None
            self._promises[number] = self._waiting[number] = Promise()

    def _answers(self) -> list[Any]:
        return [each.result for each in self._promises.values() if each.called]


class _Bench:
    """A lane, and the other form of it, which are given the same bytes."""

    def __init__(self, policy: int):
        self._policy = policy
        self._lanes: list[_Lane] = []

    def difference(self, data: bytes) -> str | None:
        """Return what differs between both, or None."""
        if not self._lanes:
            self._lanes = [_Lane(_FORM, self._policy), _Lane("python", self._policy)]
        one, other = self._lanes
        shown = one.run(data, -1)
        if shown[0]:
            expected = other.run(data, shown[0])
            if shown != expected:
                self._lanes.clear()
                return _told(shown, expected)
        elif any(shown[1:8]):
            return f"nothing was handled: {shown}"
        return None


_BENCHES = (_Bench(0), _Bench(2))
_QUIET = Quiet()
