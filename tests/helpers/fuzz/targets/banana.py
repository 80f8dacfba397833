"""Banana: the pieces in which bytes come make no difference, and what was read can be written."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from fuzz.bending import bent, pieces
from fuzz.dice import Dice
from fuzz.expressions import encoded, nested, raw
from jelly.codec import Reader, Writer
from jelly.errors import BananaError
from jelly.limits import Limits
from jelly.vocabulary import NONE_VOCABULARY, PB_VOCABULARY

__all__ = ["fuzz", "outcome", "stream"]

SMALL = Limits(max_prefix=5, max_string=40, max_list=6, max_depth=5, max_expression=90, max_nodes=9)
WORDS = (PB_VOCABULARY, NONE_VOCABULARY)


def stream(dice: Dice, words: dict[bytes, int]) -> bytes:
    """Return banana of a few expressions, bent or not, or any bytes."""
    match dice.below(64):
        case 60 | 61 | 62:
            return dice.rest()
        case 63:
            written = encoded(dice, nested(dice), words)
        case _:
            written = b"".join(encoded(dice, raw(dice), words) for _ in range(1 + dice.below(3)))
    return bent(dice, written)


def outcome(
    reader: Any, chunks: Iterable[bytes], most: Callable[[], int]
) -> tuple[list[Any], bool]:
    """Return what is read of bytes in pieces, and whether they were refused at the end."""
    done: list[Any] = []
    for chunk in chunks:
        reader.feed(chunk)
        try:
            while found := reader.read(most()):
                done += found
        except BananaError:
            _assert_dead(reader)
            return done, True
    return done, False


def fuzz(data: bytes) -> None:
    """Run one input."""
    dice = Dice(data)
    words = dice.pick(WORDS)
    limits = SMALL if dice.once_in(4) else Limits()
    written = stream(dice, words)
    whole, is_refused = outcome(Reader(limits, words), (written,), lambda: -1)
    cut = list(pieces(dice, written))
    again = outcome(Reader(limits, words), cut, lambda: dice.below(3) or -1)
    assert repr(again) == repr((whole, is_refused)), "pieces make a difference"
    writer = Writer(limits, words)
    for expression in whole:
        reader = Reader(limits, words)
        reader.feed(writer.encode(expression))
        (back,) = reader.read()
        assert repr(back) == repr(expression), "what was read is written as something else"
        assert reader.is_between_expressions


def _assert_dead(reader: Reader) -> None:
    try:
        reader.read()
    except RuntimeError:
        return
    raise AssertionError("a reader that raised is not dead")
