"""A value of every type that jelly can send."""

from __future__ import annotations

import datetime
import decimal

__all__ = ["values"]


def values():
    """Return the values by name."""
    shared = [1]
    cyclic = {"name": "loop"}
    cyclic["self"] = [cyclic]
    return {
        "none": None,
        "true": True,
        "false": False,
        "zero": 0,
        "negative": -1,
        "last short": 2**31 - 1,
        "first long": 2**31,
        "last negative short": -(2**31),
        "negative long": -(2**31) - 1,
        "long": 3**99,
        "more negative": -(3**99),
        "float": 0.1,
        "negative zero": -0.0,
        "infinite": float("inf"),
        "no bytes": b"",
        "bytes": b"\x00\xff",
        "a word of the dialect": b"remote",
        "many bytes": bytes(range(256)) * 400,
        "no text": "",
        "text": "naïve 日本 😀",
        "much text": "日本" * 30000,
        "list": [1, [2, []]],
        "empty list": [],
        "tuple": (1, ("a", ())),
        "empty tuple": (),
        "dict": {"a": 1, b"b": 2, 3: "c", (4, "d"): None},
        "empty dict": {},
        "set": {1, "a"},
        "frozenset": frozenset([2, b"b"]),
        "datetime": datetime.datetime(2024, 2, 29, 23, 59, 58, 123456),
        "date": datetime.date(1, 1, 1),
        "time": datetime.time(1, 2, 3, 4),
        "timedelta": datetime.timedelta(days=-1, seconds=5, microseconds=6),
        "decimal": decimal.Decimal("-12.3400"),
        "large decimal": decimal.Decimal("1.5E+30"),
        "shared": [shared, shared, (shared,)],
        "cyclic": cyclic,
        "expression": [b"reference", 1, ["unicode", b"x"]],
    }
