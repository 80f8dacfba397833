"""Where our decoders and Twisted's may differ, each by a name and with its reason.

A difference is looked up by the results of the two for one input. A difference without a row
is a finding.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

__all__ = ["DIFFERENCES", "Difference", "Outcome", "difference"]


class Outcome(NamedTuple):
    """What one side made of an input: a portrait of the value, or the error that refused it."""

    portrait: Any = None
    error: BaseException | None = None


class Difference(NamedTuple):
    """One row.

    Attributes:
        name, reason: for the page.
        fits: ``f(ours, theirs, expression)`` says whether this explains what the two did.
    """

    name: str
    reason: str
    fits: Callable[[Outcome, Outcome, Any], bool]


def _ours(pattern: str) -> Callable[[Outcome, Outcome, Any], bool]:
    matches = re.compile(pattern).search

    def fits(ours: Outcome, theirs: Outcome, expression: Any) -> bool:
        return ours.error is not None and matches(str(ours.error)) is not None

    return fits


def _same_values(ours: Outcome, theirs: Outcome) -> bool:
    return ours.error is None and theirs.error is None


def _is_lost_in_itself(ours: Outcome, expression: Any) -> bool:
    refusals = ("contains itself", "set member that cannot be hashed")
    return any(text in str(ours.error) for text in refusals) and _has_one_key_twice(expression)


def _placeholder(side: Outcome) -> bool:
    return "twisted.persisted.crefutil._" in str(side.portrait)


def _holds(expression: Any, tag: bytes) -> bool:
    if type(expression) is not list:
        return False
    return expression[:1] == [tag] or any(_holds(item, tag) for item in expression)


def _has_one_key_twice(expression: Any) -> bool:
    if type(expression) is not list:
        return False
    if expression[:1] == [b"dictionary"]:
        keys = [repr(pair[0]) for pair in expression[1:] if type(pair) is list and pair]
        if len(set(keys)) < len(keys):
            return True
    return any(map(_has_one_key_twice, expression))


def _has_zone(expression: Any) -> bool:
    if type(expression) is not list:
        return False
    if expression[:1] == [b"datetime"] and len(expression) == 3:
        return True
    return any(map(_has_zone, expression))


DIFFERENCES: tuple[Difference, ...] = (
    Difference(
        "datetime with a zone",
        "Ours reads the offset behind the fields of a datetime, or refuses a wrong one. Twisted"
        " ignores it.",
        lambda ours, theirs, expression: _has_zone(expression),
    ),
    Difference(
        "depth",
        "Ours reads at most 100 lists in each other (`max_depth`). Twisted reads any number, and"
        " fails when it makes objects of them.",
        _ours(r"\(max_depth\)"),
    ),
    Difference(
        "reference never defined",
        "Twisted hands out its own placeholder for a reference that was never defined, or is"
        " defined only later, which no jellier writes. Ours refuses both.",
        _ours("was never defined"),
    ),
    Difference(
        "reference to None",
        "Twisted takes a reference that stands for None, which no jellier writes, for one that is"
        " not known yet: it hands out its own placeholder, or refuses it as a key.",
        lambda ours, theirs, expression: (
            ours.error is None
            and ("used as a dictionary key" in str(theirs.error) or _placeholder(theirs))
        ),
    ),
    Difference(
        "state that is not whole yet",
        "The state of an instance refers to a dictionary that holds the instance, which no jellier"
        " writes. Twisted fails; ours gives it what the dictionary has by then.",
        lambda ours, theirs, expression: (
            ours.error is None and "'_Dereference'" in str(theirs.error)
        ),
    ),
    Difference(
        "container in itself",
        "A tuple that holds itself with nothing mutable between, or a set that holds itself, cannot"
        " exist; Twisted hands out its own placeholder, or loses it where a dictionary has the key"
        " twice. Ours refuses.",
        lambda ours, theirs, expression: (
            ours.error is not None
            and (_placeholder(theirs) or _is_lost_in_itself(ours, expression))
        ),
    ),
    Difference(
        "frozenset in a member's member",
        "A frozenset of a tuple of an object whose state leads back to the frozenset: ours gives an"
        " object in a set its state first, for its hash may depend on that, and the state needs the"
        " set: refused. Twisted makes the set before.",
        lambda ours, theirs, expression: (
            "contains itself" in str(ours.error) and _holds(expression, b"frozenset")
        ),
    ),
    Difference(
        "old instance in itself",
        "The old tag `instance`, which Twisted reads and does not write, makes its object when its"
        " state is whole: an object whose state leads back to it is refused. Those whose tag is the"
        " name of their class may hold themselves.",
        lambda ours, theirs, expression: (
            "contains itself" in str(ours.error) and _holds(expression, b"instance")
        ),
    ),
    Difference(
        "reference of a reference",
        "A value with two numbers, which no jellier writes, is taken by Twisted and refused by"
        " ours.",
        _ours("is another reference"),
    ),
    Difference(
        "number that is not an int",
        "References are numbered by ints; Twisted takes any value that can be a key.",
        _ours("without a number"),
    ),
    Difference(
        "surplus fields",
        "Twisted ignores what follows the fields that it reads, and takes a date whose hours are"
        " missing; ours refuses every expression whose number of fields is not right.",
        _ours(r" of \d+ (fields|numbers)|reference without"),
    ),
    Difference(
        "bytes as a pair",
        "A pair of a dictionary is a list of two; Twisted takes two bytes for one, a pair of ints.",
        _ours("something other than pairs"),
    ),
    Difference(
        "numbers as Python writes them",
        "Dates are decimal numbers with one blank between; Twisted takes whatever `int` does, such"
        " as signs, underscores and any white space.",
        _ours("that is not numbers"),
    ),
    Difference(
        "not a number as a key",
        "NaN is equal to nothing, itself included, so that a dict can be filled with it and not"
        " looked up.",
        _ours("that is not a number"),
    ),
    Difference(
        "keys made to collide",
        "Ints of more than 64 bits and Decimals cannot be keys, and few keys of a dict may share"
        " one hash: both can keep a Twisted peer busy for minutes.",
        _ours("int key wider|Decimal as a key|with the same hash|max_key_nodes"),
    ),
    Difference(
        "large decimals",
        "A Decimal has at most 1,000 digits and an exponent of at most 6,144; a larger one is made"
        " in no time, and used in hours.",
        _ours(r"max_decimal_digits|max_decimal_exponent|whose exponent is not an int"),
    ),
    Difference(
        "one key twice",
        "Where a dictionary has a key twice, which no jellier writes, the last value counts; with"
        " Twisted the one that was known last.",
        lambda ours, theirs, expression: (
            _same_values(ours, theirs) and _has_one_key_twice(expression)
        ),
    ),
    Difference(
        "state that is not a dictionary",
        "The state of an instance is a dictionary of text that hides no method of its class, or"
        " goes to its `__setstate__`. Twisted puts anything in place of its attributes.",
        _ours("is (no|not a) dictionary|with a key of|hides what"),
    ),
    Difference(
        "long ints as text",
        "`[int, digits]` is an int that `msgpack/1` cannot hold otherwise; Twisted has no such"
        " tag.",
        lambda ours, theirs, expression: ours.error is None and _holds(expression, b"int"),
    ),
    Difference(
        "methods",
        "Twisted on Python 3 looks for a method by a name of bytes, and finds none.",
        lambda ours, theirs, expression: ours.error is None and _holds(expression, b"method"),
    ),
    Difference(
        "text of what could not be sent",
        "The reason in an Unpersistable is written for people; ours is cut and escaped.",
        lambda ours, theirs, expression: (
            _same_values(ours, theirs) and _holds(expression, b"unpersistable")
        ),
    ),
)


def difference(ours: Outcome, theirs: Outcome, expression: Any) -> str | None:
    """Return the name of the row that explains why the two differ, or None."""
    for row in DIFFERENCES:
        if row.fits(ours, theirs, expression):
            return row.name
    return None
