"""The dialect msgpack/1 against its vectors: reader, writer, a server's session and a client's."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any

import msgspec
import pytest
from msgspec.structs import astuple
from support.memory import ROOT, make_end
from vectors import notation
from vectors.msgpack_later import LATER
from vectors.msgpack_served import surroundings
from vectors.record_msgpack import CASES, MALFORMED, Server, check_end, fate_of, split

from broker.core.policy import STRICT
from broker.core.wire import messages
from broker.core.wire.commands import COMMANDS
from broker.core.wire.dialects import MSGPACK
from broker.core.wire.msgpack.reader import FrameReader
from broker.core.wire.msgpack.writer import FrameWriter
from jelly.errors import ProtocolError
from jelly.limits import Limits

VECTORS: list[Any] = notation.load("msgpack")
GOOD = [pytest.param(case, id=case["name"]) for case in VECTORS if case["fate"] == "taken"]
USUAL = [param for param in GOOD if not str(param.id).startswith("odd_")]
ALL = [pytest.param(case, id=case["name"]) for case in VECTORS]
ENDING = [
    pytest.param(case, id=case["name"])
    for case in VECTORS
    if case["fate"] == f"connection: {MALFORMED}"
]
NUMBERED = {row.number: record for record, row in COMMANDS.items() if row.number is not None}
GRAPH, ANSWER, ERROR = 7, 5, 7
# What a frame itself does not tell: the session looks at it.
AT_THE_SESSION = {
    "bad_target_empty",
    "bad_target_of_three",
    "bad_target_text_first",
    "bad_promise_in_one_way",
    "bad_credit_nothing",
    "bad_items_none",
    "bad_items_int",
    "bad_item_graph_no_list",
    "bad_item_graph_none",
    "bad_item_seven_deep",
    "bad_item_bytes",
}
CALLS = (
    messages.PlainCall,
    messages.PlainSend,
    messages.PlainCallToCache,
    messages.PlainSendToCache,
)
DECREF, DECACHE = 8, 9


@pytest.fixture(autouse=True, scope="module")
def served() -> Iterator[None]:
    """Serve what the vectors are about."""
    with surroundings():
        yield


def frames(case: Any, side: str | None = None) -> list[tuple[bytes, Any]]:
    """The bytes and the fields of the frames of a vector, without the handshake."""
    return [
        (bytes.fromhex(entry["hex"]), notation.from_json(entry["record"]))
        for entry in case["messages"]
        if "record" in entry
        and side in (None, entry["from"])
        and type(entry["record"]) is list
        and type(entry["record"][0]) is int
    ]


def read(data: bytes, chunk: int, as_expressions: bool) -> list[Any]:
    """The messages of some bytes, which arrive in pieces."""
    reader, found = FrameReader(Limits(), as_expressions), list[Any]()
    for begin in range(0, len(data), chunk):
        reader.receive(data[begin : begin + chunk], found)
    assert reader.is_between_expressions
    return found


def plainly(value: Any) -> str:
    """A value as text, so that NaN is NaN and tuples are lists."""
    if isinstance(value, msgspec.Raw):
        value = msgspec.msgpack.decode(bytes(value))
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(plainly, value))}]"
    return repr(value)


def meant(fields: list[Any]) -> messages.Record:
    """The message that the fields of a graph stand for."""
    _, kind, number, target, name, graph, *rest = fields
    if kind == ANSWER:
        return messages.GraphAnswer(number, graph)
    if kind == ERROR:
        return messages.GraphError(number, graph)
    make = messages.GraphCall if kind < 3 else messages.GraphCallToCache
    call = make(
        number,
        tuple(target) if isinstance(target, list) else target,
        name,
        kind in (1, 3),
        *graph,
        *rest,
    )
    call.has_promises = isinstance(call, messages.GraphCall) and "promised" in repr(graph)
    return call


@pytest.mark.parametrize("case", GOOD)
def test_the_reader(case: Any) -> None:
    """Each frame is one message with these fields, in whatever pieces it arrives."""
    for data, fields in frames(case):
        is_graph = fields[0] == GRAPH
        (message,) = read(data, len(data), is_graph)
        (in_pieces,) = read(data, 1, is_graph)
        assert plainly(astuple(message)) == plainly(astuple(in_pieces))
        if is_graph:
            assert message == meant(fields)
            continue
        assert type(message) is NUMBERED[fields[0]]
        values = astuple(message)
        assert plainly(values[: len(fields) - 1]) == plainly(fields[1:])


def written(message: Any) -> bytes:
    """A message as this library sends it."""
    writer = FrameWriter(Limits())
    if type(message) in CALLS and message.meta is None:
        number = type(message).__struct_config__.tag
        made = writer.call(number, *astuple(message)[:-1])
        assert made is not None
        return made
    return writer.write(message)


@pytest.mark.parametrize("case", USUAL)
def test_the_writer(case: Any) -> None:
    """Each message is written with the bytes of its frame."""
    for data, fields in frames(case):
        # This library writes a count of 1, and leaves out a last field that is nil.
        is_short = fields[0] in (DECREF, DECACHE) and len(fields) == 2
        if is_short or case["name"] == "call_deadline_nil":
            continue
        (message,) = read(data, len(data), fields[0] == GRAPH)
        assert written(message) == data


@pytest.mark.parametrize("case", ENDING)
def test_the_reader_refuses(case: Any) -> None:
    """The last frame of a malformed vector is no message."""
    data = bytes.fromhex(case["messages"][-1]["hex"])
    if case["name"] in AT_THE_SESSION:
        assert len(read(data, len(data), False)) == 1
        return
    with pytest.raises(ProtocolError) as caught:
        read(data, len(data), False)
    assert str(caught.value).startswith(MALFORMED)


@pytest.mark.parametrize("case", ALL)
def test_a_server(case: Any) -> None:
    """It answers each frame with the frames of the vector, and the fate is that of the vector."""
    server = Server(case["state"])
    fate = case["fate"]
    said, fates = server.transport.take(), ["taken"]
    for side, entries in groupby(case["messages"], lambda entry: entry["from"]):
        data = b"".join(bytes.fromhex(entry["hex"]) for entry in entries)
        if side == "client":
            assert said == b""
            heard = [(each, fate_of(each)) for each in answered(server, data)]
            fates += [each for _, each in heard if each is not None]
            said = b"".join(each for each, told in heard if told is None or fate == "taken")
        else:
            assert said == data
            said = b""
    assert said == b""
    if fate.startswith(("call", "connection")):
        assert fates[-1] == fate
    check_end(server, fate, case["messages"])


def answered(server: Server, data: bytes) -> list[bytes]:
    """The frames that a server writes when it has read these bytes."""
    return list(split(server.hear(data)))


@pytest.mark.parametrize("case", USUAL)
def test_a_client(case: Any) -> None:
    """A client that has made the calls of a vector takes the answers."""
    client = make_end(STRICT, True, offered=(MSGPACK,))
    client.start()
    client.select(b"msgpack/1")
    client.receive(bytes.fromhex("00000003920006"))
    client.pump()
    answers = [(data, fields) for data, fields in frames(case, "server") if is_answer(fields)]
    numbers = [fields[2 if fields[0] == GRAPH else 1] for _, fields in answers]
    for _ in range(max(numbers, default=0)):
        client.outgoing.call(ROOT, "anything", (), {})
    for data, _ in answers:
        client.receive(data)
        while client.pump():
            pass
    assert [number for number, _, _ in client.host.outcomes] == numbers


def is_answer(fields: list[Any]) -> bool:
    """Whether a frame answers a call."""
    return fields[0] in (5, 6) or fields[:2] in ([GRAPH, ANSWER], [GRAPH, ERROR])


def test_names() -> None:
    """Each vector has a name of its own, is in the file, and is not said to be left for later."""
    names = [case["name"] for case in VECTORS]
    assert len(set(names)) == len(names)
    assert names == [case.name for case in CASES]
    later = [name for text in LATER.values() for name in text.split()]
    assert len(set(later)) == len(later)
    assert not set(later) & set(names)


def test_every_row_has_a_vector() -> None:
    """Each command and each kind of graph is in a vector, as one that is taken or refused."""
    found = {
        tuple(entry["record"][:2]) if entry["record"][0] == GRAPH else entry["record"][0]
        for case in VECTORS
        for entry in case["messages"]
        if entry.get("record") and type(entry["record"][0]) is int
    }
    assert found >= {*NUMBERED, *((GRAPH, kind) for kind in (1, 2, 3, 4, 5, 7))}
