"""The inbox: in which order what has come in is handled, and what waits."""

from __future__ import annotations

import gc
import weakref

import pytest
from support.inbox_room import A_CALL, AT_ONCE, IN_ORDER, KINDS, POLICY, Room

from broker.core.wire import messages
from broker.limit_errors import limit_error
from jelly.errors import LimitExceeded, ProtocolError


def test_in_order() -> None:
    """Messages are handled as they came, by the handler of their type, with the owner."""
    room = Room(*KINDS)
    assert room.handled == []
    assert room.inbox.pump(-1) is False
    assert room.handled == [*range(len(KINDS))]
    assert room.inbox.pump(-1) is False


@pytest.mark.parametrize("waits", [False, True])
def test_at_most_so_many(waits: bool) -> None:
    """No more messages are handled than were asked for; whether more are left is said."""
    room = Room("call", "ping", "call", "answer", "call")
    room.inbox.holds_calls = waits
    assert room.inbox.pump(0) is True
    assert room.handled == []
    assert room.inbox.pump(2) is True
    assert room.handled == ([1, 3] if waits else [0, 1])
    room.inbox.hold_calls(False)
    assert room.inbox.pump(2) is True
    assert room.inbox.pump(1) is False
    assert sorted(room.handled) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("kind", IN_ORDER)
def test_calls_are_held(kind: str) -> None:
    """While calls are held, they and what may let go their objects wait, in order."""
    room = Room("call", kind, "answer", kind, "ping")
    room.inbox.hold_calls(True)
    assert room.inbox.pump(-1) is False
    assert room.handled == [2, 4]
    room.inbox.hold_calls(False)
    assert room.inbox.pump(-1) is False
    assert room.handled == [2, 4, 0, 1, 3]


@pytest.mark.parametrize("kind", AT_ONCE)
def test_answers_are_not_held(kind: str) -> None:
    """The answers to our own calls, pings and the like go on meanwhile."""
    room = Room("call", kind)
    room.inbox.hold_calls(True)
    assert room.inbox.pump(-1) is False
    assert room.handled == [1]


def test_what_cancels_a_running_call_is_not_held() -> None:
    """It is handled at once; the same for a call that waits is not."""
    room = Room("call", "cancel", "cancel")
    room.running.add(2)
    room.inbox.hold_calls(True)
    assert room.inbox.pump(-1) is False
    assert room.handled == [2]
    room.inbox.hold_calls(False)
    room.inbox.pump(-1)
    assert room.handled == [2, 0, 1]


def test_what_comes_behind_held_calls_waits_behind_them() -> None:
    """Once calls wait, those that come later do too, even if they are held no more."""
    room = Room("call", "ping", "decref", "call")
    room.on[1] = lambda: setattr(room.inbox, "holds_calls", False)
    room.inbox.hold_calls(True)
    assert room.inbox.pump(-1) is False
    assert room.handled == [1, 0, 2, 3]


def test_what_was_held_comes_first() -> None:
    """Calls that were held and are not any more go before those that came since."""
    room = Room("call", "call")
    room.inbox.hold_calls(True)
    room.inbox.pump()
    room.ready.append(KINDS["call"](2))
    room.inbox.receive(b"\2")
    room.inbox.hold_calls(False)
    assert room.inbox.pump(2) is True
    assert room.inbox.pump() is False
    assert room.handled == [0, 1, 2]


def test_calls_that_are_held_meanwhile() -> None:
    """A handler that has calls held stops the next, in the same turn."""
    room = Room("call", "call", "answer")
    room.on[0] = lambda: setattr(room.inbox, "holds_calls", True)
    assert room.inbox.pump(-1) is False
    assert room.handled == [0, 2]


@pytest.mark.parametrize("kind", [kind for kind in A_CALL if kind != "async"])
def test_no_method_overtakes_a_task(kind: str) -> None:
    """While a task has not begun, no method is called; other tasks are made all the same."""
    room = Room("async", "async", "ping", kind, "answer")
    room.on[0] = lambda: setattr(room.inbox, "has_unstarted_tasks", True)
    assert room.inbox.pump(-1) is True
    assert room.handled == [0, 1, 2]
    assert room.inbox.pump(-1) is True
    assert room.handled == [0, 1, 2]
    room.inbox.has_unstarted_tasks = False
    assert room.inbox.pump(-1) is False
    assert room.handled == [0, 1, 2, 3, 4]


