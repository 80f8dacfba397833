"""The conversation of a pair, as text: one line for each message, in the order of sending.

The bytes of the network are kept as they are sent, and decoded when the text is asked for. So the
ends run as they do without it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec.structs import astuple

from broker.core.policy import Policy
from broker.core.wire.dialects import DIALECTS, MessageReader
from broker.core.wire.messages import (
    End,
    GraphAnswer,
    GraphCall,
    GraphCallToCache,
    GraphError,
    Ping,
    PlainAnswer,
    PlainCall,
    PlainCallToCache,
    PlainSend,
    PlainSendToCache,
    PlainTuple,
    Pong,
    Received,
    Record,
    Version,
)
from broker.testing.network import Wire
from jelly.atoms import Expression
from jelly.codec import Reader
from jelly.errors import ProtocolError
from jelly.limits import Limits
from jelly.printable import printable
from jelly.vocabulary import NONE_VOCABULARY

if TYPE_CHECKING:
    from broker.testing.connected_pair import Pair

__all__ = ["Line", "Recorder", "record"]

_ENDS = ("client", "server")
# Bytes of a conversation that are kept. A text of more than that is not read.
_MOST_KEPT = 1024 * 1024
_LONGEST_LINE = 300
_CALLS = (PlainCall, PlainCallToCache, GraphCall)
_TO_CACHES = (PlainCallToCache, GraphCallToCache)
_SENDS = (PlainSend, PlainSendToCache)


class Line(NamedTuple):
    """One message of a conversation.

    Attributes:
        last: the number of its last byte, counted from 0 over both directions.
        end: the sender, ``"client"`` or ``"server"``.
        text: the message in words.
        is_shown: whether `record` shows it: not the handshake, pings and pongs.
    """

    last: int
    end: str
    text: str
    is_shown: bool = True

    def __str__(self) -> str:
        return f"{self.end}: {self.text}"


class Recorder:
    """Keeps the bytes of one connection.

    Attributes:
        is_whole: whether all bytes were kept, the first MiB.
    """

    def __init__(self) -> None:
        self.is_whole = True
        self._limits = Limits()
        self._sent: list[tuple[int, bytes]] = []
        self._size = 0

    def listen(self, wire: Wire, policy: Policy) -> None:
        """Keep the bytes of a connection from now on."""
        self._limits = policy.limits
        for side, flow in enumerate(wire.flows):
            flow.tap = partial(self._keep, side)

    def __str__(self) -> str:
        return "\n".join(str(line) for line in self.lines() if line.is_shown)

    def lines(self, *, is_exact: bool = False) -> list[Line]:
        """Return the messages that were sent whole.

        Args:
            is_exact: find the last byte of each message; else it may be that of a later one. Takes
                longer.
        """
        decoder = _Decoder(self._limits)
        number = 0
        for side, data in self._sent:
            size = 1 if is_exact else len(data)
            for start in range(0, len(data), size):
                piece = data[start : start + size]
                number += len(piece)
                decoder.feed(side, piece, number - 1)
        lines = decoder.lines
        if not self.is_whole:
            lines.append(Line(number, "network", "more bytes, which were not recorded"))
        return lines

    def side_of(self, number: int) -> str:
        """Return the sender of a byte, counted from 0 over both directions."""
        for side, data in self._sent:
            if number < len(data):
                return _ENDS[side]
            number -= len(data)
        return ""

    def _keep(self, side: int, data: bytes) -> None:
        room = _MOST_KEPT - self._size
        if len(data) > room:
            self.is_whole = False
        if data and room > 0:
            self._sent.append((side, data[:room]))
            self._size += len(data)


class _Decoder:
    """Decodes both directions of one conversation."""

    def __init__(self, limits: Limits) -> None:
        self.lines: list[Line] = []
        self._limits = limits
        self._greetings: list[Reader | None] = [Reader(limits, NONE_VOCABULARY) for _ in _ENDS]
        self._readers: list[MessageReader] = []

    def feed(self, side: int, data: bytes, last: int) -> None:
        greeting = self._greetings[side]
        if greeting is not None:
            greeting.feed(data)
            for expression in greeting.read(1):
                self._greeted(side, expression, last)
                data = greeting.take_rest()
                self._greetings[side] = None
            if self._greetings[side] is not None:
                return
        if self._readers and data:
            found: list[Received] = []
            try:
                self._readers[side].receive(data, found, -1)
            except ProtocolError:
                # Such as one that is too large for the policy; it has ended the connection.
                self.lines.append(Line(last, _ENDS[side], "a message that is not allowed"))
                self._readers = []
            self.lines += [
                Line(last, _ENDS[side], text_of(message), type(message) not in _HIDDEN)
                for message in found
            ]

    def _greeted(self, side: int, expression: Expression, last: int) -> None:
        if side:
            self.lines.append(Line(last, _ENDS[side], "offer of dialects", False))
            return
        dialect = next(each for each in DIALECTS if each.name == expression)
        self.lines.append(Line(last, _ENDS[side], f"dialect {dialect.name.decode()}", False))
        self._readers = [dialect.reader(self._limits) for _ in _ENDS]


_HIDDEN = (Version, Ping, Pong)


def record(pair: Pair) -> str:
    """Return the conversation of a pair so far, a line for each message.

    ::

        client: call 1 root.echo('a')
        server: answer 1 'a'

    A number behind ``call``, ``answer`` and ``error`` is that of the call, and ``#2`` is the object
    with that number. The handshake, pings and pongs are left out, and so are the arguments of login
    methods. Of the bytes of a conversation the first MiB is kept.
    """
    return str(pair.recorder)


def text_of(message: Record) -> str:
    """Return a message in words, in at most 300 characters."""
    text = "".join(_words(message))
    return printable(text, _LONGEST_LINE, is_ascii=False)


def _words(message: Record) -> Iterator[str]:
    if isinstance(message, _CALLS):
        is_send = isinstance(message, _SENDS) or not getattr(message, "wants_answer", True)
        target = _target(message.object_id, isinstance(message, _TO_CACHES))
        yield f"{'send' if is_send else 'call'} {message.request_id} {target}.{message.name}"
        yield f"({_arguments(message)})"
    elif isinstance(message, PlainAnswer | PlainTuple):
        yield f"answer {message.request_id} {message.value!r}"
    elif isinstance(message, GraphAnswer):
        yield f"answer {message.request_id} {_graph(message.value)}"
    elif isinstance(message, GraphError):
        yield f"error {message.request_id} {_error(message.failure)}"
    elif isinstance(message, End):
        yield f"end {message.stream}"
        yield "" if message.failure is None else " with an error"
    else:
        fields = ", ".join(_field(value) for value in astuple(message) if value is not None)
        yield f"{type(message).__name__.lower()} {fields}"


def _field(value: object) -> str:
    if isinstance(value, int | str):
        return str(value)
    if isinstance(value, tuple | dict):
        return repr(value)
    return f"<{memoryview(value).nbytes} bytes>"  # type: ignore[arg-type]


def _target(object_id: object, is_cache: bool) -> str:
    if isinstance(object_id, bytes):
        return object_id.decode("utf-8", "replace")
    if isinstance(object_id, str):
        return object_id
    if isinstance(object_id, tuple):
        return f"promise {', '.join(map(str, object_id))}"
    return f"cache {object_id}" if is_cache else f"#{object_id}"


def _arguments(call: PlainCall | PlainCallToCache | GraphCall) -> str:
    if call.name.startswith("login"):
        # Secrets, and random numbers.
        return "…"
    if isinstance(call, GraphCall):
        args: list[Any] = call.args[1:] if isinstance(call.args, list) else [call.args]
        kw: list[Any] = call.kw[1:] if isinstance(call.kw, list) else [call.kw]
        named = [f"{_name(key)}={_graph(value)}" for key, value in kw]
        return ", ".join([*map(_graph, args), *named])
    named = [f"{key}={value!r}" for key, value in call.kw.items()]
    return ", ".join([*map(repr, call.args), *named])


def _error(failure: Expression) -> str:
    """Return the type and the text of an error."""
    state = failure[1] if isinstance(failure, list) and len(failure) == 2 else None
    fields: dict[str, str] = {}
    if isinstance(state, list):
        for item in state[1:]:
            if isinstance(item, list) and len(item) == 2:
                fields[_name(item[0])] = _name(item[1])
    if "type" not in fields:
        return _graph(failure)
    # The ids of internal errors are random.
    text = re.sub(r"\(id [0-9a-f]+\)", "(id …)", fields.get("value", ""))
    return f"{fields['type']}: {text}"


def _name(expression: Any) -> str:
    """Return text in an expression."""
    if isinstance(expression, list) and len(expression) == 2:
        expression = expression[1]
    if isinstance(expression, bytes):
        return expression.decode("utf-8", "replace")
    return str(expression)


def _graph(expression: Any) -> str:
    """Return an expression in words."""
    if not isinstance(expression, list) or not expression:
        return repr(expression)
    tag, *parts = expression
    word = _name(tag)
    form = _FORMS.get(word)
    if form is not None:
        return form(parts)
    return f"{word}({', '.join(map(_graph, parts))})"


def _pairs(parts: list[Any]) -> str:
    items = [
        f"{_graph(part[0])}: {_graph(part[1])}" if isinstance(part, list) else repr(part)
        for part in parts
    ]
    return "{" + ", ".join(items) + "}"


_FORMS: dict[str, Callable[[list[Any]], str]] = {
    "remote": lambda parts: f"#{_name(parts[0])}",
    "local": lambda parts: f"the receiver's #{_name(parts[0])}",
    "stream": lambda parts: f"stream {parts[0]}",
    "unicode": lambda parts: repr(_name(parts[0])),
    "None": lambda parts: "None",
    "tuple": lambda parts: f"({', '.join(map(_graph, parts))})",
    "list": lambda parts: f"[{', '.join(map(_graph, parts))}]",
    "dictionary": _pairs,
}
