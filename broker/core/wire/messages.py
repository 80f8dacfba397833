"""The messages of the protocol: one record each, the same when received and when sent.

The ``object_id`` of a call or a Decref is an object of the receiver. A record with a tag is a frame
of ``msgpack/1``: the tag is its number, and the fields follow in their order with these types.
`broker.core.wire.commands` has the other properties of each message.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Protocol, TypeAlias

from msgspec import Meta, Struct
from msgspec import Raw as MsgpackRaw

from broker.core.wire.values import ARGUMENTS, GRAPH, KEYWORDS, VALUE
from jelly.atoms import Expression
from jelly.numbers import LARGEST

__all__ = [
    "LONGEST_NAME",
    "LONGEST_TEXT",
    "PROTOCOL_VERSION",
    "CallMessage",
    "Cancel",
    "Credit",
    "Decache",
    "Decref",
    "DidNotUnderstand",
    "Draining",
    "End",
    "Goodbye",
    "GraphAnswer",
    "GraphCall",
    "GraphCallToCache",
    "GraphError",
    "Home",
    "ItemGraph",
    "Items",
    "Message",
    "MessageQueue",
    "Metadata",
    "ObjectId",
    "Piece",
    "Ping",
    "PlainAnswer",
    "PlainCall",
    "PlainCallToCache",
    "PlainSend",
    "PlainSendToCache",
    "PlainTuple",
    "Pong",
    "Promised",
    "Raw",
    "Received",
    "Record",
    "RequestId",
    "Stop",
    "Target",
    "Uncache",
    "UnknownCommand",
    "Version",
]

# An int for an object that was sent, or the name of an object: the root is ``b"root"``. In
# msgpack/1, the name is text.
ObjectId: TypeAlias = int | bytes
RequestId: TypeAlias = int

PROTOCOL_VERSION = 6
LONGEST_NAME = 128
"""Most bytes in the name of a method, an object or a command."""
LONGEST_TEXT = 1024
"""Most characters in the code and in the text of a goodbye."""

_Id = Annotated[int, Meta(ge=0, le=LARGEST)]
_Count = Annotated[int, Meta(ge=1, le=(1 << 31) - 1)]
_Name = Annotated[str, Meta(max_length=LONGEST_NAME)]
_Text = Annotated[str, Meta(max_length=LONGEST_TEXT)]
_Size = Annotated[int, Meta(ge=0, le=(1 << 31) - 1)]
_Address = Annotated[str, Meta(max_length=256)]
_Terms = Annotated[dict[_Name, _Id], Meta(max_length=32)]
_Key = Annotated[str, Meta(min_length=1, max_length=64, pattern="^[a-z0-9-]+$")]
Metadata = Annotated[dict[_Key, Annotated[str, Meta(max_length=512)]], Meta(max_length=8)]

# A promise: the object that a call of the sender returned, ``(request id,)``, or an element of the
# result, ``(request id, step)``. Its length and its types are checked when it is looked up.
Promised: TypeAlias = tuple[_Id | _Name, ...]
Target: TypeAlias = ObjectId | str | Promised
"""What a call names: an object, or a promise."""


class Record(Struct, array_like=True, gc=False, forbid_unknown_fields=True):
    """A message."""


class Version(Record, tag=0):
    """The first message in each direction, and the only one.

    ``terms`` are the numbers by name that the sender takes; see `broker.core.wire.terms`. PB's
    dialects have none.
    """

    number: Annotated[int, Meta(ge=-LARGEST, le=LARGEST)]
    terms: _Terms | None = None


class DidNotUnderstand(Record):
    """The sender does not know a command that it was sent."""

    command: bytes


class PlainCall(Record, tag=1):
    """Call a method of an object that the receiver exported, with plain values.

    ``deadline`` is the time that the caller waits, in milliseconds, or None. ``meta`` is metadata:
    text by key. PB's dialects have neither, and no promise as the target.
    """

    request_id: _Id
    object_id: _Id | _Name | Promised
    name: _Name
    args: ARGUMENTS
    kw: KEYWORDS
    deadline: _Id | None = None
    meta: Metadata | None = None


class PlainSend(PlainCall, tag=2):
    """A PlainCall without an answer."""


class PlainCallToCache(Record, tag=3):
    """Call a method of a cache that the receiver holds, with plain values."""

    request_id: _Id
    object_id: _Id
    name: _Name
    args: ARGUMENTS
    kw: KEYWORDS
    deadline: _Id | None = None
    meta: Metadata | None = None


class PlainSendToCache(PlainCallToCache, tag=4):
    """A PlainCallToCache without an answer."""


class PlainAnswer(Record, tag=5):
    """The result of a call, a plain value."""

    request_id: _Id
    value: VALUE


class PlainTuple(Record, tag=6):
    """The result of a call, a tuple of plain values."""

    request_id: _Id
    value: ARGUMENTS


class GraphCall(Record):
    """Call a method of an object that the receiver exported; args and kw are expressions.

    ``has_promises`` is not sent: it tells whether there may be promises among the arguments of a
    received call.
    """

    request_id: RequestId
    object_id: Target
    name: str
    wants_answer: bool
    args: Expression
    kw: Expression
    deadline: int | None = None
    meta: dict[str, str] | None = None
    has_promises: bool = False


class GraphCallToCache(GraphCall):
    """Call a method of a cache that the receiver holds; args and kw are expressions."""


class GraphAnswer(Record):
    """The result of a call, an expression."""

    request_id: RequestId
    value: Expression


class GraphError(Record):
    """The exception of a call, an expression."""

    request_id: RequestId
    failure: Expression


class Decref(Record, tag=8):
    """The sender releases an object that it has received ``times`` times; 1 in PB's dialects."""

    object_id: _Id
    times: _Count = 1


