"""The lane of a connection in both forms: what it takes, what it leaves, and what closes it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from fuzz.lane_room import Gauge, Office, Quiet, Room
from support.collecting import at_each_allocation
from support.lane_forms import LANES
from support.memory import BrokerPair

from broker.connection.lane import LONGEST_NAME
from broker.core.policy import STRICT, Policy
from broker.errors import CallTimeout
from broker.failure import Failure

each_lane = pytest.mark.parametrize("form", LANES)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Nothing is logged: what is logged is the matter of other tests."""
    with Quiet():
        yield


def framed(*fields: Any) -> bytes:
    """Return a frame."""
    body = msgspec.msgpack.encode(fields)
    return len(body).to_bytes(4, "big") + body


def call(number: int, name: str, *args: Any, target: Any = "root") -> bytes:
    """Return the frame of a call."""
    return framed(1, number, target, name, args, {})


def send(name: str, *args: Any) -> bytes:
    """Return the frame of a one-way call."""
    return framed(2, 0, "root", name, args, {})


def answer(number: int, value: Any) -> bytes:
    """Return the frame of an answer."""
    return framed(6 if type(value) is tuple else 5, number, value)


class House(Office):
    """Does what a test says, in a method."""

    todo: Callable[[Room], object]

    def remote_do(self, *args: Any) -> Any:
        """Do it."""
        self._note("do", args)
        return self.todo(self._room)


class End(Room):
    """An end whose object is known to the lane, and which counts what the lane leaves.

    Attributes:
        general: number of messages that the general path has decoded.
        lane: the lane.
    """

    def __init__(self, form: str, policy: Policy = STRICT, loop: Any = None):
        super().__init__(form, False, policy, loop)
        self.office.__class__ = House
        self.feed(call(1, "nothing"))
        inbox = self.broker.session.inbox
        self.lane: Any = inbox.lane
        self.general = 0
        read = inbox.read

        def counting(data: bytes, messages: Any, most: int) -> bool:
            before = len(messages)
            try:
                return read(data, messages, most)
            finally:
                self.general += len(messages) - before

        inbox.read = counting
        self.run()
        self.sent = b""
        self.log.clear()

    def answers(self) -> list[Any]:
        """Return what was sent since the last time, as fields."""
        data, found = self.sent, []
        self.sent = b""
        while data:
            size = 4 + int.from_bytes(data[:4], "big")
            found.append(msgspec.msgpack.decode(data[4:size]))
            data = data[size:]
        return found

    def do(self, todo: Callable[[Room], object]) -> None:
        """Set what ``remote_do`` does."""
        self.office.todo = todo  # type: ignore[attr-defined]


# What is taken.


@each_lane
def test_taken(form: str) -> None:
    """Calls, one-way calls and answers with plain values are handled without the general path."""
    end = End(form)
    value = [None, True, 1, -1.5, "text", {"a": [1 << 63]}]
    end.feed(
        call(2, "echo", value) + send("nothing", 1) + answer(2, {"a": 1}) + answer(3, (1, [2]))
    )
    end.feed(call(3, "echo", 1, 2))
    assert end.general == 0
    assert end.lane.handled == 1
    assert end.answers() == [[5, 2, value], [6, 3, [1, 2]]]
    assert end.log == [
        repr(("echo", (value,), {})), repr(("nothing", (1,))), repr(("echo", (1, 2), {})),
    ]  # fmt: skip
    assert [each.result for each in end.promises[1:]] == [{"a": 1}, (1, [2])]
    stats = end.broker.session.stats
    assert (stats.calls_received, stats.bytes_sent) == (4, stats.bytes_sent)


@each_lane
def test_taken_in_any_pieces(form: str) -> None:
    """Also if each byte comes alone."""
    end = End(form)
    for byte in call(2, "echo", [1]) + send("echo", 2):
        end.feed(bytes((byte,)))
    assert end.general == 0
    assert end.answers() == [[5, 2, [1]]]
    assert len(end.log) == 2


