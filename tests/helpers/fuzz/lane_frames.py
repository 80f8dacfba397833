"""What the ends of ``fuzz.lane_room`` are fed: steps that are made of the bytes of an input.

Each byte selects a row of a table, which has the bytes of a part of a frame. So an input is turned
into frames quickly, most of which are legal, and a changed byte is a changed part.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle, islice
from typing import Any, NamedTuple, TypeAlias

import msgspec

from fuzz.lane_room import GIVEN

__all__ = ["Plan", "Step", "bytes_of", "plan_of"]

Step: TypeAlias = bytes | int
"""Bytes of the peer, or the number of an action of this side."""


class Plan(NamedTuple):
    """What is done with an end.

    Attributes:
        is_client: which end it is.
        policy: the number of its policy.
        steps: what is done, in order.
    """

    is_client: bool
    policy: int
    steps: list[Step]


class _Head(NamedTuple):
    """How a frame begins and ends, and what is between: "args", "tuple", "one" or nothing."""

    start: bytes
    values: str
    end: bytes = b""


_pack = msgspec.msgpack.encode
_ROOT = _pack("root")


def _call(name: bytes, kind: int = 1, number: bytes = b"\5", target: bytes = _ROOT) -> _Head:
    return _Head(bytes((0x96, kind)) + number + target + name, "args", b"\x80")


_NUMBERS = (
    b"\5", b"\6", b"\x7f", b"\xcc\x05", b"\xcc\x80", b"\xcd\x01\x00", b"\xce\0\1\0\0",
    b"\xcf" + bytes(7) + b"\7", b"\xcf\x7f" + b"\xff" * 7, b"\xcf\x80" + bytes(7), b"\xff",
    b"\xc0", b"\xd0\x05", b"\xcb" + bytes(8), b"\x00",
)  # fmt: skip
_TARGETS = (
    b"\1", b"\2", b"\x63", b"\xd9\4root", b"\xda\0\4root", b"\xdb\0\0\0\4root", b"\xc4\4root",
    b"\xa0", b"\xc0", b"\x91\1", b"\x92\1\0", b"\xa4roo\xff", _pack("x" * 32), _pack("x" * 33),
    b"\xcc\1", b"\xcf" + bytes(7) + b"\1", b"\xff",
)  # fmt: skip
_CALLED = ["echo", "nothing", "two", "make", "fail", "type_error", "later", "wait", "missing"]
_NAMES = tuple(map(_pack, [*_CALLED, "nap", "work"]))
_ODD_NAMES = (
    _pack(""), _pack("x" * 32), _pack("x" * 33), _pack("x" * 128), _pack("x" * 129),
    b"\xa4ech\xff", b"\xd9\4echo", b"\xc4\4echo", b"\xda\0\4echo", b"\5", b"\xa3\xed\xa0\x80",
    _pack("é"),
)  # fmt: skip
_ECHO = _pack("echo")
_ANSWERS = [
    _Head(bytes((0x93, kind)) + bytes((number,)), values)
    for number in (1, 2, 3, 4)
    for kind, values in ((5, "one"), (6, "tuple"))
]
_ODD_HEADS = (
    # Calls with more fields, fewer, or others; and keywords.
    _Head(b"\x97\1\5" + _ROOT + _ECHO, "args", b"\x80\x05"),
    _Head(b"\x97\1\5" + _ROOT + _ECHO, "args", b"\x80\xc0"),
    _Head(b"\x98\1\5" + _ROOT + _ECHO, "args", b"\x80\xc0\x81\xa1a\xa1b"),
    _Head(b"\x96\1\5" + _ROOT + _ECHO, "args", b"\x81\xa1k\1"),
    _Head(b"\x96\2\0" + _ROOT + _ECHO, "args", b"\x81\xa1k\1"),
    _Head(b"\x95\1\5" + _ROOT + _ECHO, "args"),
    _Head(b"\x96\1\5" + _ROOT + _ECHO, "args", b"\x80\0"),
    _Head(b"\x96\1\5" + _ROOT + _ECHO, "args", b"\xde\0\0"),
    _Head(b"\x96\1\5" + _ROOT + _ECHO, "array", b"\x80"),
    _Head(b"\x96\1\5" + _ROOT + _ECHO, "none", b"\x80"),
    _Head(b"\x96\xcc\1\5" + _ROOT + _ECHO, "args", b"\x80"),
    _Head(b"\xdc\0\6\1\5" + _ROOT + _ECHO, "args", b"\x80"),
    _Head(b"\x96\3\5\1" + _ECHO, "args", b"\x80"),
    _Head(b"\x96\4\0\1" + _ECHO, "args", b"\x80"),
    # Answers.
    _Head(b"\x93\5\5", "one"),
    _Head(b"\x93\5\xcc\1", "one"),
    _Head(b"\x93\5\xcf" + bytes(7) + b"\2", "one"),
    _Head(b"\x93\5\xff", "one"),
    _Head(b"\x93\5\2", "two"),
    _Head(b"\x94\5\2", "two"),
    _Head(b"\x92\5\2", "none"),
    _Head(b"\x93\6\2", "one"),
    # Other rows: graphs, an error, and what has no values.
    _Head(_pack([7, 1, 5, "root", "echo", [[b"tuple", 5], [b"dictionary"]]]), "none"),
    _Head(_pack([7, 1, 5, "root", "make", [[b"tuple"], [b"dictionary"]]]), "none"),
    _Head(_pack([7, 2, 0, "root", "echo", [[b"tuple"], [b"dictionary"]]]), "none"),
    _Head(_pack([7, 5, 1, 0, "", [b"list", 1]]), "none"),
    _Head(_pack([7, 5, 2, 0, "", [b"remote", 1]]), "none"),
    _Head(_pack([7, 7, 1, 0, "", [b"unicode", b"text"]]), "none"),
    _Head(_pack([7, 7, 3, 0, "", [b"unicode", b"text"]]), "none"),
    _Head(_pack([8, 1, 1]), "none"),
    _Head(_pack([8, 2, 1]), "none"),
    _Head(_pack([11, 5]), "none"),
    _Head(_pack([11, 6]), "none"),
    _Head(_pack([12, 1]), "none"),
    _Head(_pack([13, 1]), "none"),
    _Head(_pack([14, "bye", "text"]), "none"),
    _Head(_pack([15, 0, []]), "none"),
    _Head(_pack([0, 6]), "none"),
    _Head(b"", "none"),
    _Head(b"\x90", "none"),
    _Head(b"\xc1", "none"),
    _Head(b"\x96\1", "none"),
    _Head(b"", "one"),
)


def _table(rows: Sequence[Any], size: int) -> list[Any]:
    return list(islice(cycle(rows), size))


_HEADS: list[_Head] = [
    *_table([_call(_ECHO), _call(_ECHO, 2, b"\0"), *_ANSWERS], 56),
    *_table([_call(name) for name in _NAMES], 36),
    *_table([_call(name, 2, b"\0") for name in _NAMES], 18),
    *_table([_call(_pack("give")), _call(_pack("act")), _call(_pack("act"), 2, b"\0")], 30),
    _call(_pack("stop")),
    _call(_pack("stop"), 2, b"\0"),
    *[_call(_ECHO, 1, number) for number in _NUMBERS],
    *[_call(_ECHO, 1, b"\5", target) for target in _TARGETS],
    *[_call(name) for name in _ODD_NAMES],
    *_ODD_HEADS,
]
_HEADS = _table(_HEADS, 256)


def _of_given() -> list[bytes]:
    found = []
    for make in GIVEN:
        try:
            found.append(_pack(make()))
        except (TypeError, OverflowError, UnicodeEncodeError, RecursionError, msgspec.MsgspecError):
            continue
    return found


_RAW = (
    # Heads without what they are of; lengths that are not there; and what no value is.
    b"\x91", b"\x92", b"\x93\1", b"\x9f", b"\x81", b"\x82\xa1a\1", b"\x81\1\1", b"\x81\xc4\1a\1",
    b"\xa5abc", b"\xd9\x09abc", b"\xda\xff\xff", b"\xdb\xff\xff\xff\xff", b"\xdc\xff\xff",
    b"\xdd\xff\xff\xff\xff", b"\xde\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xdd\x7f\xff\xff\xff",
    b"\xdd\x80\0\0\0", b"\xc1", b"\xc4\0", b"\xc4\1a", b"\xc7\0\1", b"\xca\0\0\0\0", b"\xcb\0",
    b"\xcc", b"\xcd\0", b"\xd4\1\1", b"\xa1\xff", b"\xa2\xc3\x28", b"\xa3\xed\xa0\x80",
    b"\x81\xa3\xed\xa0\x80\1", b"\xdc\0\0", b"\xdd\0\0\0\0", b"\xde\0\0", b"\xdf\0\0\0\0",
    b"\xdc\0\1\1", b"\xdd\0\0\0\2\1\2", b"\xde\0\1\xa1a\1", b"\xdf\0\0\0\1\xa1a\1",
    b"\x82\xa1a\1\xa1a\2", b"\xcc\1", b"\xcd\0\1", b"\xce\0\0\0\1", b"\xcf" + bytes(7) + b"\1",
    b"\xd0\1", b"\xd1\xff\xff", b"\xd2" + b"\xff" * 4, b"\xd3" + b"\xff" * 8,
    b"\xd3\x80" + bytes(7), b"\xcf" + b"\xff" * 8, b"\xd9\1a", b"\xda\0\1a", b"\xdb\0\0\0\1a",
    b"\xcb\x7f\xf0" + bytes(6), b"\xcb\x80" + bytes(7), b"\xcb\xff\xf8\0\0\0\0\0\1",
    b"\x91" * 5 + b"\x90", b"\x91" * 6 + b"\x90", b"\x91" * 7 + b"\x90",
    b"\x81\xa1a" * 6 + b"\1", b"\x81\xa1a" * 7 + b"\1", b"\x91" * 120 + b"\1",
    b"\xd9\x21" + b"k" * 33, b"\x81\xd9\x21" + b"k" * 33 + b"\1",
)  # fmt: skip
_VALUES: list[bytes] = _table([*map(_pack, range(24)), *_of_given(), *_RAW], 256)

# How many values a frame has, by one byte.
_COUNTS = [
    *[0] * 50,
    *[1] * 90,
    *[2] * 60,
    *[3] * 40,
    *[7] * 4,
    *[14, 15, 16, 17, 20, 32],
    *[40] * 6,
]
assert (len(_HEADS), len(_VALUES), len(_COUNTS)) == (256, 256, 256)

# Of all heads, these bytes are an action of this side instead of a frame.
_ACTIONS = 238

# Frames and actions of one input: more take longer, and find no more.
_MOST_STEPS = 6
_CUTS = (0, 0, 0, 0, 0, 0, 3, 5, 7, 16, 40)


def _array(size: int) -> bytes:
    return bytes((0x90 | size,)) if size < 16 else b"\xdc" + size.to_bytes(2, "big")


def _frames(data: bytes) -> list[Step]:
    """Return frames and actions, of one input."""
    steps: list[Step] = []
    position, end = 0, len(data)
    while position + 1 < end and len(steps) < _MOST_STEPS:
        first, second = data[position], data[position + 1]
        if first >= _ACTIONS:
            steps.append(second)
            position += 2
            continue
        count = _COUNTS[second]
        values = data[position + 2 : position + 2 + count]
        position += 2 + count
        head = _HEADS[first]
        parts = [_VALUES[each] for each in values]
        match head.values:
            case "args" | "tuple":
                parts.insert(0, _array(len(parts)))
            case "array":
                parts.insert(0, b"\xdc" + len(parts).to_bytes(2, "big"))
            case "one":
                parts = parts[:1] or [b"\xc0"]
            case "none":
                parts = []
        body = b"".join((head.start, *parts, head.end))
        steps.append(len(body).to_bytes(4, "big") + body)
    return steps


def bytes_of(data: bytes) -> bytes:
    """Return the bytes of an input for a lane: its frames without actions, perhaps bent.

    The second byte says whether the rest are the bytes themselves.
    """
    if len(data) > 1 and data[1] > 240:
        return data[2:]
    frames = b"".join([step for step in _frames(data[4:]) if type(step) is bytes])
    if len(data) > 3 and data[2] > 160:
        return _bent(frames, data[2], data[3])
    return frames


def plan_of(data: bytes) -> Plan:
    """Return what an input does.

    Its first four bytes say which end it is and how the bytes are cut, and how they are bent.
    """
    kind, cut, bend, at = data[:4].ljust(4, b"\0")
    rest = data[4:]
    joined: list[Step] = []
    if kind & 0x30 == 0x30:
        # The bytes themselves, as the vectors have them.
        joined.append(rest)
    else:
        for step in _frames(rest):
            if type(step) is bytes and joined and type(joined[-1]) is bytes:
                joined[-1] += step
            else:
                joined.append(step)
    if bend >= 192 and joined and type(joined[0]) is bytes:
        joined[0] = _bent(joined[0], bend, at)
    size = _CUTS[cut % len(_CUTS)]
    steps = joined
    if size:
        steps = []
        for step in joined:
            if type(step) is bytes:
                # The first piece has another size, so that each place is cut once.
                first = 1 + cut // len(_CUTS)
                steps.append(step[:first])
                steps += [step[place : place + size] for place in range(first, len(step), size)]
            else:
                steps.append(step)
    return Plan(bool(kind & 1), (kind >> 1 & 3) % 3, [step for step in steps if step != b""])


def _bent(data: bytes, bend: int, at: int) -> bytes:
    """Return bytes of which one is changed, or some are missing or there twice."""
    place = at * len(data) // 256
    match bend & 3:
        case 0:
            return (
                data[:place] + bytes((data[place] ^ (1 << (bend >> 2 & 7)),)) + data[place + 1 :]
                if data
                else b""
            )
        case 1:
            return data[:place] + data[place + 1 + (bend >> 2 & 7) :]
        case 2:
            return data[:place] + data[place : place + 4 + bend % 29] + data[place:]
        case _:
            return data[:place]
