"""The messages of the protocol: one record each, a table by command, and the bytes/str boundary.

Ids in a message are named from its *sender's* view: ``object_id`` of a Call is an object of the
receiver, of a Decref too. Command and arity are checked before anything is looked up.

The types of the fields, and the tags, are what ``msgpack/1`` decodes against: a record whose tag is
a number is a frame of that dialect, of that command, with these fields in this order. In PB's
dialects :func:`parse` makes the records, and checks the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, NamedTuple, TypeAlias

from msgspec import Meta, Struct

from broker.core.wire.values import ARGUMENTS, KEYWORDS, VALUE
from jelly.atoms import Expression, text_of
from jelly.errors import ProtocolError
from jelly.numbers import LARGEST, is_number

__all__ = [
    "LONGEST_NAME",
    "PROTOCOL_VERSION",
    "Answer",
    "Call",
    "CallToCache",
    "Cancel",
    "Decache",
    "Decref",
    "DidNotUnderstand",
    "Failed",
    "Goodbye",
    "Message",
    "ObjectId",
    "Ping",
    "PlainAnswer",
    "PlainCall",
    "PlainCallToCache",
    "PlainSend",
    "PlainSendToCache",
    "PlainTuple",
    "Pong",
    "Raw",
    "RequestId",
    "Uncache",
    "UnknownCommand",
    "Version",
    "parse",
]

# An int for what was handed over, a name for what has one: the root is ``b"root"``. A message of
# msgpack/1 has it as text.
ObjectId: TypeAlias = int | bytes
RequestId: TypeAlias = int

PROTOCOL_VERSION = 6
LONGEST_NAME = 128
"""Bytes of the name of a method, an object or a command."""

_Id = Annotated[int, Meta(ge=0, le=LARGEST)]
_Count = Annotated[int, Meta(ge=1, le=(1 << 31) - 1)]
_Name = Annotated[str, Meta(max_length=LONGEST_NAME)]
_Text = Annotated[str, Meta(max_length=1024)]


class Record(Struct, array_like=True, gc=False, forbid_unknown_fields=True):
    """A message."""


class Version(Record, tag=0):
    """The first message each way."""

    number: Annotated[int, Meta(ge=-LARGEST, le=LARGEST)]


class DidNotUnderstand(Record):
    """The peer has no such command."""

    command: bytes


class PlainCall(Record, tag=1):
    """Call a method of an object that the receiver exported, with plain values.

    ``deadline`` is how long the caller waits, in milliseconds, or None; PB's wire has none.
    """

    request_id: _Id
    object_id: _Id | _Name
    name: _Name
    args: ARGUMENTS
    kw: KEYWORDS
    deadline: _Id | None = None


class PlainSend(PlainCall, tag=2):
    """A PlainCall that wants no answer."""


class PlainCallToCache(Record, tag=3):
    """Call a method of a cache that the receiver holds, with plain values."""

    request_id: _Id
    object_id: _Id
    name: _Name
    args: ARGUMENTS
    kw: KEYWORDS
    deadline: _Id | None = None


class PlainSendToCache(PlainCallToCache, tag=4):
    """A PlainCallToCache that wants no answer."""


class PlainAnswer(Record, tag=5):
    """The result of a call, a plain value."""

    request_id: _Id
    value: VALUE


class PlainTuple(Record, tag=6):
    """The result of a call, a tuple of plain values."""

    request_id: _Id
    value: ARGUMENTS


class Call(Record):
    """Call a method of an object that the receiver exported; args and kw are expressions."""

    request_id: int
    object_id: Any
    name: str
    wants_answer: bool
    args: Any
    kw: Any
    deadline: int | None = None


class CallToCache(Call):
    """Call a method of a cache that the receiver holds; args and kw are expressions."""


class Answer(Record):
    """The result of a call, an expression."""

    request_id: int
    value: Any


class Failed(Record):
    """The exception of a call, an expression."""

    request_id: int
    failure: Any


class Decref(Record, tag=8):
    """The sender dropped receptions of an object of the receiver's; one at a time on PB's wire."""

    object_id: _Id
    times: _Count = 1


class Decache(Record, tag=9):
    """The sender dropped receptions of a cache of the receiver's; see Decref."""

    cache_id: _Id
    times: _Count = 1


class Uncache(Record, tag=10):
    """The sender will not speak of this cache again."""

    cache_id: _Id


