"""Expressions: raw ones, as banana carries them, and those that jelly knows, mostly well formed."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any

from fuzz.dice import Dice

__all__ = ["Jellied", "atom", "encoded", "raw"]

_NUMBERS = (
    0, 1, 2, 3, -1, 127, 128, -128, 255, 16383, 16384, 2**31 - 1, 2**31, -(2**31), -(2**31) - 1,
    2**32, 2**53 + 1, 2**61 - 1, 2 * (2**61 - 1), 2**63 - 1, 2**63, -(2**63), 2**64 - 1, 2**64,
    2**447, 2**448 - 1, -(2**448) + 1, 2**448,
)  # fmt: skip
_FLOATS = (0.0, -0.0, 1.0, 0.5, -2.5, 1e308, 5e-324, float("inf"), float("-inf"), float("nan"))
_WORDS = (
    b"", b"a", b"x", b"y", b"true", b"false", b"None", b"list", b"tuple", b"root", b"echo",
    b"\xc3\xa4", b"\xff", b"__class__", b"__init__", b"0", b"-12", b"2020 1 2", b"1 2 3 4 5 6 7",
    b"a" * 129, b"list list",
)  # fmt: skip


def atom(dice: Dice) -> Any:
    """Return bytes, an int or a float."""
    match dice.below(8):
        case 0 | 1:
            return dice.below(16)
        case 2:
            return dice.pick(_NUMBERS)
        case 3:
            return dice.pick(_FLOATS)
        case 4:
            return dice.octets(20)
        case _:
            return dice.pick(_WORDS)


def raw(dice: Dice, depth: int = 6) -> Any:
    """Return any expression."""
    if depth and dice.once_in(2):
        if dice.once_in(64):
            return nested(dice)
        return [raw(dice, depth - 1) for _ in range(dice.below(6))]
    return atom(dice)


def nested(dice: Dice) -> Any:
    """Return lists in lists, about as deep as the limits are."""
    expression: Any = atom(dice)
    for _ in range(dice.below(110)):
        expression = [expression]
    return expression


def encoded(dice: Dice, expression: Any, words: dict[bytes, int]) -> bytes:
    """Return banana of an expression, which knows no limits and now and then pads its numbers."""
    kind = type(expression)
    if kind is list:
        body = b"".join(encoded(dice, item, words) for item in expression)
        return _head(dice, len(expression), 0x80) + body
    if kind is bytes:
        number = words.get(expression)
        if number is not None and not dice.once_in(8):
            return _head(dice, number, 0x87)
        return _head(dice, len(expression), 0x82) + expression
    if kind is float:
        return b"\x84" + struct.pack("!d", expression)
    is_long = abs(expression) >= 2**31 or dice.once_in(32)
    if expression < 0:
        return _head(dice, -expression, 0x86 if is_long else 0x83)
    return _head(dice, expression, 0x85 if is_long else 0x81)


def _head(dice: Dice, number: int, code: int) -> bytes:
    digits = bytearray()
    while number:
        digits.append(number & 0x7F)
        number >>= 7
    if dice.once_in(32):
        digits += bytes(dice.below(70))
    elif not digits and dice.once_in(2):
        digits.append(0)
    digits.append(code)
    return bytes(digits)


class Jellied:
    """Makes expressions with the tags of jelly, numbering references as a jellier would.

    Args:
        dice: what decides.
        classes: tags of classes whose state follows.
        more: makers of further expressions, for tags that only a connection knows.
        code: whether class, module, function, method and instance are among the tags.
    """

    def __init__(
        self,
        dice: Dice,
        classes: Sequence[bytes] = (),
        more: Sequence[Callable[[Jellied], Any]] = (),
        code: bool = False,
    ):
        self.dice = dice
        self.classes = classes
        self.budget = 24
        self._last = 0
        self._makers: list[Callable[[Jellied], Any]] = [*_LEAVES, *_CONTAINERS, *more]
        if classes:
            self._makers.append(Jellied._instance)
        if code:
            self._makers += _CODE

    def make(self) -> Any:
        """Return one expression."""
        self.budget -= 1
        dice = self.dice
        if self.budget < 0 or dice.is_empty:
            return dice.below(4)
        choice = dice.byte()
        if choice < 90:
            return atom(dice)
        if choice == 90:
            return raw(dice, 3)
        expression = self._makers[choice % len(self._makers)](self)
        if type(expression) is list and dice.once_in(24):
            _spoil(dice, expression)
        return expression

    def key(self) -> Any:
        """Return what is mostly fit for a key."""
        match self.dice.below(6):
            case 0:
                return self.make()
            case 1:
                return [b"tuple", atom(self.dice), self.key() if self.budget > 0 else 0]
            case 2:
                return [b"unicode", self.dice.octets(3)]
            case _:
                self.budget -= 1
                return atom(self.dice)

    def parts(self) -> list[Any]:
        """Return a few expressions."""
        return [self.make() for _ in range(self.dice.below(5))]

    def state(self) -> list[Any]:
        """Return a dictionary as states are."""
        names = (b"x", b"y", b"name", b"who", b"__class__", b"remote_echo", b"setCopyableState")
        pairs = []
        for _ in range(self.dice.below(4)):
            name: Any = self.dice.pick(names)
            pairs.append([name if self.dice.once_in(3) else [b"unicode", name], self.make()])
        return [b"dictionary", *pairs]

    def _reference(self) -> Any:
        self._last += 1
        number = self._last
        return [b"reference", number, self.make()]

    def _dereference(self) -> Any:
        return [b"dereference", self.dice.below(self._last + 2)]

    def _instance(self) -> Any:
        tag = self.dice.pick(self.classes)
        if self.dice.once_in(8):
            return [tag, self.make()]
        state = self.state()
        if tag.endswith(b"Held") and not self.dice.once_in(16):
            return [tag, self.dice.below(6), state]
        return [tag, state]


def _spoil(dice: Dice, expression: list[Any]) -> None:
    at = dice.below(len(expression) + 1)
    match dice.below(4):
        case 0:
            expression.insert(at, atom(dice))
        case 1:
            del expression[at : at + 1]
        case 2:
            expression[at : at + 1] = [atom(dice)]
        case _:
            expression[at : at + 1] = [[]]


_TIMES = ((b"datetime", 7), (b"date", 3), (b"time", 4), (b"timedelta", 3))


def _timed(jellied: Jellied) -> Any:
    dice = jellied.dice
    tag, count = dice.pick(_TIMES)
    numbers = [
        str(dice.pick((1, 0, 2, 12, 28, 31, 59, 2024, 9999, -1, 10**6))) for _ in range(count)
    ]
    if tag != b"time" and tag != b"timedelta":
        numbers[0] = str(1 + dice.below(9999))
    return [tag, " ".join(numbers).encode("ascii")]


_LEAVES: tuple[Callable[[Jellied], Any], ...] = (
    lambda j: [b"None"],
    lambda j: [b"boolean", j.dice.pick((b"true", b"false"))],
    lambda j: [b"unicode", j.dice.octets(12)],
    lambda j: [b"unicode", j.dice.pick(_WORDS)],
    lambda j: [b"decimal", j.dice.pick(_NUMBERS), j.dice.below(40) - 20],
    lambda j: [b"decimal", j.dice.below(100), j.dice.pick((6144, 6145, -6145, 10**12, 2**64, 0))],
    lambda j: [b"int", j.dice.pick((b"0", b"12", b"-5", b"1" * 130, b"9" * 150, b"1_0", b""))],
    _timed,
)
_CONTAINERS: tuple[Callable[[Jellied], Any], ...] = (
    lambda j: [b"list", *j.parts()],
    lambda j: [b"tuple", *j.parts()],
    lambda j: [b"set", *(j.key() for _ in range(j.dice.below(4)))],
    lambda j: [b"frozenset", *(j.key() for _ in range(j.dice.below(4)))],
    lambda j: [b"dictionary", *([j.key(), j.make()] for _ in range(j.dice.below(4)))],
    Jellied._reference,
    Jellied._reference,
    Jellied._dereference,
    Jellied._dereference,
)
_CODE: tuple[Callable[[Jellied], Any], ...] = (
    lambda j: [b"class", j.dice.pick((b"graphs.Plain", b"os.path", b"graphs.make", b"graphs."))],
    lambda j: [b"module", j.dice.pick((b"graphs", b"os", b"", b"\xff", b"antigravity"))],
    lambda j: [b"function", j.dice.pick((b"graphs.greet", b"os.system", b"greet", b"graphs.x"))],
    lambda j: [b"method", b"method", j.make(), [b"class", b"graphs.Plain"]],
    lambda j: [b"instance", [b"class", b"graphs.Plain"], j.state()],
    lambda j: [b"persistent", j.make()],
    lambda j: [b"unpersistable", j.make()],
    lambda j: [b"graphs.Plain", j.state()],
)