def test_no_held_method_overtakes_a_task() -> None:
    """Nor is a method that was held."""
    room = Room("async", "call")
    room.inbox.hold_calls(True)
    room.inbox.pump(-1)
    room.inbox.hold_calls(False)
    room.on[0] = lambda: setattr(room.inbox, "has_unstarted_tasks", True)
    assert room.inbox.pump(-1) is True
    assert room.handled == [0]
    room.inbox.has_unstarted_tasks = False
    assert room.inbox.pump(-1) is False
    assert room.handled == [0, 1]


@pytest.mark.parametrize("waits", [False, True])
def test_a_full_outbox_ends_the_turn(waits: bool) -> None:
    """With more due than the high water mark, the rest is for the next turn."""
    room = Room("ping", "ping", "ping")
    if waits:
        room.inbox.hold_calls(True)
    room.on[0] = lambda: setattr(room.outbox.unsent, "size", POLICY.high_water)
    room.on[1] = lambda: setattr(room.outbox.unsent, "size", POLICY.high_water + 1)
    assert room.inbox.pump(-1) is True
    assert room.handled == [0, 1]
    assert room.inbox.pump(-1) is False
    assert room.handled == [0, 1, 2]


@pytest.mark.parametrize("waits", [False, True])
def test_a_fault_comes_behind_what_was_before_it(waits: bool) -> None:
    """What is wrong with the bytes is raised after the messages before them are handled."""
    room = Room("ping", "call", "ping")
    room.inbox.holds_calls = waits
    room.inbox.receive(b"\xff")
    room.inbox.receive(b"\0\xff")
    assert room.inbox.pump(2) is True
    with pytest.raises(ProtocolError, match="no message"):
        room.inbox.pump(-1)
    assert room.handled == ([0, 2] if waits else [0, 1, 2])
    room.inbox.hold_calls(False)
    assert room.inbox.pump() is False
    assert len(room.handled) == 3 - waits


def test_a_fault_waits_for_a_task() -> None:
    """It does not overtake a call that has to wait for a task to begin."""
    room = Room("call")
    room.inbox.receive(b"\xff")
    room.inbox.has_unstarted_tasks = True
    assert room.inbox.pump(-1) is True
    room.inbox.has_unstarted_tasks = False
    with pytest.raises(ProtocolError):
        room.inbox.pump(-1)
    assert room.handled == [0]


def test_a_fault_in_a_handler() -> None:
    """What a handler raises passes, is counted, and ends what comes in; answers still leave."""
    room = Room("ping", "ping")

    def refuse() -> None:
        raise limit_error(LimitExceeded, "max_refs", 5)

    room.on[0] = refuse
    with pytest.raises(LimitExceeded):
        room.inbox.pump(-1)
    assert room.stats.limits == {"max_refs": 1}
    assert room.inbox.is_closed
    assert not room.outbox.is_cleared
    room.inbox.receive(b"\0")
    assert room.inbox.pump() is False
    assert room.handled == [0]


def test_what_comes_in_is_counted() -> None:
    """The bytes that were decoded are counted, those that came after a fault are not."""
    room = Room("ping")
    room.inbox.receive(b"\0\0\xff")
    room.inbox.receive(b"\0\0")
    assert room.stats.bytes_received == 4


def test_how_much_waits() -> None:
    """More data is wanted while what waits is within max_backlog, calls that are held included."""
    room = Room(*["call"] * 51)
    assert not room.inbox.wants_data
    room.inbox.pump(30)
    assert not room.inbox.wants_data
    room.inbox.pump(-1)
    assert room.inbox.wants_data
    room.inbox.receive(bytes(50))
    assert room.inbox.wants_data
    room.inbox.receive(bytes(1))
    assert not room.inbox.wants_data
    room.inbox.hold_calls(True)
    room.inbox.pump(-1)
    assert not room.inbox.wants_data
    room.inbox.hold_calls(False)
    room.inbox.pump(-1)
    assert room.inbox.wants_data


