"""An end does the same with a lane in C, with one in Python, and without a lane.

The conversations are those of the fuzz target ``lane``: legal frames and bent ones, cut anywhere,
and actions of this side between them and inside methods. What is compared is what is called, in
order and with the types of all values; each byte that is written; counters, tables and the end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from fuzz.lane_frames import Plan, plan_of
from fuzz.lane_room import GIVEN, LARGE, POLICIES, Office, Quiet, Room
from fuzz.targets.lane import difference, seeds
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.lane_forms import LANES

from broker.defer import Deferred

HEADER = st.tuples(*[st.integers(0, 255)] * 4).map(bytes)
# The bytes of a frame: what it is, how many values it has, and which.
FRAME = st.tuples(st.integers(0, 255), st.integers(0, 255), st.binary(max_size=20)).map(
    lambda parts: bytes(parts[:2]) + parts[2]
)
INPUTS = st.tuples(HEADER, st.lists(FRAME, max_size=6).map(b"".join)).map(b"".join)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 70), 1 << 70) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=30,
)
NEARLY = st.recursive(
    PLAIN | st.binary(max_size=40) | st.characters(categories=["Cs"]) | st.sampled_from(GIVEN).map(
        lambda make: make()
    ),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=4)
    | st.lists(inner, max_size=4).map(tuple)
    | inner.map(lambda value: [value, value]),
    max_leaves=12,
)  # fmt: skip


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Nothing is logged: the log is the same, and long."""
    with Quiet():
        yield


@pytest.mark.parametrize("form", LANES)
@given(data=INPUTS)
@settings(max_examples=400)
def test_conversations(form: str, data: bytes) -> None:
    """Whatever a peer sends has the same effects."""
    assert difference(plan_of(data), ("none", form), is_fresh=True) is None


@pytest.mark.parametrize("form", LANES)
def test_the_vectors(form: str) -> None:
    """So have the frames of the vectors, at both ends, whole and cut at each size."""
    for data in seeds():
        raw = data[2:] if data[0] else data[5:]
        for is_client in (False, True):
            for size in (len(raw) or 1, 1, 3, 7):
                steps: list[Any] = [raw[at : at + size] for at in range(0, len(raw), size)]
                plan = Plan(is_client, 0, steps)
                assert difference(plan, ("none", form), is_fresh=True) is None, data


class Giving(Office):
    """Returns a value that the test has chosen."""

    value: Any = None

    def remote_next(self) -> Any:
        """Return it."""
        return self.value


def sent(form: str, value: Any, policy: int = 0) -> tuple[Any, ...]:
    """What an end sends and shows after it has returned a value, and sent it as an argument."""
    room = Room(form, False, POLICIES[policy])
    room.office.__class__ = Giving
    room.office.value = value  # type: ignore[attr-defined]
    body = b"\x96\1\5\xa4root\xa4next\x90\x80"
    call = len(body).to_bytes(4, "big") + body
    room.feed(call)
    room.feed(call)
    room.feed(call[:5] + b"\2\0" + call[7:])
    outcomes: list[Any] = []
    for args, kw in (((value,), {}), ((1, value), {}), ((), {"x": value})):
        room.root.callRemote("x", *args, **kw).addErrback(outcomes.append)
    room.run()
    room.end()
    shown = room.shown()
    room.release()
    return (*shown, [str(failure.value) for failure in outcomes])


@pytest.mark.parametrize("form", LANES)
@given(value=NEARLY)
@settings(max_examples=300)
def test_values_out(form: str, value: Any) -> None:
    """Whatever a method returns, or a call has as an argument, is sent as the same bytes."""
    assert sent(form, value) == sent("none", value)


@pytest.mark.parametrize("form", LANES)
@pytest.mark.parametrize("number", range(len(GIVEN) + len(LARGE)))
def test_chosen_values_out(form: str, number: int) -> None:
    """So is each value of the tables: nearly plain, or at a limit."""
    make = (*GIVEN, *LARGE)[number]
    # Also where frames are small: the third policy.
    for policy in (0, 2):
        assert sent(form, make(), policy) == sent("none", make(), policy)


class Awaiting:
    """Tasks that await the calls of an end, in a loop."""

    def __init__(self, room: Room):
        self.room = room

    async def follow(self, number: int, promise: Any) -> None:
        """Await a call; then make another, or fire a Deferred, and go on."""
        log, room = self.room.log, self.room
        fired: Deferred[int] = Deferred()
        try:
            log.append(f"task {number} got {await promise!r}")
            if number & 1:
                fired.callback(number)
                log.append(repr(await fired))
            elif room.broker.calls.is_open:
                room.root.callRemote("x", number).addErrback(lambda _: None)
                log.append(f"called {number}")
        except asyncio.CancelledError:
            log.append(f"task {number} was cancelled")
            raise
        except Exception as error:
            log.append(f"task {number} failed: {error}")


async def awaited(room: Room, plan: Plan) -> tuple[Any, ...]:
    """What tasks do that await the calls, while an end is fed from callbacks of the loop."""
    loop = asyncio.get_running_loop()
    awaiting = Awaiting(room)
    tasks = [
        asyncio.ensure_future(awaiting.follow(number, promise))
        for number, promise in enumerate(room.promises)
    ]
    await asyncio.sleep(0)

    def step(what: Any) -> None:
        if type(what) is bytes:
            room.feed(what)
        elif what % 16 == 13:
            tasks[what >> 4 & 1].cancel()
        else:
            room.act(what)
            room.run()

    for what in plan.steps:
        # In a callback: no task runs while the end is fed.
        loop.call_soon(step, what)
        for _ in range(3):
            await asyncio.sleep(0)
            room.run()
    room.end()
    await asyncio.gather(*tasks, return_exceptions=True)
    for _ in range(3):
        await asyncio.sleep(0)
        room.run()
    return room.shown()


def ran(form: str, plan: Plan) -> tuple[Any, ...]:
    """What the tasks do in a loop of their own, which a method may end by SystemExit."""
    with asyncio.Runner() as runner:
        room = Room(form, plan.is_client, POLICIES[plan.policy], runner.get_loop())
        try:
            return runner.run(awaited(room, plan))
        except (KeyboardInterrupt, SystemExit) as exc:
            return type(exc), *room.log
        finally:
            room.release()


@pytest.mark.parametrize("form", LANES)
@given(data=INPUTS)
# A method whose turn comes in the loop, behind a task that has not begun, ends the program.
@example(data=b"\x00\x00\x00\x00e\x8e\xc8\xb1\x8dE\xd8")
@settings(max_examples=150)
def test_tasks(form: str, data: bytes) -> None:
    """Tasks that await the answers run in the same order, and so do async methods."""
    plan = plan_of(data)
    assert ran(form, plan) == ran("none", plan)