DEADLINE = framed(1, 5, "root", "echo", [1], {}, 5000)
META = framed(1, 5, "root", "echo", [1], {}, None, {"x-a": "v"})
LEFT_BY_BOTH = {
    "a graph": framed(7, 1, 5, "root", "echo", [[b"tuple", 1], [b"dictionary"]]),
    "an error": framed(7, 7, 2, 0, "", [b"unicode", b"text"]),
    "a ping": framed(12, 5),
    "a cancel": framed(11, 5),
    "a release": framed(8, 1, 1),
    "a deadline": DEADLINE,
    "meta": META,
    "a call to a cache": framed(3, 5, 1, "x", [], {}),
}
LEFT_IN_C = {
    "keywords": framed(1, 5, "root", "echo", [], {"x": 1}),
    "many arguments": call(5, "echo", *range(16)),
    "an unknown object": call(5, "echo", target=99),
    "an unknown method": call(5, "missing"),
    "a promised target": framed(1, 5, [1], "echo", [], {}),
    "a long name": call(5, "x" * (LONGEST_NAME + 1)),
    "an answer to an abandoned call": answer(2, 1),
}


@each_lane
@pytest.mark.parametrize("kind", [*LEFT_BY_BOTH, *LEFT_IN_C])
def test_left(form: str, kind: str) -> None:
    """Other frames are decoded by the general path, and the lane goes on with the frame behind."""
    end, other = End(form), End("none")
    frame = LEFT_BY_BOTH.get(kind) or LEFT_IN_C[kind]
    for each in (end, other):
        if kind == "an answer to an abandoned call":
            each.promises[1].addErrback(lambda _: None)
            each.promises[1].cancel()
        each.feed(call(3, "echo", 3) + frame + call(4, "echo", 4))
    # The frames behind it are decoded with it; those of the next piece are not.
    left = end.general
    assert left == (2 if form == "c" or kind in LEFT_BY_BOTH else 0)
    end.feed(call(6, "echo", 6))
    other.feed(call(6, "echo", 6))
    assert end.general == left
    assert end.shown() == other.shown()


@each_lane
def test_the_first_call_of_an_object(form: str) -> None:
    """The methods of an object are found at its first call; the next ones are taken."""
    end = End(form)
    end.feed(call(2, "make"))
    end.feed(call(3, "echo", 1, target=1))
    found = end.general
    assert found == (1 if form == "c" else 0)
    end.feed(call(4, "echo", 2, target=1) + call(5, "echo", 3, target=1))
    assert end.general == found
    assert [each[-1] for each in end.answers()[1:]] == [[1], [2], [3]]


@each_lane
@pytest.mark.parametrize(
    "frame",
    [
        b"\0\0\0\0", b"\0\0\0\1\x90", b"\0\0\0\1\xc1", b"\0\0\0\2\x96\1", b"\0\0\0\x03\x93\5\2",
        call(2, "echo", 1)[:-1] + b"\xc1", framed(5, 99, 1), b"\0\0\0\x04\x93\5\2\xc1",
        framed(1, 1 << 63, "root", "echo", [], {}), b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff",
    ],
)  # fmt: skip
def test_malformed(form: str, frame: bytes) -> None:
    """What is no frame ends the connection with the same text, behind the frames before it."""
    end, other = End(form), End("none")
    for each in (end, other):
        each.feed(call(2, "echo", 2) + frame + call(3, "echo", 3))
        assert each.log == [repr(("echo", (2,), {}))]
        assert each.transport.is_losing
    assert end.shown() == other.shown()


# One run.


def stream(end: End, count: int) -> tuple[bytes, list[int]]:
    """Return frames, and where each one ends."""
    frames = [call(10 + number, "echo", number) for number in range(count)]
    ends = [sum(map(len, frames[: 1 + number])) for number in range(count)]
    return b"".join(frames), ends


