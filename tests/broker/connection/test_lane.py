"""The lane of a connection in both forms: what it takes, what it leaves, and how calls are made."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from fuzz.lane_room import Gauge, Office, Quiet, Room
from support.lane_ends import End, answer, call, framed, send
from support.lane_forms import LANES
from support.memory import BrokerPair

from broker.connection.lane import LONGEST_NAME
from broker.core.policy import STRICT
from broker.defer.awaiting import Bridge
from broker.failure import Failure

each_lane = pytest.mark.parametrize("form", LANES)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Nothing is logged: what is logged is the matter of other tests."""
    with Quiet():
        yield


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
def test_a_paused_promise(form: str) -> None:
    """A Promise that is paused takes its result, and gives it when it is not paused any more."""
    end = End(form)
    seen: list[Any] = []
    promise = end.promises[1]
    bridge = Bridge(promise)
    bridge.when_done(lambda woken: seen.append(woken.outcome))
    promise.pause()
    end.feed(answer(2, "two"))
    assert promise.called
    assert seen == []
    promise.unpause()
    assert seen == ["two"]


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
async def test_other_loops(form: str) -> None:
    """A call that is made in another loop, or in none, is refused as without a lane."""
    ends = [End(each, loop=asyncio.get_running_loop()) for each in (form, "none")]

    def elsewhere(end: End) -> str:
        try:
            end.root.callRemote("x")
        except RuntimeError as error:
            return str(error)
        return "made"

    texts = [await asyncio.to_thread(elsewhere, end) for end in ends]
    assert texts[0] == texts[1] != "made"


@pytest.mark.parametrize("dialect", ["pb", "none"])
def test_there_is_none_in_other_dialects(dialect: str) -> None:
    """In PB's dialects a session has no lane."""
    pair = BrokerPair(Office(Room("none", False, STRICT)), policy=STRICT.but(dialects=(dialect,)))
    assert pair.call("echo", 1) == 1
    for broker in (pair.client, pair.server):
        assert broker.session.inbox.lane is None
        assert broker.calls.lane is None