class Decache(Record, tag=9):
    """The sender releases a cache that it has received ``times`` times; see Decref."""

    cache_id: _Id
    times: _Count = 1


class Uncache(Record, tag=10):
    """The sender will not send this cache, or a change to it, again."""

    cache_id: _Id


class Cancel(Record, tag=11):
    """The sender has stopped waiting for the answer to one of its calls."""

    request_id: _Id


class Ping(Record, tag=12):
    """Asks the receiver for a Pong, to learn whether it still answers."""

    token: _Id


class Pong(Record, tag=13):
    """The answer to a ping."""

    token: _Id


class Goodbye(Record, tag=14):
    """The sender is about to close the connection, with the reason."""

    code: _Text
    text: _Text


class Draining(Record, tag=15):
    """The sender takes no new calls.

    Come again in ``after`` milliseconds, or to one of the addresses ``elsewhere``.
    """

    after: _Size
    elsewhere: Annotated[tuple[_Address, ...], Meta(max_length=8)]


class Credit(Record, tag=16):
    """The producer of a stream may send so many more items and bytes; not both are 0."""

    stream: _Id
    items: _Size
    size: _Size


class Items(Record, tag=17):
    """One or more items of a stream, an array of plain values that is not decoded."""

    stream: _Id
    items: MsgpackRaw


class ItemGraph(Record, tag=18):
    """One or more items of a stream, as the expression of a list; received, it is not decoded."""

    stream: _Id
    graph: MsgpackRaw


class Piece(Record, tag=19):
    """One item of a stream, of bytes."""

    stream: _Id
    data: bytes


class End(Record, tag=20):
    """A stream has no more items; ``failure`` is that of its producer, or None."""

    stream: _Id
    failure: GRAPH | None = None


class Stop(Record, tag=21):
    """The reader of a stream wants no more items."""

    stream: _Id


class Home(Record, tag=22):
    """The target of a call is an object of its caller; the call was not run here."""

    request_id: _Id


class UnknownCommand(Record):
    """A message whose command is not in the table; answered with didNotUnderstand."""

    command: bytes


class Raw(Record):
    """An expression that the host parses itself."""

    expression: Expression


Message: TypeAlias = (
    Version
    | DidNotUnderstand
    | PlainCall
    | PlainSend
    | PlainCallToCache
    | PlainSendToCache
    | PlainAnswer
    | PlainTuple
    | GraphCall
    | GraphCallToCache
    | GraphAnswer
    | GraphError
    | Decref
    | Decache
    | Uncache
    | Cancel
    | Ping
    | Pong
    | Goodbye
    | Draining
    | Credit
    | Items
    | ItemGraph
    | Piece
    | End
    | Stop
    | Home
    | UnknownCommand
)
CallMessage: TypeAlias = (
    PlainCall | PlainSend | PlainCallToCache | PlainSendToCache | GraphCall | GraphCallToCache
)
"""The messages that call a method."""

Received: TypeAlias = Message | Raw
"""What a reader can return."""


class MessageQueue(Protocol):
    """Where a reader puts the messages."""

    def append(self, message: Received, /) -> object:
        """Add a message."""
        ...

    def extend(self, messages: Iterable[Received], /) -> object:
        """Add messages."""
        ...