def test_the_end() -> None:
    """A cleared inbox forgets what waits, takes nothing more, and says that nothing is left."""
    for holds in (False, True):
        room = Room("call", "ping")
        room.inbox.holds_calls = holds
        room.inbox.pump(1)
        room.inbox.clear()
        room.inbox.receive(b"\0\1\xff")
        room.inbox.hold_calls(False)
        assert room.inbox.pump(-1) is False
        assert room.handled == ([1] if holds else [0])


def test_nothing_is_kept_after_the_end() -> None:
    """What the messages held is let go."""

    class Thing:
        """Something in a message."""

    room = Room()
    things = [Thing(), Thing()]
    gone = [weakref.ref(thing) for thing in things]
    room.inbox.hold_calls(True)
    for _ in range(2):
        room.ready = [messages.PlainCall(0, 1, "m", (things.pop(),), {})]
        room.inbox.receive(b"\0")
        room.inbox.pump(len(things))
    room.ready.clear()
    assert None not in [ref() for ref in gone]
    room.inbox.clear()
    gc.collect()
    assert [ref() for ref in gone] == [None, None]


@pytest.mark.parametrize("waits", [False, True])
def test_a_handler_that_ends_it_while_more_is_there(waits: bool) -> None:
    """Nothing more is decoded after that."""
    room = Room("ping", "ping", "ping", policy=POLICY.but(turn_messages=1))
    room.inbox.holds_calls = waits
    room.on[1] = room.inbox.clear
    assert room.inbox.pump(-1) is False
    assert (room.handled, len(room.unread)) == ([0, 1], 1)


def test_a_turn_s_worth_is_decoded_at_a_time() -> None:
    """What is behind that stays bytes until all before it was handled; nothing is lost."""
    room = Room(*["ping"] * 7, policy=POLICY.but(turn_messages=3))
    assert len(room.unread) == 4
    assert room.inbox.pump(2) is True
    assert (room.handled, len(room.unread)) == ([0, 1], 4)
    assert room.inbox.pump(1) is True
    assert (room.inbox.has_more, len(room.unread)) == (True, 4)
    assert room.inbox.pump(1) is True
    assert (room.handled, len(room.unread)) == ([0, 1, 2, 3], 1)
    assert room.inbox.pump(-1) is False
    assert room.handled == [*range(7)]
    assert (room.inbox.has_more, room.inbox.waiting) == (False, 0)


def test_answers_behind_held_calls_are_decoded_too() -> None:
    """However many calls are held, what comes behind them and does not wait goes on."""
    room = Room(*["call"] * 5, "answer", policy=POLICY.but(turn_messages=2))
    room.inbox.hold_calls(True)
    for _ in range(3):
        room.inbox.pump(1)
    assert room.handled == [5]
    assert room.inbox.pump(1) is False
    room.inbox.hold_calls(False)
    assert room.inbox.pump(-1) is False
    assert room.handled == [5, 0, 1, 2, 3, 4]


def test_a_fault_that_is_not_decoded_yet() -> None:
    """It comes behind what was before it, in the turn in which it is met."""
    room = Room("ping", "ping", policy=POLICY.but(turn_messages=1))
    room.inbox.receive(b"\xff")
    assert room.inbox.pump(1) is True
    assert room.inbox.pump(1) is True
    with pytest.raises(ProtocolError, match="no message"):
        room.inbox.pump(1)
    assert room.handled == [0, 1]


def test_answers_that_came_before_the_end() -> None:
    """They are settled, decoded or not; a fault among them ends that."""
    room = Room("call", "answer", "call", "answer", policy=POLICY.but(turn_messages=1))
    room.inbox.receive(b"\xff\1")
    words = room.inbox.last_words()
    assert (room.inbox.waiting, room.inbox.pump(-1)) == (0, False)
    assert room.handled == []
    assert [*words] == [None] * 4
    assert room.handled == [1, 3]
    assert not room.inbox.has_more


@pytest.mark.parametrize("waits", [False, True])
def test_a_handler_that_ends_it(waits: bool) -> None:
    """Nothing is handled after that, whatever was still wrong with the bytes."""
    room = Room("ping", "ping")
    room.inbox.receive(b"\xff")
    room.inbox.holds_calls = waits
    room.on[0] = room.inbox.clear
    assert room.inbox.pump(-1) is False
    assert room.handled == [0]
