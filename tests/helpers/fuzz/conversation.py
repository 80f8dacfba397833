"""What a peer says on a connection: messages that are mostly legal, in the form of each dialect."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from fuzz.dice import Dice
from fuzz.expressions import Jellied, atom, encoded, raw

__all__ = ["Conversation", "as_banana", "as_frame", "frame_fields", "framed"]

_METHODS = (
    b"echo", b"give", b"copy", b"cache", b"later", b"soon", b"keep", b"drop", b"fail", b"call",
    b"refuse", b"change", b"view", b"loginAnonymous", b"loginPassword", b"login", b"respond",
    b"mechanisms", b"rows", b"read", b"changed", b"x", b"", b"__class__", b"\xff", b"echo\0",
)  # fmt: skip
_IDS = (2**63 - 1, 2**63, -1, 2**31, 7, 100)
_FRAME_NUMBERS = {
    b"version": 0, b"decref": 8, b"decache": 9, b"uncache": 10, b"cancel": 11, b"ping": 12,
    b"pong": 13, b"goodbye": 14, b"credit": 16, b"items": 17, b"itemgraph": 18, b"piece": 19,
    b"end": 20, b"stop": 21,
}  # fmt: skip


def _failure(jellied: Jellied) -> Any:
    state = [b"dictionary", [[b"unicode", b"type"], b"broker.errors.Error"]]
    state += [[[b"unicode", b"value"], jellied.make()], [[b"unicode", b"parents"], jellied.make()]]
    return [b"twisted.spread.pb.CopyableFailure", state]


_CONNECTED: tuple[Callable[[Jellied], Any], ...] = (
    lambda j: [b"remote", j.dice.below(8)],
    lambda j: [b"remote", j.dice.pick(_IDS)],
    lambda j: [b"local", j.dice.below(8)],
    lambda j: [b"cached", j.dice.below(6)],
    lambda j: [b"lcache", j.dice.below(8)],
    lambda j: [b"local", b"root"],
    lambda j: [b"stream", j.dice.below(8)],
    _failure,
)


class Conversation:
    """Makes one message after the other, with ids that make sense now and then.

    Args:
        dice: what decides.
        classes: tags of classes that the other side has registered.
        code: whether tags of code are used.
        known: returns the ids that are right, by what they are of: ``exports``,
            ``open_calls``, ``remote_caches`` and ``cacheables`` of the side that is talked to, and
            its ``outgoing`` and ``incoming`` streams. Most messages have one then.
        has_streams: whether the dialect has messages about streams.
    """

    def __init__(
        self,
        dice: Dice,
        classes: Sequence[bytes] = (),
        code: bool = False,
        known: Callable[[str], Sequence[int]] | None = None,
        has_streams: bool = False,
    ):
        self._dice = dice
        self._classes = classes
        self._code = code
        self._known = known
        self._last = 0
        self._messages = _MESSAGES + _STREAM_MESSAGES * has_streams

    def next(self) -> list[Any]:
        """Return a command and its fields; values are expressions."""
        dice = self._dice
        choice = dice.below(len(self._messages))
        if dice.once_in(40):
            return [dice.pick((b"nonsense", b"message", b"answer", b"ping")), *raw_list(dice)]
        message = self._messages[choice](self)
        if dice.once_in(60):
            message[dice.below(len(message))] = raw(dice, 2)
        return message

    def value(self) -> Any:
        """Return the expression of a value."""
        return Jellied(self._dice, self._classes, _CONNECTED, self._code).make()

    def arguments(self) -> Any:
        """Return the expression of arguments."""
        jellied = Jellied(self._dice, self._classes, _CONNECTED, self._code)
        if self._dice.once_in(16):
            return jellied.make()
        return [b"tuple", *(jellied.make() for _ in range(self._dice.below(4)))]

    def keywords(self) -> Any:
        """Return the expression of keywords."""
        return self.value() if self._dice.once_in(16) else [b"dictionary"]

    def _request(self) -> int:
        if self._dice.once_in(12):
            return self._dice.pick(_IDS) if self._dice.once_in(2) else self._last
        self._last += 1
        return self._last

    def log_in(self) -> list[Any]:
        """Return a login, as the first message of a conversation should be."""
        mind: Any = [b"remote", 1] if self._dice.once_in(2) else [b"None"]
        self._last += 1
        name, args = self._dice.pick(
            (
                (b"loginAnonymous", [mind]),
                (b"loginPassword", [b"a", b"a", mind]),
                (b"login", [b"a"]),
                (b"mechanisms", []),
            )
        )
        arguments = [b"tuple", *args]
        return [b"message", self._last, b"root", name, 1, arguments, [b"dictionary"]]

    def _id(self, kind: str = "") -> Any:
        dice = self._dice
        known = self._known(kind) if self._known is not None and kind else ()
        if known and not dice.once_in(24):
            return known[dice.below(len(known))]
        return dice.pick(_IDS) if dice.once_in(20) else dice.below(8)

    def _count(self) -> int:
        return self._dice.pick((1, 1, 2, 64, 300, 0, -1, 2**31 - 1, 2**63))

    def _about(self, command: bytes, kind: str, *rest: Callable[[], Any]) -> list[Any]:
        """Return a message about something that there is; a call if there is nothing, mostly."""
        if self._known is not None and not self._known(kind) and not self._dice.once_in(24):
            return self._call()
        return [command, self._id(kind), *(part() for part in rest)]

    def _call(self) -> list[Any]:
        dice = self._dice
        target = b"root" if dice.below(3) else self._id("exports")
        return self._called(b"message", target)

    def _call_to_cache(self) -> list[Any]:
        if (
            self._known is not None
            and not self._known("remote_caches")
            and not self._dice.once_in(24)
        ):
            return self._call()
        return self._called(b"cachemessage", self._id("remote_caches"))

    def _called(self, command: bytes, target: Any) -> list[Any]:
        dice = self._dice
        wants = 0 if dice.once_in(6) else 1
        name = dice.pick(_METHODS)
        return [command, self._request(), target, name, wants, self.arguments(), self.keywords()]


def raw_list(dice: Dice) -> list[Any]:
    """Return a few raw expressions."""
    return [raw(dice, 2) for _ in range(dice.below(4))]


_MESSAGES: tuple[Callable[[Conversation], list[Any]], ...] = (
    Conversation._call,
    Conversation._call,
    Conversation._call,
    Conversation._call,
    Conversation._call,
    Conversation._call,
    Conversation._call_to_cache,
    lambda c: c._about(b"answer", "open_calls", c.value),
    lambda c: c._about(b"answer", "open_calls", c.value),
    lambda c: c._about(b"error", "open_calls", c.value),
    lambda c: c._about(b"decref", "exports"),
    lambda c: c._about(b"decref", "exports"),
    lambda c: c._about(b"decache", "cacheables"),
    lambda c: c._about(b"uncache", "remote_caches"),
    lambda c: [b"version", 6],
    lambda c: [b"didNotUnderstand", c._dice.octets(20)],
    lambda c: [b"cancel", c._id()],
    lambda c: [c._dice.pick((b"ping", b"pong")), c._id()],
    lambda c: [b"goodbye", c._dice.pick((b"closing", b"\xff")), c._dice.octets(9)],
)


_STREAM_MESSAGES: tuple[Callable[[Conversation], list[Any]], ...] = (
    lambda c: c._about(b"credit", "outgoing", c._count, c._count),
    lambda c: c._about(b"stop", "outgoing"),
    lambda c: c._about(b"items", "incoming", lambda: [_plain(c._dice) for _ in range(3)]),
    lambda c: c._about(b"itemgraph", "incoming", lambda: [b"list", c.value(), c.value()]),
    lambda c: c._about(b"piece", "incoming", lambda: c._dice.octets(20)),
    lambda c: c._about(b"end", "incoming", lambda: None),
    lambda c: c._about(b"end", "incoming", c.value),
)


def as_banana(words: dict[bytes, int]) -> Callable[[Dice, list[Any]], bytes]:
    """Return what writes a message in a dialect of banana."""
    return lambda dice, message: encoded(dice, message, words)


def as_frame(dice: Dice, message: list[Any]) -> bytes:
    """Return the frame of a message, of the same form or of plain values."""
    return framed(_fields_of(dice, message))


def frame_fields(dice: Dice) -> Any:
    """Return the fields of a frame, or something that is none."""
    if dice.once_in(12):
        return [dice.below(24), *raw_list(dice)]
    if dice.once_in(8):
        return _later_row(dice)
    return _fields_of(dice, Conversation(dice).next())


TUPLE: list[Any] = [b"tuple"]
DICTIONARY: list[Any] = [b"dictionary"]


def _later_row(dice: Dice) -> list[Any]:
    """Return the fields of a row that PB does not have, or of a call with what PB does not have."""
    stream, count = dice.below(4), dice.pick((0, 1, 64, 2**31 - 1, 2**31, -1))
    meta = {dice.pick(("x-a", "once", "X", "")): dice.pick(("v", 5, "v" * 513))}
    target = dice.pick((["root"], [], [1], [stream, 0], [stream, "key"], [1, 2, 3], [1 << 62]))
    rows: tuple[list[Any], ...] = (
        [0, 6, {dice.pick(("frame", "later")): count}],
        [1, stream, "root", "echo", [], {}, dice.pick((None, 5)), meta],
        [dice.pick((1, 2, 3)), stream, target, "echo", [], {}],
        [
            7,
            dice.pick((1, 2, 3)),
            stream,
            target,
            "echo",
            [[b"tuple", *_promised(dice)], [b"dictionary"]],
            None,
            meta,
        ],
        [15, count, ["pb://a:1"] * dice.below(10)],
        [16, stream, count, dice.below(2)],
        [17, stream, [_plain(dice) for _ in range(dice.below(3))]],
        [18, stream, [b"list", dice.below(5)]],
        [19, stream, dice.octets(9)],
        [20, stream, *([b"x"] if dice.once_in(2) else [])],
        [21, stream],
        [22, stream],
    )
    return dice.pick(rows)


def _promised(dice: Dice) -> list[Any]:
    """Return promises among the arguments of a call."""
    steps: tuple[list[Any], ...] = ([], [0], [b"key"], [1.5], [1, 2], [[b"list"]])
    return [
        [b"promised", dice.pick((1, dice.below(4), 1 << 62, -1)), *dice.pick(steps)]
        for _ in range(dice.below(3))
    ]


def framed(fields: Any) -> bytes:
    """Return a frame; one of what msgpack cannot say is empty."""
    try:
        body = msgspec.msgpack.encode(fields)
    except (OverflowError, UnicodeEncodeError):
        body = b""
    return len(body).to_bytes(4, "big") + body


def _fields_of(dice: Dice, message: list[Any]) -> Any:
    command, *fields = message
    number = _FRAME_NUMBERS.get(command) if type(command) is bytes else None
    if number is not None:
        if number >= 16:
            return [number, *fields]
        if number in (8, 9):
            fields.append(1 if dice.below(4) else dice.below(5))
        return [number, *map(_text, fields)]
    if command in (b"message", b"cachemessage") and len(fields) == 6:
        request, target, name, wants, args, kw = fields
        kind = (1 if command == b"message" else 3) + (not wants)
        deadline: list[Any] = [dice.below(9)] if dice.once_in(6) else []
        if dice.once_in(5):
            key = f"{dice.pick('AB') * 22}.{dice.below(5)}.{dice.below(3)}"
            deadline = [*(deadline or [None]), {"once": key}]
        if dice.once_in(3):
            values = [_plain(dice) for _ in range(dice.below(4))]
            kw = {"x": _plain(dice)} if dice.once_in(4) else {}
            return [kind, request, _text(target), _text(name), values, kw, *deadline]
        return [7, kind, request, _text(target), _text(name), [args, kw], *deadline]
    if command in (b"answer", b"error") and len(fields) == 2:
        if dice.once_in(3):
            return [5 if command == b"answer" else 6, fields[0], _plain(dice)]
        return [7, 5 if command == b"answer" else 7, fields[0], 0, "", fields[1]]
    return message


def _text(value: Any) -> Any:
    return value.decode("utf-8", "replace") if type(value) is bytes else value


def _plain(dice: Dice, depth: int = 4) -> Any:
    match dice.below(8):
        case 0 if depth:
            return [_plain(dice, depth - 1) for _ in range(dice.below(4))]
        case 1 if depth:
            names = ("a", "b", "ü", "__class__")
            return {dice.pick(names): _plain(dice, depth - 1) for _ in range(dice.below(4))}
        case 2:
            return dice.pick((None, True, False, 1.5, float("nan")))
        case 3:
            return _text(dice.octets(9))
        case _:
            return _text(atom(dice))
