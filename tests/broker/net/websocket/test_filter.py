"""Frames: messages of any size in any pieces; everything else that comes ends with its code."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.web_ends import CLOSE, CONT, PING, PONG, TEXT, frame, joined, outcome
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from broker.errors import ConnectionLost
from broker.net.websocket.filter import PIECE


def close_code(sent: bytes) -> int:
    """The code of the Close that a server has sent last."""
    at = sent.rindex(b"\x88")
    return int.from_bytes(sent[at + 2 : at + 4], "big")


SIZES = [0, 1, 125, 126, 65535, 65536, 65537, 200_000]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("is_up", [True, False])
def test_both_ways(size: int, is_up: bool) -> None:
    """Bytes pass as messages of at most 64 KiB, whatever their number."""
    client, server = joined()
    sender, receiver = (client, server) if is_up else (server, client)
    data = random.Random(size).randbytes(size)
    sender.send(data)
    sent = sender.data_to_send()
    assert receiver.receive(sent) == data
    # The frames are those of another reader of the same protocol.
    reader = StreamReader()
    reader.feed_data(sent)
    read = b""
    while reader.buffer:
        parser = Frame.parse(reader.read_exact, mask=is_up)
        try:
            next(parser)
        except StopIteration as done:
            assert (done.value.opcode, done.value.fin) == (Opcode.BINARY, True)
            assert len(done.value.data) <= PIECE
            read += bytes(done.value.data)
    assert read == data


@pytest.mark.parametrize("size", [*SIZES, 4096, 4097])
@pytest.mark.parametrize("is_up", [True, False])
def test_passed(size: int, is_up: bool) -> None:
    """A write that is passed on at once is the same message, behind what waits to be sent."""
    client, server = joined()
    sender, receiver = (client, server) if is_up else (server, client)
    data = random.Random(size).randbytes(size)
    for before in (b"", b"before"):
        if before:
            sender.send(before)
        sent = sender.passed(data)
        assert receiver.receive(sent) == before + data
        assert sender.data_to_send() == b""
    sender.close()
    closing = sender.data_to_send()
    assert sender.passed(data) == b""
    assert receiver.receive(closing) == b""


@given(
    st.lists(st.binary(max_size=300), max_size=8),
    st.lists(st.integers(0, 3000), max_size=12),
    st.booleans(),
)
def test_pieces(messages: list[bytes], cuts: list[int], has_control: bool) -> None:
    """The pieces in which frames come make no difference; fragments and pings may be between."""
    _, server = joined()
    written = b""
    for message in messages:
        half = len(message) // 2
        written += frame(message)
        written += frame(message[:half], fin=False)
        if has_control:
            written += frame(b"?", PING) + frame(b"", PONG)
        written += frame(message[half:], CONT)
    places = sorted({cut for cut in cuts if cut < len(written)})
    pieces = [written[start:end] for start, end in zip([0, *places], [*places, None], strict=True)]
    data, failure, sent = outcome(server, pieces)
    assert (data, failure) == (b"".join(each + each for each in messages), None)
    assert sent == b"\x8a\x01?" * (len(messages) if has_control else 0)


WRONG: dict[str, tuple[bytes, int, str]] = {
    "text": (frame(b"hello", TEXT), 1003, "the peer sent text over WebSocket"),
    "too long": (
        frame(b"", length=65537),
        1009,
        "WebSocket message of more than 65536 bytes",
    ),
    "far too long": (
        frame(b"", length=(1 << 63) - 1),
        1009,
        "WebSocket message of more than 65536 bytes",
    ),
    "too long together": (
        frame(bytes(40_000), fin=False) + frame(bytes(40_000), CONT),
        1009,
        "WebSocket message of more than 65536 bytes",
    ),
    "no mask": (frame(b"hello", masked=False), 1002, "incorrect masking"),
    "reserved bits": (frame(b"hello", bits=0x40), 1002, "reserved bits"),
    "unknown opcode": (frame(b"hello", 3), 1002, "invalid opcode"),
    "long ping": (frame(bytes(126), PING), 1002, "control frame too long"),
    "ping in fragments": (frame(b"hello", PING, fin=False), 1002, "fragmented control"),
    "continuation of nothing": (frame(b"hello", CONT), 1002, "unexpected continuation"),
    "message inside another": (
        frame(bytes(2000), fin=False) + frame(b"hello"),
        1002,
        "expected a continuation",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_frames(name: str) -> None:
    """A wrong frame ends the connection with its code; the messages before it are delivered."""
    wrong, code, text = WRONG[name]
    for pieces in (
        [frame(b"before") + wrong],
        [bytes([byte]) for byte in frame(b"before") + wrong],
    ):
        _, server = joined()
        data, failure, sent = outcome(server, pieces)
        assert data.startswith(b"before") and len(data) <= 6 + 40_000
        assert failure is not None and text in failure
        assert close_code(sent) == code
        # Nothing follows.
        server.send(b"late")
        assert server.data_to_send() == b""


@pytest.mark.parametrize(
    "small",
    [frame(b"x", PING), frame(b"", PONG), frame(b""), frame(b"x", CONT, fin=False)],
    ids=["pings", "pongs", "empty", "fragments"],
)
def test_small_frames(small: bytes) -> None:
    """Of small frames there may be 40 in 20 s, and 40 more at the start; more end it with 1008."""
    clock = [0.0]
    _, server = joined(lambda: clock[0])
    start = frame(bytes(2000), fin=False) if small[0] & 15 == CONT else b""
    server.receive(start)
    for _ in range(40):
        server.receive(small)
    clock[0] = 30.0
    for _ in range(40):
        server.receive(small)
    clock[0] = 51.0
    for _ in range(40):
        server.receive(small)
    with pytest.raises(ConnectionLost) as caught:
        for _ in range(41):
            server.receive(small)
    assert (caught.value.limit, caught.value.most) == ("max_pings", 40)
    assert close_code(server.data_to_send()) == 1008


def test_a_flood_costs_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 10,000 pings in one read only a few are answered, and the rest is not looked at."""
    _, server = joined()
    calls: list[int] = []
    take = type(server)._take_frame
    monkeypatch.setattr(
        type(server), "_take_frame", lambda *args: (calls.append(1), take(*args))[1]
    )
    _, failure, sent = outcome(server, [frame(b"", PING) * 10_000])
    assert failure == "too many pings"
    assert len(calls) == 81
    assert sent.count(b"\x8a\x00") <= 81


