"""msgpack/1: the dialect between two of ours, encoded and decoded in C.

Theory of operation. A frame is its length in four bytes, most significant first, and one msgpack
array whose first element is the number of the command; ``docs/reference/wire/msgpack.md`` lists
them. Values cross in one of two forms:

- *plain*: a tree of None, bool, int, float, str, list and dict with str keys, at most PLAIN_DEPTH
  deep, in which no container is met twice. It is encoded as it stands. That a value is such a tree
  is found by looking at the types of one level after the other, in C.
- *graph*: everything else, as the expression that a jellier makes: lists, bytes, ints and floats.

What comes in is decoded against types, so that arity, field types, keys and depth are checked in C
while decoding: no attacker's tuple becomes a key, and nothing recurses deeper than the types. A
frame of more bytes than ``max_nodes`` is walked first, one head after the other, to count its
nodes: what it would cost in memory is known before it is spent.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from gc import get_referents
from itertools import chain
from typing import Annotated, Any, NamedTuple, Union

import msgspec

from broker.core import messages
from broker.core.messages import Message
from jelly.atoms import Expression
from jelly.errors import CannotJelly, LimitExceeded, ProtocolError, TooLarge
from jelly.jellier import Jellier
from jelly.limits import Limits

__all__ = ["FrameReader", "FrameWriter", "Plain", "plain", "plain_value"]

PLAIN_DEPTH = 6
# Two more than max_depth allows a sender: the list of a leaf inside the last, and the message.
GRAPH_DEPTH = 102


class Plain(NamedTuple):
    """A value that is encoded as it stands."""

    value: Any


# Is it plain?

_LEAVES = frozenset({str, int, float, bool, type(None)})
_CONTAINERS = frozenset({list, dict})
_TEXT = frozenset({str})


def plain(value: Any) -> Plain | None:
    """Return a value as Plain if it is a plain tree, or a tuple of such; else None."""
    kind = type(value)
    if kind in _LEAVES:
        return Plain(value)
    values = value if kind is tuple else (value,)
    if _LEAVES.issuperset(map(type, values)) or _are_trees(values):
        return Plain(value)
    return None


def plain_value(payload: Any) -> Any:
    """Return the value of a Plain, or the payload itself if it is none."""
    return payload.value if type(payload) is Plain else payload


def _are_trees(values: Iterable[Any]) -> bool:
    level = [value for value in values if type(value) not in _LEAVES]
    seen: set[int] = set()
    for _ in range(PLAIN_DEPTH):
        if not _CONTAINERS.issuperset(map(type, level)):
            return False
        ids = set(map(id, level))
        if len(ids) != len(level) or not seen.isdisjoint(ids):
            return False
        seen |= ids
        keys = chain.from_iterable(item for item in level if type(item) is dict)
        if not _TEXT.issuperset(map(type, keys)):
            return False
        # All that one level holds, at once and in C: half the time of a loop over the containers.
        held = get_referents(*level)
        if _LEAVES.issuperset(map(type, held)):
            return True
        level = [item for item in held if type(item) not in _LEAVES]
    return False


# Frames that come in.

_Id = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
_Count = Annotated[int, msgspec.Meta(ge=1, le=(1 << 31) - 1)]
_Name = Annotated[str, msgspec.Meta(max_length=messages.LONGEST_NAME)]
_Text = Annotated[str, msgspec.Meta(max_length=1024)]


def _plain_type(depth: int) -> Any:
    leaf: Any = bool | int | float | str | None
    found = leaf
    for _ in range(depth):
        found = leaf | _list_of(found) | _dict_of(found)
    return found


def _graph_type(depth: int) -> Any:
    leaf: Any = int | float | bytes
    found = leaf
    for _ in range(depth):
        found = leaf | _list_of(found)
    return found


def _list_of(item: Any) -> Any:
    return list.__class_getitem__(item)


def _dict_of(item: Any) -> Any:
    return dict.__class_getitem__((str, item))


class _Shape(NamedTuple):
    """One command: its number, its fields, and the message that they make."""

    number: int
    fields: tuple[tuple[Any, ...], ...]
    make: Callable[[Any], Message]


def _object_id(value: int | str) -> messages.ObjectId:
    return value.encode("utf-8") if type(value) is str else value  # type: ignore[return-value]


def _call(cls: Any, wants_answer: bool) -> Callable[[Any], Message]:
    def make(frame: Any) -> Message:
        return cls(  # type: ignore[no-any-return]
            frame.id, _object_id(frame.target), frame.name, wants_answer,
            Plain(tuple(frame.args)), Plain(frame.kw), frame.deadline,
        )  # fmt: skip

    return make


def _graph(frame: Any) -> Message:
    make = _GRAPHS.get(frame.what)
    if make is None:
        raise ProtocolError(f"malformed message: no graph of kind {frame.what}")
    return make(frame)


def _graph_call(cls: Any, wants_answer: bool) -> Callable[[Any], Message]:
    def make(frame: Any) -> Message:
        if type(frame.graph) is not list or len(frame.graph) != 2:
            raise ProtocolError("malformed message: a call of arguments and keywords")
        args, kw = frame.graph
        return cls(  # type: ignore[no-any-return]
            frame.id, _object_id(frame.target), frame.name, wants_answer, args, kw, frame.deadline
        )

    return make


_GRAPHS: dict[int, Callable[[Any], Message]] = {
    1: _graph_call(messages.Call, True),
    2: _graph_call(messages.Call, False),
    3: _graph_call(messages.CallToCache, True),
    4: _graph_call(messages.CallToCache, False),
    5: lambda frame: messages.Answer(frame.id, frame.graph),
    7: lambda frame: messages.Failed(frame.id, frame.graph),
}


@functools.cache
def _decoder() -> tuple[Any, dict[type, Callable[[Any], Message]]]:
    """Return the decoder of frames, and what makes messages of them; made when first needed."""
    value = _plain_type(PLAIN_DEPTH)
    target = ("target", _Id | _Text)
    plain_call = (("id", _Id), target, ("name", _Name), ("args", _list_of(value)),
                  ("kw", _dict_of(value)), ("deadline", _Id | None, None))  # fmt: skip
    shapes = (
        _Shape(0, (("number", int),), lambda f: messages.Version(f.number)),
        _Shape(1, plain_call, _call(messages.Call, True)),
        _Shape(2, plain_call, _call(messages.Call, False)),
        _Shape(3, plain_call, _call(messages.CallToCache, True)),
        _Shape(4, plain_call, _call(messages.CallToCache, False)),
        _Shape(5, (("id", _Id), ("value", value)),
               lambda f: messages.Answer(f.id, Plain(f.value))),
        _Shape(6, (("id", _Id), ("value", _list_of(value))),
               lambda f: messages.Answer(f.id, Plain(tuple(f.value)))),
        _Shape(7, (("what", int), ("id", _Id), ("target", _Id | _Text), ("name", _Name),
                   ("graph", _graph_type(GRAPH_DEPTH)), ("deadline", _Id | None, None)),
               _graph),
        _Shape(8, (("target", _Id), ("count", _Count)),
               lambda f: messages.Decref(f.target, f.count)),
        _Shape(9, (("target", _Id), ("count", _Count)),
               lambda f: messages.Decache(f.target, f.count)),
        _Shape(10, (("target", _Id),), lambda f: messages.Uncache(f.target)),
        _Shape(11, (("id", _Id),), lambda f: messages.Cancel(f.id)),
        _Shape(12, (("token", _Id),), lambda f: messages.Ping(f.token)),
        _Shape(13, (("token", _Id),), lambda f: messages.Pong(f.token)),
        _Shape(14, (("code", _Text), ("text", _Text)),
               lambda f: messages.Goodbye(f.code, f.text)),
    )  # fmt: skip
    makers: dict[type, Callable[[Any], Message]] = {}
    for shape in shapes:
        struct = msgspec.defstruct(
            f"Frame{shape.number}",
            shape.fields,
            tag=shape.number,
            array_like=True,
            gc=False,
            forbid_unknown_fields=True,
        )
        makers[struct] = shape.make
    return msgspec.msgpack.Decoder(Union[tuple(makers)]), makers  # noqa: UP007


class FrameReader:
    """Reads messages from bytes that arrive in pieces of any size; see ``jelly.codec.Reader``."""

    def __init__(self, limits: Limits):
        self._limits = limits
        self._parts: list[bytes] = []
        self._have = 0
        self._wanted = 4
        self._buffer = b""
        self._pos = 0
        self._is_dead = False
        decoder, self._makers = _decoder()
        self._decode = decoder.decode

    def feed(self, data: bytes) -> None:
        """Take in bytes; raises nothing, :meth:`read` does."""
        self._parts.append(data)
        self._have += len(data)
        if self._have >= self._wanted:
            rest = self._buffer[self._pos :]
            self._buffer = b"".join([rest, *self._parts]) if rest or len(self._parts) > 1 else data
            self._parts.clear()
            self._pos = 0

    def read(self, most: int = -1) -> list[Message]:
        """Return the messages that are complete, at most ``most`` unless it is negative.

        Raises:
            ProtocolError: a frame is too large, or no message; the reader is dead then.
        """
        if self._is_dead:
            raise RuntimeError("decoder already failed")
        done: list[Message] = []
        if self._parts:
            return done
        try:
            self._read(most, done)
        except ProtocolError:
            if done:
                return done
            self._is_dead = True
            raise
        return done

    def _read(self, most: int, done: list[Message]) -> None:
        buffer, makers = self._buffer, self._makers
        view = memoryview(buffer)
        end = len(buffer)
        while most and end - self._pos >= 4:
            start = self._pos + 4
            length = int.from_bytes(buffer[self._pos : start], "big")
            if length > self._limits.max_expression:
                raise LimitExceeded(
                    f"expression larger than {self._limits.max_expression} bytes (max_expression)"
                )
            stop = start + length
            if stop > end:
                self._wanted = stop - self._pos
                self._have = end - self._pos
                return
            if length > self._limits.max_nodes:
                _check_nodes(view[start:stop], self._limits.max_nodes)
            try:
                frame = self._decode(view[start:stop])
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise ProtocolError(f"malformed message: {str(error)[:200]}") from None
            done.append(makers[type(frame)](frame))
            self._pos = stop
            most -= 1
        self._wanted = 4
        self._have = end - self._pos

    def take_rest(self) -> bytes:
        """Return, and forget, the bytes that were not read."""
        rest = b"".join([self._buffer[self._pos :], *self._parts])
        self._parts.clear()
        self._buffer, self._pos, self._have, self._wanted = b"", 0, 0, 4
        return rest

    @property
    def is_between_expressions(self) -> bool:
        """Whether no frame has been started."""
        return not self._have


# Frames that go out.


class FrameWriter:
    """Writes messages as frames.

    A message is a list of a command, as ``core.messages`` names them, and its fields; values are
    Plain, or the expression of a graph.
    """

    def __init__(self, limits: Limits):
        self._limits = limits
        self._encode = msgspec.msgpack.Encoder().encode

    def encode(self, message: Any) -> bytes:
        """Return the frame of a message.

        Raises:
            TooLarge: it is beyond the limits.
            CannotJelly: a str has no UTF-8 form.
        """
        frame = _FRAMES[message[0]](message)
        try:
            body = self._encode(frame)
        except OverflowError:
            graph = [graph_of(part.value) if type(part) is Plain else part for part in message]
            frame = _FRAMES[message[0]](graph)
            body = self._encode([_narrow(field) for field in frame])
        except UnicodeEncodeError:
            raise CannotJelly("str with a lone surrogate has no UTF-8 form") from None
        size = len(body)
        limits = self._limits
        if size > limits.max_nodes:
            if size > limits.max_expression:
                raise TooLarge(
                    f"expression of {size} bytes (max_expression {limits.max_expression});"
                    f" send it in pieces"
                )
            try:
                _check_nodes(memoryview(body), limits.max_nodes)
            except LimitExceeded as error:
                raise TooLarge(str(error)) from None
        return size.to_bytes(4, "big") + body


def _target(object_id: messages.ObjectId) -> int | str:
    return object_id.decode("utf-8") if type(object_id) is bytes else object_id  # type: ignore[return-value]


def _frame_of_call(number: int) -> Callable[[Any], Any]:
    def make(message: Any) -> Any:
        _, request_id, object_id, name, wants_answer, args, kw, *deadline = message
        kind = number if wants_answer else number + 1
        target, name = _target(object_id), name.decode("utf-8")
        if type(args) is Plain and type(kw) is Plain:
            return (kind, request_id, target, name, args.value, kw.value, *deadline)
        graph = (_expression(args), _expression(kw))
        return (7, kind, request_id, target, name, graph, *deadline)

    return make


def _expression(payload: Any) -> Any:
    """Return a payload as an expression, also a plain one that stands beside a graph."""
    return graph_of(payload.value) if type(payload) is Plain else payload


def graph_of(value: Any) -> Expression:
    """Return the expression of a plain value."""
    return Jellier().jelly(value)


def _frame_of_answer(message: Any) -> Any:
    _, request_id, value = message
    if type(value) is Plain:
        number = 6 if type(value.value) is tuple else 5
        return (number, request_id, value.value)
    return (7, 5, request_id, 0, "", value)


def _narrow(field: Any) -> Any:
    """Return a field with its ints of more than 64 bits as ``[int digits]``."""
    if type(field) not in (list, tuple):
        return _narrow_int(field)
    made: list[Any] = []
    pending = [(made, iter(field))]
    while pending:
        out, items = pending[-1]
        for item in items:
            if type(item) in (list, tuple):
                inner: list[Any] = []
                out.append(inner)
                pending.append((inner, iter(item)))
                break
            out.append(_narrow_int(item))
        else:
            pending.pop()
    return made


def _narrow_int(item: Any) -> Any:
    if type(item) is int and not -(1 << 63) <= item < 1 << 64:
        if item.bit_length() > 448:
            raise TooLarge(f"int of {item.bit_length()} bits (448 bits)")
        return [b"int", str(item).encode("ascii")]
    return item


_FRAMES: dict[bytes, Callable[[Any], Any]] = {
    b"version": lambda m: (0, m[1]),
    b"message": _frame_of_call(1),
    b"cachemessage": _frame_of_call(3),
    b"answer": _frame_of_answer,
    b"error": lambda m: (7, 7, m[1], 0, "", _expression(m[2])),
    b"decref": lambda m: (8, *m[1:]),
    b"decache": lambda m: (9, *m[1:]),
    b"uncache": lambda m: (10, m[1]),
    b"cancel": lambda m: (11, m[1]),
    b"ping": lambda m: (12, m[1]),
    b"pong": lambda m: (13, m[1]),
    b"goodbye": lambda m: (14, m[1], m[2]),
}


# What a frame would cost.

_SIZES = bytearray(256)  # bytes of an element's head and fixed body, by its first byte
_FOLLOW = bytearray(256)  # how many bytes of the head tell a length; 0 where none does
for _byte, _size, _length in (
    (0xC4, 2, 1), (0xC5, 3, 2), (0xC6, 5, 4), (0xD9, 2, 1), (0xDA, 3, 2), (0xDB, 5, 4),
    (0xC7, 3, 1), (0xC8, 4, 2), (0xC9, 6, 4),
    (0xCA, 5, 0), (0xCB, 9, 0), (0xCC, 2, 0), (0xCD, 3, 0), (0xCE, 5, 0), (0xCF, 9, 0),
    (0xD0, 2, 0), (0xD1, 3, 0), (0xD2, 5, 0), (0xD3, 9, 0),
    (0xD4, 3, 0), (0xD5, 4, 0), (0xD6, 6, 0), (0xD7, 10, 0), (0xD8, 18, 0),
    (0xDC, 3, 0), (0xDD, 5, 0), (0xDE, 3, 0), (0xDF, 5, 0),
):  # fmt: skip
    _SIZES[_byte] = _size
    _FOLLOW[_byte] = _length
for _byte in (*range(0x80), *range(0x80, 0xA0), 0xC0, 0xC1, 0xC2, 0xC3, *range(0xE0, 0x100)):
    _SIZES[_byte] = 1
for _byte in range(0xA0, 0xC0):
    _SIZES[_byte] = 1 + (_byte & 0x1F)


def _check_nodes(body: memoryview, most: int) -> None:
    """Refuse a body of more elements than ``most``, having looked at no more than so many heads."""
    pos, end, nodes = 0, len(body), 0
    sizes, follow = _SIZES, _FOLLOW
    while pos < end:
        nodes += 1
        if nodes > most:
            raise LimitExceeded(f"expression of more than {most} nodes (max_nodes)")
        head = body[pos]
        length = follow[head]
        step = sizes[head]
        if length:
            step += int.from_bytes(body[pos + 1 : pos + 1 + length], "big")
        pos += step
