"""The messages of the protocol: one record each, a table by command, and the bytes/str boundary.

The ``object_id`` of a Call or a Decref is an object of the receiver. The command and the number of
fields are checked before any lookup.

``msgpack/1`` decodes frames against the tags and field types of the records: a record whose tag is
a number is the frame of that command, with these fields in this order. In PB's dialects
:func:`parse` makes the records, with the same checks.
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

# An int for an object that was sent, or the name of an object: the root is ``b"root"``. In
# msgpack/1, the name is text.
ObjectId: TypeAlias = int | bytes
RequestId: TypeAlias = int

PROTOCOL_VERSION = 6
LONGEST_NAME = 128
"""Most bytes in the name of a method, an object or a command."""

_Id = Annotated[int, Meta(ge=0, le=LARGEST)]
_Count = Annotated[int, Meta(ge=1, le=(1 << 31) - 1)]
_Name = Annotated[str, Meta(max_length=LONGEST_NAME)]
_Text = Annotated[str, Meta(max_length=1024)]


class Record(Struct, array_like=True, gc=False, forbid_unknown_fields=True):
    """A message."""


class Version(Record, tag=0):
    """The first message in each direction."""

    number: Annotated[int, Meta(ge=-LARGEST, le=LARGEST)]


class DidNotUnderstand(Record):
    """The sender does not know a command that it was sent."""

    command: bytes


class PlainCall(Record, tag=1):
    """Call a method of an object that the receiver exported, with plain values.

    ``deadline`` is the time that the caller waits, in milliseconds, or None. PB's dialects have
    none.
    """

    request_id: _Id
    object_id: _Id | _Name
    name: _Name
    args: ARGUMENTS
    kw: KEYWORDS
    deadline: _Id | None = None


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


class UnknownCommand(Record):
    """A message whose command is not in the table; answered with didNotUnderstand."""

    command: bytes


class Raw(Record):
    """An expression that the host parses itself."""

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
    """A field has the wrong type or value."""


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
    # No method has a name that is not ASCII; the error of the lookup shows it with escapes.
    return value.decode("ascii", "backslashreplace")


def _flag(value: Any) -> bool:
    if type(value) is not int:
        # PB sends the value of pbanswer unchanged. None arrives as a list; it means no answer.
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
    """How one command is decoded: its record, the check of each field, and its form in errors."""

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
    """Return the message of an expression.

    Raises:
        ProtocolError: the expression is not a message, or its fields do not fit the command.
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
    """Return a peer's command as text for a log."""
    return text_of(command)
