"""The messages of the protocol: one record each, a table by command, and the bytes/str boundary.

Ids in a message are named from its *sender's* view: ``object_id`` of a Call is an object of the
receiver, of a Decref too. Command and arity are checked before anything is looked up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, NewType, TypeAlias

from jelly.atoms import Expression, text_of
from jelly.errors import ProtocolError

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
    "Pong",
    "RequestId",
    "Uncache",
    "UnknownCommand",
    "Version",
    "parse",
]

# An int for what was handed over, bytes for what was named (the root is ``b"root"``).
ObjectId: TypeAlias = int | bytes
RequestId = NewType("RequestId", int)

PROTOCOL_VERSION = 6
LONGEST_NAME = 128
"""Bytes of the name of a method, an object or a command."""


class Version(NamedTuple):
    """The first message each way."""

    number: int


class DidNotUnderstand(NamedTuple):
    """The peer has no such command."""

    command: bytes


class Call(NamedTuple):
    """Call a method of an object that the receiver exported.

    ``deadline`` is how long the caller waits, in milliseconds, or None; PB's wire has none.
    """

    request_id: RequestId
    object_id: ObjectId
    name: str
    wants_answer: bool
    args: Any
    kw: Any
    deadline: int | None = None


class CallToCache(NamedTuple):
    """Call a method of a cache that the receiver holds."""

    request_id: RequestId
    object_id: int
    name: str
    wants_answer: bool
    args: Any
    kw: Any
    deadline: int | None = None


class Answer(NamedTuple):
    """The result of a call."""

    request_id: RequestId
    value: Any


class Failed(NamedTuple):
    """The exception of a call."""

    request_id: RequestId
    failure: Expression


class Decref(NamedTuple):
    """The sender dropped receptions of an object of the receiver's; one at a time on PB's wire."""

    object_id: ObjectId
    times: int = 1


class Decache(NamedTuple):
    """The sender dropped receptions of a cache of the receiver's; see Decref."""

    cache_id: int
    times: int = 1


class Uncache(NamedTuple):
    """The sender will not speak of this cache again."""

    cache_id: int


class Cancel(NamedTuple):
    """The sender waits no longer for the answer to a call of its own."""

    request_id: RequestId


class Ping(NamedTuple):
    """The sender wants to know whether the receiver is there."""

    token: int


class Pong(NamedTuple):
    """The answer to a ping."""

    token: int


class Goodbye(NamedTuple):
    """The sender is about to close, and says why."""

    code: str
    text: str


class UnknownCommand(NamedTuple):
    """A message of a command that is not in the table; answered with didNotUnderstand."""

    command: bytes


Message: TypeAlias = (
    Version
    | DidNotUnderstand
    | Call
    | CallToCache
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

_LARGEST_ID = (1 << 63) - 1


class _Misfit(Exception):
    """A field that does not fit."""


def _id(value: Any) -> Any:
    if type(value) is not int or not 0 <= value <= _LARGEST_ID:
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
    if type(value) is not int or abs(value) > _LARGEST_ID:
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
