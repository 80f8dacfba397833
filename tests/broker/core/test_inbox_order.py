"""The inbox: the order of messages of all kinds, whatever happens meanwhile."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from support.inbox_room import A_CALL, AT_ONCE, IN_ORDER, KINDS, POLICY, Room
from support.memory import ROOT, SessionPair

from broker.core.events import CallCancelled
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
            inbox.holds_calls = True
        elif step == "go on":
            inbox.holds_calls = False
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
    inbox.holds_calls = False
    for _ in range(len(kinds) + 1):
        inbox.has_unstarted_tasks = False
        inbox.pump(-1)
    assert sorted(room.handled) == [*range(len(kinds))]
    for group in (IN_ORDER, AT_ONCE):
        numbers = [number for number in room.handled if kinds[number] in group]
        assert numbers == sorted(numbers)


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
    pair.server.inbox.holds_calls = True
    held = pair.client.outgoing.call(ROOT, "later", (), {})
    pair.client.outgoing.abandon(held)
    pair.client.outgoing.abandon(runs)
    pair.exchange()
    assert [event.ticket.request_id for event in pair.server_host.of(CallCancelled)] == [runs]
    pair.server.inbox.holds_calls = False
    pair.server.pump()
    assert [event.ticket.request_id for event in pair.server_host.of(CallCancelled)] == [runs, held]
