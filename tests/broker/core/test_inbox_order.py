"""The inbox: the order of messages of all kinds, whatever happens meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from support.inbox_room import (
    A_CALL,
    AT_ONCE,
    IN_ORDER,
    KINDS,
    OF_A_STREAM,
    POLICY,
    STREAM,
    Room,
)
from support.memory import ROOT, BrokerPair, SessionPair

from broker.core.events import CallCancelled
from broker.core.policy import STRICT
from broker.core.wire.dialects import MSGPACK
from broker.flavors.referenceable import Root

STEPS = st.lists(
    st.one_of(
        st.sampled_from(["hold", "go on", "begin"]), st.integers(0, 5), st.sampled_from([*KINDS])
    ),
    max_size=40,
)


@settings(deadline=None)
@given(STEPS, st.integers(1, 4))
def test_whatever_happens(steps: list[Any], turn: int) -> None:
    """What must keep its order keeps it, nothing is lost, and no method overtakes a task."""
    room = Room(policy=POLICY.but(turn_messages=turn))
    inbox = room.inbox

    def handle(number: int, kind: str) -> None:
        if kind in A_CALL:
            assert not inbox.holds_calls
            assert kind == "async" or not inbox.has_unstarted_tasks
        if kind == "async":
            inbox.has_unstarted_tasks = True

    kinds: list[str] = []
    for step in steps:
        if step == "hold":
            inbox.hold_calls(True)
        elif step == "go on":
            inbox.hold_calls(False)
        elif step == "begin":
            inbox.has_unstarted_tasks = False
        elif isinstance(step, int):
            inbox.pump(step)
        else:
            number = len(kinds)
            kinds.append(step)
            room.ready.append(KINDS[step](number))
            room.on[number] = lambda number=number, step=step: handle(number, step)  # type: ignore[misc]
            inbox.receive(bytes([number]))
    inbox.hold_calls(False)
    for _ in range(len(kinds) + 1):
        inbox.has_unstarted_tasks = False
        inbox.pump(-1)
    assert sorted(room.handled) == [*range(len(kinds))]
    # The stream is not open: its items wait as calls do.
    for group in ((*IN_ORDER, *OF_A_STREAM), AT_ONCE):
        numbers = [number for number in room.handled if kinds[number] in group]
        assert numbers == sorted(numbers)


def test_items_wait_for_the_call_that_opens_their_stream() -> None:
    """Items and the end stay behind a call that is held, as long as their stream is not open."""
    room = Room("call", "items", "end", "answer")
    room.on[0] = lambda: room.open_streams.add(STREAM)
    room.inbox.hold_calls(True)
    room.inbox.pump()
    assert room.handled == [3]
    room.inbox.hold_calls(False)
    room.inbox.pump()
    assert room.handled == [3, 0, 1, 2]
    room = Room("call", "items", "end", "answer")
    room.open_streams.add(STREAM)
    room.inbox.hold_calls(True)
    room.inbox.pump()
    assert room.handled == [1, 2, 3]


def test_items_of_a_call_that_is_dropped() -> None:
    """When the peer has gone, its calls are dropped, with the items of the streams in them."""
    room = Room("call", "items", "end", "answer")
    list(room.inbox.last_words())
    assert room.handled == [3]
    room = Room("items", "end", "answer")
    room.open_streams.add(STREAM)
    list(room.inbox.last_words())
    assert room.handled == [0, 1, 2]


class Store(Root):
    """Reads what it is sent."""

    got: object = None

    async def remote_store(self, lines: Any) -> None:
        """Read a stream."""
        self.got = [line async for line in lines]


def test_a_stream_in_a_call_that_is_held() -> None:
    """It is read to its end once its call is run."""
    store = Store()
    pair = BrokerPair(store, policy=STRICT)
    inbox = pair.server.session.inbox
    inbox.hold_calls(True)

    async def lines() -> AsyncIterator[int]:
        for number in range(600):
            yield number

    pair.root.callRemote("store", lines())
    pair.exchange()
    assert inbox.has_queued
    inbox.hold_calls(False)
    pair.server.pump.resume()
    pair.exchange()
    assert store.got == [*range(600)]


class Pending:
    """An awaitable that nobody steps."""

    def __await__(self) -> Any:
        """Have the shape of an awaitable."""
        yield


class Later(Root):
    """Answers later."""

    def remote_later(self) -> Any:
        """Return an awaitable."""
        return Pending()


def test_what_cancels_a_held_call_waits_behind_it() -> None:
    """A cancel reaches a call that runs at once, and one that is held once that has begun."""
    pair = SessionPair(Later(), offered=(MSGPACK,))
    runs = pair.client.outgoing.call(ROOT, "later", (), {})
    pair.exchange()
    pair.server.inbox.hold_calls(True)
    held = pair.client.outgoing.call(ROOT, "later", (), {})
    pair.client.outgoing.abandon(held)
    pair.client.outgoing.abandon(runs)
    pair.exchange()
    assert [event.ticket.request_id for event in pair.server_host.of(CallCancelled)] == [runs]
    pair.server.inbox.hold_calls(False)
    pair.server.pump()
    assert [event.ticket.request_id for event in pair.server_host.of(CallCancelled)] == [runs, held]