def test_close_of_the_peer() -> None:
    """Data and a Close in one read are both taken; the Close is answered once."""
    client, server = joined()
    client.send(b"last")
    client.close()
    assert server.receive(client.data_to_send()) == b"last"
    assert server.peer_closed
    answer = server.data_to_send()
    assert close_code(answer) == 1000
    server.close()
    assert server.data_to_send() == b""
    assert client.receive(answer) == b""
    assert client.peer_closed
    assert (client.failure, server.failure) == (None, None)


def test_close_of_both() -> None:
    """Both ends may close at the same time; what was written before still arrives."""
    client, server = joined()
    ends: list[Any] = [client, server]
    for end in ends:
        end.send(b"last")
        end.close()
    sent = [end.data_to_send() for end in ends]
    assert [client.receive(sent[1]), server.receive(sent[0])] == [b"last", b"last"]
    assert client.peer_closed and server.peer_closed
    assert [end.data_to_send() for end in ends] == [b"", b""]


@pytest.mark.parametrize("data", [b"\x03\xe8", b"\x03\xe8bye", b"", b"\x00"])
def test_forms_of_close(data: bytes) -> None:
    """A Close may have no code; one with half a code is wrong."""
    _, server = joined()
    _, failure, _ = outcome(server, [frame(data, CLOSE)])
    assert server.peer_closed == (len(data) != 1)
    assert (failure is None) == (len(data) != 1)


def test_nothing_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that has carried a long message in pieces keeps none of its bytes."""
    _, server = joined()
    data = frame(bytes(60_000))
    for at in range(0, len(data), 1000):
        server.receive(data[at : at + 1000])
    server.shrink()
    assert server._rest is None
    assert server._core is None, "the parser was made for ordinary messages"