def run(end: End, data: bytes, start: int, most: int) -> tuple[int, int, bool]:
    """Let the lane run; return its position, the frames handled, and whether it has more."""
    end.lane.is_open = True
    end.lane.run(data, start, most)
    return end.lane.position, end.lane.handled, end.lane.has_more


@each_lane
def test_most(form: str) -> None:
    """It handles so many frames, says where it has stopped and whether there is more."""
    end = End(form)
    data, ends = stream(end, 4)
    assert run(end, data, 0, 0) == (0, 0, True)
    assert run(end, data, 0, 1) == (ends[0], 1, True)
    assert run(end, data, ends[0], 2) == (ends[2], 2, True)
    assert run(end, data, ends[2], 1) == (ends[3], 1, False)
    assert run(end, data, ends[3], 1) == (ends[3], 0, False)
    assert run(end, data, 0, -1) == (ends[3], 4, False)
    assert run(end, b"", 0, -1) == (0, 0, False)
    # Half a frame is not more.
    for size in range(1, len(data) - ends[2]):
        assert run(end, data[: ends[2] + size], ends[2], 1) == (ends[2], 0, False)
    # A frame that it leaves is not more either.
    assert run(end, data[: ends[0]] + DEADLINE, 0, -1) == (ends[0], 1, False)
    assert run(end, DEADLINE, 0, 0) == (0, 0, True)


@each_lane
def test_high_water(form: str) -> None:
    """Above the high water mark it handles one frame at a time, so that bytes are written."""
    end = End(form, STRICT.but(high_water=20))
    frames = [call(10 + number, "echo", "x" * 30) for number in range(3)]
    size = len(frames[0])
    assert run(end, b"".join(frames), 0, -1) == (size, 1, True)
    assert end.broker.session.outbox.unsent.size > 20
    end.broker.session.outbox.unsent.take()
    end.feed(b"".join(frames))
    assert len(end.answers()) == 3


@each_lane
def test_closed(form: str) -> None:
    """A lane that is not open handles nothing."""
    end = End(form)
    data, _ = stream(end, 2)
    end.lane.is_open = False
    end.lane.run(data, 0, -1)
    assert (end.lane.position, end.lane.handled, end.lane.has_more) == (0, 0, False)


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
def test_a_coroutine(form: str) -> None:
    """A coroutine that has not begun closes the lane; methods begin in the order of their calls."""

    async def main() -> None:
        ends = [End(each, loop=asyncio.get_running_loop()) for each in (form, "none")]
        for end in ends:
            end.feed(send("wait", 1) + call(2, "echo", 2) + call(3, "wait", 3) + call(4, "echo", 4))
            for _ in range(5):
                await asyncio.sleep(0)
                end.run()
        assert ends[0].shown() == ends[1].shown()
        assert [each[1:8] for each in ends[0].log] == ["'wait',", "'echo',", "'wait',", "'echo',"]

    asyncio.run(main())


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
def test_a_task_told_to_stop(form: str, error: type[BaseException]) -> None:
    """So does what a task raises that an answer has woken."""
    loop = asyncio.new_event_loop()
    end = End(form, loop=loop)

    async def wait() -> None:
        await end.promises[1]
        raise error

    async def feed() -> None:
        await asyncio.sleep(0)

        def now() -> None:
            try:
                end.broker.dataReceived(answer(2, "two") + call(2, "echo", 2))
            except error:
                end.log.append("raised")

        loop.call_soon(now)
        for _ in range(3):
            await asyncio.sleep(0)
            end.run()

    task = loop.create_task(wait())
    try:
        loop.run_until_complete(feed())
        assert end.log == ["raised", repr(("echo", (2,), {}))]
        with pytest.raises(error):
            task.result()
        end.feed(call(3, "echo", 3))
        assert [each[1] for each in end.answers()] == [2, 3]
    finally:
        loop.close()


# Calls of this side.


def made(end: End, *args: Any, **kw: Any) -> list[Any]:
    """Call the peer, and return what was sent."""
    promise = end.root.callRemote("x", *args, **kw)
    if promise is not None:
        promise.addErrback(lambda failure: None)
    end.run()
    return end.answers()


