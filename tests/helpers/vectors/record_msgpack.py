"""Record msgpack.json: conversations in msgpack/1, each frame with its bytes and its fields.

The client's frames are written down in ``msgpack_good``, ``msgpack_odd`` and ``msgpack_malformed``;
a server of this library reads them, and its frames are recorded. What a vector must come to is
written down beside it: the recorder refuses to write a file in which a server does anything else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from support.memory import FakeTransport, ManualScheduler

from broker.connection.broker import Broker
from broker.core.wire.msgpack.reader import FrameReader
from broker.errors import ConnectionAborted
from broker.failure import Failure
from broker.login.server import root_of
from broker.replies import KeptReplies, Replies, RepliesToPeer
from jelly.codec import Reader
from jelly.limits import Limits
from jelly.vocabulary import NONE_VOCABULARY
from vectors import msgpack_good, msgpack_malformed, msgpack_odd, msgpack_promises
from vectors.msgpack_case import CHOICE, VERSION, Case, frame
from vectors.msgpack_served import POLICY, Desk, portal, surroundings
from vectors.notation import to_json

__all__ = ["CASES", "MALFORMED", "Server", "check_end", "fate_of", "record_msgpack", "split"]

MALFORMED = "malformed message"
"""Texts that begin like this are compared up to here: the rest is the decoder's."""

_GRAPH, _ERROR, _GOODBYE = 7, 7, 14

CASES: list[Case] = [
    *msgpack_good.CASES,
    *msgpack_promises.CASES,
    *msgpack_odd.CASES,
    *msgpack_malformed.CASES,
]
"""All vectors, in the order of the file."""


class Server:
    """A server's end of one connection, in memory.

    Args:
        state: ``"opening"``, ``"before login"`` or ``"open"``; what comes before has been said.
    """

    def __init__(self, state: str):
        self.scheduler = ManualScheduler()
        self.transport = FakeTransport(self.scheduler)
        self.broker = Broker(False, policy=POLICY)
        self.desk = Desk()
        root = root_of(portal() if state == "before login" else self.desk)
        kept = KeptReplies(Replies())
        self.broker.session.incoming.replies = RepliesToPeer(kept, has_logins=False)
        self.broker.setNameForLocal(b"root", root.rootObject(self.broker))
        self.broker.makeConnection(self.transport)
        if state != "opening":
            self.hear(CHOICE + VERSION)
            self.transport.take()

    def hear(self, data: bytes) -> bytes:
        """Receive bytes, handle them to the end, and return the bytes that were written."""
        self.broker.dataReceived(data)
        self.scheduler.run()
        return self.transport.take()

    @property
    def is_over(self) -> bool:
        """Whether it has ended the connection."""
        return self.transport.is_aborted

    def end(self) -> None:
        """End the connection."""
        self.broker.connectionLost(Failure(ConnectionAborted()))


def split(data: bytes) -> Iterator[bytes]:
    """Yield the frames of some bytes, behind the choice of the dialect if they begin with it."""
    if data.startswith(CHOICE):
        yield CHOICE
        data = data[len(CHOICE) :]
    while data:
        end = 4 + int.from_bytes(data[:4], "big")
        yield data[:end]
        data = data[end:]


def _no_extension(code: int, data: memoryview) -> object:
    raise msgspec.DecodeError(f"an extension type {code}")


def _fields(data: bytes) -> Any:
    """Return the fields of a frame, or None if it is not one array of msgpack."""
    if int.from_bytes(data[:4], "big") != len(data) - 4:
        return None
    try:
        fields = msgspec.msgpack.decode(data[4:], ext_hook=_no_extension)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return fields if type(fields) is list else None


def fate_of(data: bytes) -> str | None:
    """Return the fate that a server's frame tells: that of a call or of the connection."""
    fields = _fields(data)
    if fields[0] == _GOODBYE and fields[1] == "error":
        text = MALFORMED if fields[2].startswith(MALFORMED) else fields[2]
        return f"connection: {text}"
    if fields[:2] != [_GRAPH, _ERROR]:
        return None
    found: list[Any] = []
    FrameReader(Limits()).receive(data, found)  # type: ignore[arg-type]
    state = {key[1]: value for key, value in found[0].failure[1][1:]}
    return f"call: {state[b'type'].decode()}: {state[b'value'][1].decode()}"


def check_end(server: Server, fate: str, messages: Sequence[dict[str, Any]]) -> None:
    """Check that the connection has ended, or goes on, as the fate says; then end it.

    Raises:
        AssertionError: it is otherwise.
    """
    assert server.is_over == fate.startswith("connection")
    if server.is_over:
        return
    if any(each.get("record", [])[:1] == [_GOODBYE] for each in messages):
        assert server.transport.is_losing
    else:
        assert server.hear(frame(12, 5)) == frame(13, 5)
    server.end()


def _entry(side: str, data: bytes) -> dict[str, Any]:
    entry = {"from": side, "hex": data.hex()}
    if data[:1] in (b"\x09", b"\x03"):
        reader = Reader(Limits(), NONE_VOCABULARY)
        reader.feed(data)
        (expression,) = reader.read()
        return {**entry, "record": to_json(expression)}
    fields = _fields(data)
    return entry if fields is None else {**entry, "record": to_json(fields)}


def _recorded(case: Case) -> dict[str, Any]:
    server = Server(case.state)
    messages, fates = [], ["taken"]
    said = server.transport.take()
    if said:
        messages.append(_entry("server", said))
    for data in case.frames:
        assert not server.is_over, case.name
        messages += [_entry("client", each) for each in split(data)]
        for answer in split(server.hear(data)):
            fate = fate_of(answer)
            if fate is not None:
                fates.append(fate)
            if fate is None or case.fate == "taken":
                messages.append(_entry("server", answer))
    fate = fates[-1] if case.fate not in ("taken", "ignored") else case.fate
    assert fate == case.fate, f"{case.name}: {fate}"
    check_end(server, case.fate, messages)
    return {
        "name": case.name,
        "about": case.about,
        "state": case.state,
        "messages": messages,
        "fate": case.fate,
    }


def record_msgpack() -> list[dict[str, Any]]:
    """Return the content of ``msgpack.json``."""
    with surroundings():
        return [_recorded(case) for case in CASES]
