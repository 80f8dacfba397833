"""The lane of a connection: the states that close it, and what a method may do in its middle."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import pytest
from fuzz.lane_room import Gauge, Quiet, Room
from support.lane_ends import End, answer, call, framed, send
from support.lane_forms import LANES

from broker.core.policy import STRICT
from broker.errors import CallTimeout

each_lane = pytest.mark.parametrize("form", LANES)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Nothing is logged: what is logged is the matter of other tests."""
    with Quiet():
        yield


# States that begin inside a method.


def drain(room: Room) -> None:
    """Run no more calls."""
    room.broker.drain()


def leave(room: Room) -> None:
    """Say goodbye."""
    room.broker.leave("bye", "of this side")


def abort(room: Room) -> None:
    """End the connection because of a fault."""
    room.broker.abort(ValueError("a fault"))


def cut(room: Room) -> None:
    """End the connection at once."""
    room.broker.cut(ValueError("a fault"), "cut")


def trace(room: Room) -> None:
    """Begin to trace."""
    room.broker.session.trace(Gauge())


def shut(room: Room) -> None:
    """Ask for a login."""
    room.broker.session.shut_gate({})


def nest(room: Room) -> None:
    """Receive bytes in the middle of the others."""
    room.broker.dataReceived(send("echo", "nested"))


def look(room: Room) -> None:
    """Ask how much waits."""
    inbox = room.broker.session.inbox
    assert inbox.pending + inbox.waiting > 0
    assert inbox.held > 0


def show(room: Room) -> None:
    """Make a snapshot."""
    assert room.broker.snapshot().session.calls_received >= 0


def intercept(room: Room) -> None:
    """Run a function around each call from now on."""
    room.broker.session.incoming.intercept(lambda made, method, run: run(made.args, made.kw))


def hold(room: Room) -> None:
    """Have many bytes unsent, so that calls are held."""
    room.transport.unsent = 1_000_000
    room.broker.pump._write_budget = -1
    room.broker.flush()


STATES = [drain, leave, abort, cut, trace, shut, nest, intercept, hold]


@each_lane
@pytest.mark.parametrize("state", [*STATES, look, show], ids=lambda state: state.__name__)
def test_states(form: str, state: Callable[[Room], object]) -> None:
    """A state that begins in a method counts for the frame behind it, as without a lane."""
    ends = [End(form), End("none")]
    for end in ends:
        end.do(state)
        end.feed(
            call(2, "echo", 1) + call(3, "do") + call(4, "echo", 2) + send("echo", 3)
            + answer(2, "answered") + call(5, "echo", 4) + framed(12, 9)
        )  # fmt: skip
    assert ends[0].shown() == ends[1].shown()
    assert ends[0].log[:2] == [repr(("echo", (1,), {})), repr(("do", ()))]
    for end in ends:
        end.transport.unsent = 0
        end.broker.pump.drained()
        end.feed(call(7, "echo", 7))
        end.end()
    assert ends[0].shown() == ends[1].shown()


@each_lane
@pytest.mark.parametrize("state", [drain, trace, shut], ids=lambda each: each.__name__)
def test_states_that_close(form: str, state: Callable[[Room], object]) -> None:
    """In such a state there is no lane."""
    end = End(form)
    seen: list[bool] = []

    def begin(room: Room) -> None:
        state(room)
        seen.append(end.lane.is_open)

    end.do(begin)
    end.feed(call(2, "do") + call(3, "echo", 1))
    assert seen == [False]
    assert end.broker.session.inbox.lane is None
    assert end.broker.calls.lane is None


@each_lane
def test_exact_counters(form: str) -> None:
    """The counters are exact at any time, also inside a method."""
    end = End(form)
    seen: list[tuple[int, int]] = []

    def note(room: Room) -> None:
        stats = room.broker.session.stats
        seen.append((stats.calls_received, stats.bytes_received))
        shown = room.broker.session.snapshot()
        assert shown.calls_received == stats.calls_received

    end.do(note)
    pieces = [call(2, "do"), send("do"), call(3, "do")]
    before = end.broker.session.stats.bytes_received
    end.feed(b"".join(pieces))
    size = before + sum(map(len, pieces))
    assert seen == [(2, size), (3, size), (4, size)]
    assert end.broker.session.incoming.highest == 3


@each_lane
async def test_a_coroutine(form: str) -> None:
    """A coroutine that has not begun closes the lane; methods begin in the order of their calls."""
    ends = [End(each, loop=asyncio.get_running_loop()) for each in (form, "none")]
    for end in ends:
        end.feed(send("wait", 1) + call(2, "echo", 2) + call(3, "wait", 3) + call(4, "echo", 4))
        for _ in range(5):
            await asyncio.sleep(0)
            end.run()
    assert ends[0].shown() == ends[1].shown()
    assert [each[1:8] for each in ends[0].log] == ["'wait',", "'echo',", "'wait',", "'echo',"]


async def fed_in_a_callback(end: End, data: bytes) -> None:
    """Let an end receive bytes while no task runs, and let the loop turn a few times."""
    asyncio.get_running_loop().call_soon(end.feed, data)
    for _ in range(5):
        await asyncio.sleep(0)
        end.run()


@each_lane
async def test_a_drain_in_a_coroutine(form: str) -> None:
    """a drain that a coroutine method begins does not end before that method."""
    end = End(form, loop=asyncio.get_running_loop())
    end.do(lambda room: room.broker.drain().addCallback(lambda _: room.log.append("idle")))
    await fed_in_a_callback(end, call(2, "do_async"))
    assert end.log == [repr(("begins",)), repr(("ends",)), "idle"]
    assert end.broker.session.running == 0