@each_lane
def test_calls(form: str) -> None:
    """A call has the next request id, is counted, and has a Promise with its name."""
    end = End(form)
    promise = end.root.callRemote("x", 1, [2])
    assert repr(promise) == "<Promise of x, pending>"
    end.run()
    stats = end.broker.session.stats
    assert end.answers() == [[1, 4, "root", "x", [1, [2]], {}]]
    assert stats.calls_made == 4
    assert end.broker.session.outgoing.open_calls.last == 4
    assert end.broker.calls.waiting[4] is promise
    end.feed(answer(4, "seven"))
    assert promise.result == "seven"
    assert 4 not in end.broker.calls.waiting


@each_lane
def test_cancelled_calls(form: str) -> None:
    """A cancelled call tells the peer; its late answer is dropped."""
    end = End(form)
    promise = end.root.callRemote("x").addErrback(lambda failure: failure.type.__name__)
    promise.cancel()
    end.run()
    assert end.answers()[-1] == [11, 4]
    assert promise.result == "CancelledError"
    end.feed(answer(4, 1) + call(2, "echo", 2))
    assert end.answers() == [[5, 2, 2]]
    assert not end.transport.is_losing


@each_lane
def test_a_name_that_is_not_utf_8(form: str) -> None:
    """An object whose name is no text fails the Promise, not the caller."""
    end = End(form)
    promise = end.broker.remoteForName(b"\xff").callRemote("x")
    assert isinstance(promise.result, Failure)
    assert promise.result.type is UnicodeDecodeError
    promise.addErrback(lambda failure: None)
    assert made(end, 1) == [[1, 4, "root", "x", [1], {}]]


@each_lane
def test_a_lane_that_is_gone(form: str) -> None:
    """Without the lane a call goes the general way, with the same bytes."""
    end = End(form)
    end.broker.session.trace(Gauge())
    assert end.broker.calls.lane is None
    assert made(end, 1, [2]) == [[1, 4, "root", "x", [1, [2]], {}]]


@each_lane
def test_retired(form: str) -> None:
    """A lane that is retired makes no calls, and takes no others' place."""
    end, other = End(form), End(form)
    end.lane.retire()
    assert end.broker.calls.lane is None
    end.lane.retire()
    assert other.broker.calls.lane is other.lane


@each_lane
def test_other_loops(form: str) -> None:
    """A call that is made in another loop, or in none, is refused as without a lane."""

    async def main() -> None:
        ends = [End(each, loop=asyncio.get_running_loop()) for each in (form, "none")]

        def elsewhere(end: End) -> str:
            try:
                end.root.callRemote("x")
            except RuntimeError as error:
                return str(error)
            return "made"

        texts = [await asyncio.to_thread(elsewhere, end) for end in ends]
        assert texts[0] == texts[1] != "made"

    asyncio.run(main())


@pytest.mark.parametrize("dialect", ["pb", "none"])
def test_there_is_none_in_other_dialects(dialect: str) -> None:
    """In PB's dialects a session has no lane."""
    pair = BrokerPair(Office(Room("none", False, STRICT)), policy=STRICT.but(dialects=(dialect,)))
    assert pair.call("echo", 1) == 1
    for broker in (pair.client, pair.server):
        assert broker.session.inbox.lane is None
        assert broker.calls.lane is None


# Code of the application that runs where an object is made.

ODD = {
    "plain": [1],
    "nested": [[], {"a": []}],
    "surrogate": ["\ud800"],
    "key": {"\ud800": 1},
    "big": [1 << 70],
    "negative": [-(1 << 70)],
    "bytes": [b"octets"],
    "shared": [[]] * 2,
}