class Cancel(Record, tag=11):
    """The sender waits no longer for the answer to a call of its own."""

    request_id: _Id


class Ping(Record, tag=12):
    """The sender wants to know whether the receiver is there."""

    token: _Id


class Pong(Record, tag=13):
    """The answer to a ping."""

    token: _Id


class Goodbye(Record, tag=14):
    """The sender is about to close, and says why."""

    code: _Text
    text: _Text


class UnknownCommand(Record):
    """A message of a command that is not in the table; answered with didNotUnderstand."""

    command: bytes


class Raw(Record):
    """An expression that the room above parses itself."""

    expression: Any


Message: TypeAlias = (
    Version
    | DidNotUnderstand
    | PlainCall
    | PlainCallToCache
    | PlainAnswer
    | PlainTuple
    | Call
    | Answer
    | Failed
    | Decref
    | Decache
    | Uncache
    | Cancel
    | Ping
    | Pong
    | Goodbye
    | UnknownCommand
)


class _Misfit(Exception):
    """A field that does not fit."""


def _id(value: Any) -> Any:
    if not is_number(value):
        raise _Misfit
    return value


def _object_id(value: Any) -> Any:
    if type(value) is bytes and len(value) <= LONGEST_NAME:
        return value
    return _id(value)


def _name(value: Any) -> str:
    if type(value) is not bytes or len(value) > LONGEST_NAME:
        raise _Misfit
    # A name that is not ASCII is no method of anything; the lookup says so with its escaped form.
    return value.decode("ascii", "backslashreplace")


def _flag(value: Any) -> bool:
    if type(value) is not int:
        # PB sends whatever pbanswer was, so that None arrives as a list: not an answer is wanted.
        return value not in (0, [b"None"], [b"boolean", b"false"])
    return value != 0


def _word(value: Any) -> bytes:
    if type(value) is not bytes or len(value) > LONGEST_NAME:
        raise _Misfit
    return value


def _any(value: Any) -> Any:
    return value


def _signed(value: Any) -> int:
    if type(value) is not int or abs(value) > LARGEST:
        raise _Misfit
    return value


class _Shape(NamedTuple):
    """How one command is read: its record, what checks each field, and how errors name it."""

    make: Callable[..., Message]
    fields: tuple[Callable[[Any], Any], ...]
    text: str


_CALL = (_id, _object_id, _name, _flag, _any, _any)
_CALL_TO_CACHE = (_id, _id, _name, _flag, _any, _any)

_SHAPES: dict[bytes, _Shape] = {
    b"version": _Shape(Version, (_signed,), "version(number)"),
    b"didNotUnderstand": _Shape(DidNotUnderstand, (_word,), "didNotUnderstand(command)"),
    b"message": _Shape(Call, _CALL, "message(id, object, name, answer, args, kwargs)"),
    b"cachemessage": _Shape(
        CallToCache, _CALL_TO_CACHE, "cachemessage(id, cache, name, answer, args, kwargs)"
    ),
    b"answer": _Shape(Answer, (_id, _any), "answer(id, value)"),
    b"error": _Shape(Failed, (_id, _any), "error(id, failure)"),
    b"decref": _Shape(Decref, (_object_id,), "decref(object)"),
    b"decache": _Shape(Decache, (_id,), "decache(cache)"),
    b"uncache": _Shape(Uncache, (_id,), "uncache(cache)"),
}


def parse(expression: Expression) -> Message:
    """Return the message that an expression is.

    Raises:
        ProtocolError: it is none, or its fields do not fit the command.
    """
    if type(expression) is not list or not expression or type(expression[0]) is not bytes:
        raise ProtocolError("malformed message: expected a list that starts with a command")
    shape = _SHAPES.get(expression[0])
    if shape is None:
        if len(expression[0]) > LONGEST_NAME:
            raise ProtocolError("malformed message: a command of more than 128 bytes")
        return UnknownCommand(expression[0])
    if len(expression) != len(shape.fields) + 1:
        raise ProtocolError(f"malformed message: expected {shape.text}")
    try:
        return shape.make(
            *[check(value) for check, value in zip(shape.fields, expression[1:], strict=True)]
        )
    except _Misfit:
        raise ProtocolError(f"malformed message: expected {shape.text}") from None


def describe_command(command: bytes) -> str:
    """Return a peer's command as text that is fit for a log."""
    return text_of(command)