@each_lane
async def test_a_coroutine_is_shown(form: str) -> None:
    """a snapshot shows a coroutine method also in its first step."""
    end = End(form, loop=asyncio.get_running_loop())
    names: list[str] = []
    end.do(lambda room: names.extend(each.name for each in room.broker.session.snapshot().running))
    await fed_in_a_callback(end, call(2, "do_async"))
    assert names == ["do_async"]
    assert end.broker.session.snapshot().running == ()


@each_lane
def test_a_large_result(form: str) -> None:
    """A result that is sent in slices is sent before the answers to the calls behind it."""
    for large in ([0] * 20_001, [[number] for number in range(200_000)]):
        ends = [End(form), End("none")]
        for end in ends:
            end.do(lambda room, large=large: large)
            end.feed(call(2, "do") + call(3, "echo", 1))
        assert ends[0].sent == ends[1].sent
        assert len(ends[0].log) == 2


@each_lane
def test_max_calls(form: str) -> None:
    """Where as many calls run as may, calls are refused and one-way calls wait."""
    ends = [End(form, STRICT.but(max_calls=2)), End("none", STRICT.but(max_calls=2))]
    for end in ends:
        end.feed(
            call(2, "later") + call(3, "later") + call(4, "echo", 4) + send("echo", 5)
            + call(6, "echo", 6)
        )  # fmt: skip
        assert end.broker.session.stats.limits["max_calls"] == 1
    assert ends[0].shown() == ends[1].shown()
    for end in ends:
        end.pending.pop().callback(None)
        end.run()
        end.feed(call(7, "echo", 7))
    assert ends[0].shown() == ends[1].shown()
    assert ends[0].log[-1] == repr(("echo", (7,), {}))


@each_lane
def test_a_request_in_use(form: str) -> None:
    """A request id of a call that runs ends the connection; calls with others are taken."""
    ends = [End(form), End("none")]
    for end in ends:
        end.feed(call(2, "later") + call(3, "echo", 3) + call(2, "echo", 2) + call(4, "echo", 4))
        assert str(end.broker._fault) == "request id 2 already in use"
    assert ends[0].shown() == ends[1].shown()


@each_lane
def test_deadlines_of_waiting_calls(form: str) -> None:
    """The time of a call counts from the arrival of its bytes, also while they wait."""
    end = End(form, STRICT.but(turn_messages=2))
    calls = b"".join(call(number, "echo", number) for number in range(2, 6))
    end.broker.dataReceived(calls + framed(1, 6, "root", "echo", [6], {}, 500))
    end.scheduler.clock += 1.0
    end.broker.dataReceived(call(7, "echo", 7))
    end.run()
    assert len(end.log) == 5
    errors = [each for each in end.answers() if each[0] == 7]
    assert CallTimeout.__name__ in str(errors)


@each_lane
def test_one_way_calls_before_a_drain(form: str) -> None:
    """A one-way call that was received before a drain still runs."""
    end = End(form)
    end.do(drain)
    end.feed(call(2, "do") + send("echo", 1) + send("echo", 2) + call(3, "echo", 3))
    assert end.log[1:] == [repr(("echo", (number,), {})) for number in (1, 2)]
    assert end.broker.session.stats.sends_refused == 0


@each_lane
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("frame", [call(3, "do"), send("do")], ids=["call", "send"])
def test_told_to_stop(form: str, error: type[BaseException], frame: bytes) -> None:
    """What tells a program to stop passes through; afterwards the connection works on."""
    end = End(form)

    def stop(room: Room) -> None:
        raise error

    end.do(stop)
    with pytest.raises(error):
        end.broker.dataReceived(call(2, "echo", 2) + frame + call(4, "echo", 4))
    end.run()
    assert [each[1:3] for each in end.answers()] == [[2, 2], [4, 4]]
    end.feed(call(5, "echo", 5))
    assert end.answers() == [[5, 5, 5]]
    assert end.broker.session.stats.calls_received == 5
    assert end.general == 0


@each_lane
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
async def test_a_task_told_to_stop(form: str, error: type[BaseException]) -> None:
    """So does what a task raises that an answer has woken."""
    loop = asyncio.get_running_loop()
    end = End(form, loop=loop)

    async def wait() -> None:
        await end.promises[1]
        raise error

    def feed() -> None:
        try:
            end.broker.dataReceived(answer(2, "two") + call(2, "echo", 2))
        except error:
            end.log.append("raised")

    task = loop.create_task(wait())
    await asyncio.sleep(0)
    # In a callback: no task runs while the end is fed.
    loop.call_soon(feed)
    for _ in range(3):
        await asyncio.sleep(0)
        end.run()
    assert end.log == ["raised", repr(("echo", (2,), {}))]
    assert task.done()
    assert type(task.exception()) is error
    end.feed(call(3, "echo", 3))
    assert [each[1] for each in end.answers()] == [2, 3]


@each_lane
@pytest.mark.parametrize("state", [abort, cut, leave], ids=lambda state: state.__name__)
def test_answers_before_the_end(form: str, state: Callable[[Room], object]) -> None:
    """an answer that came before the end, and before a malformed frame, is settled."""
    bad = framed(1, 5, "root", "echo", [b"octets"], {})
    for each in (form, "none"):
        end = End(each)
        end.do(state)
        end.feed(call(2, "do") + answer(2, "two") + bad)
        end.end()
        assert end.promises[1].result == "two"