@each_lane
@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("name", [b"root", b"\xff"])
@pytest.mark.parametrize("is_handling", [False, True], ids=["", "in an except block"])
def test_a_finalizer_makes_a_call(form: str, kind: str, name: bytes, is_handling: bool) -> None:
    """A call in a finalizer, while another is made, has its own request id; each frame is whole."""
    end = End(form)
    reference = end.broker.remoteForName(name)

    def outer() -> None:
        if is_handling:
            try:
                raise ValueError("in the middle of something")
            except ValueError:
                reference.callRemote("outer", ODD[kind]).addErrback(lambda failure: None)
        else:
            reference.callRemote("outer", ODD[kind]).addErrback(lambda failure: None)

    def inner() -> None:
        made.append(1)
        end.root.callRemote("inner", "i").addErrback(lambda failure: None)
        end.broker.flush()

    outer()
    made: list[int] = []
    for run in at_each_allocation(12, inner):
        made.clear()
        end.run()
        end.sent = b""
        run(outer)
        end.broker.flush()
        end.run()
        frames = [
            (each[2], each[4]) if each[0] == 7 else (each[1], each[3]) for each in end.answers()
        ]
        names = [name for _, name in frames]
        assert names.count("inner") == len(made)
        assert set(names) <= {"inner", "outer"}
        numbers = [number for number, _ in frames]
        assert len(set(numbers)) == len(numbers)
        assert set(numbers) <= set(end.broker.calls.waiting)
        waiting = end.broker.calls.waiting
        assert {waiting[number].label for number, name in frames if name == "inner"} <= {"inner"}


@each_lane
@pytest.mark.parametrize("value", [1, [1], [[1], [2], [3]], ([], [[]]), {"a": {"b": []}}])
@pytest.mark.parametrize("does", ["cancel", "end", "drain", "call"])
def test_a_finalizer_during_an_answer(form: str, value: Any, does: str) -> None:
    """What a finalizer does while an answer is decoded counts before the answer, or behind it."""
    for number in range(8):
        end = End(form)
        promise = end.promises[1]
        promise.addErrback(lambda failure: failure.type.__name__)
        actions: dict[str, Callable[[], object]] = {
            "cancel": promise.cancel,
            "end": end.end,
            "drain": end.broker.drain,
            "call": lambda end=end: end.root.callRemote("x"),
        }
        data = answer(2, value) + call(8, "echo", 8)
        for run in itertools.islice(at_each_allocation(number + 1, actions[does]), number, None):
            run(lambda: end.broker.dataReceived(data))  # noqa: B023 - it is called at once
        end.run()
        expected = [value]
        if does in ("cancel", "end"):
            expected += ["CancelledError", "PBConnectionLost"]
        assert promise.result in expected
        if not end.broker.disconnected:
            end.feed(framed(12, 1))
            assert end.answers()[-1] == [13, 1]


@each_lane
@pytest.mark.parametrize("args", [(), ([1], {"a": [2]}), ([[]],) * 3])
@pytest.mark.parametrize("does", ["end", "drain", "call", "flush"])
def test_a_finalizer_during_a_call(form: str, args: tuple[Any, ...], does: str) -> None:
    """What a finalizer does while a call of the peer is handled does not disturb it."""
    for number in range(8):
        end = End(form)
        actions: dict[str, Callable[[], object]] = {
            "end": end.end,
            "drain": end.broker.drain,
            "call": lambda end=end: end.root.callRemote("x", [1]),
            "flush": end.broker.flush,
        }
        data = call(8, "echo", *args) + call(7, "echo", 7)
        for run in itertools.islice(at_each_allocation(number + 1, actions[does]), number, None):
            run(lambda: end.broker.dataReceived(data))  # noqa: B023 - it is called at once
        end.run()
        calls = [each for each in end.log if "answered" not in each]
        assert len(set(calls)) == len(calls)
        assert calls == [] or calls[0] == repr(("echo", args, {}))
        found = [each for each in end.answers() if each[:2] == [5, 8]]
        assert found in ([], [[5, 8, list(args)]]) or len(args) != 1
        if does in ("call", "flush"):
            assert len(calls) == 2
