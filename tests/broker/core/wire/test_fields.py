"""The checks of fields in PB's expressions; `test_expressions` tries them in each message."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from broker.core.wire import fields

NOT_NUMBERS = [-1, 2**63, b"1", 1.0, [], True]


@pytest.mark.parametrize(
    ("check", "right", "wrong"),
    [
        (fields.number, [0, 2**63 - 1], NOT_NUMBERS),
        (fields.object_id, [0, b"root", b"x" * 128], [-1, 1.0, [], b"x" * 129]),
        (fields.word, [b"", b"x" * 128], [1, [], b"x" * 129]),
        (fields.graph, [1, b"x", [b"list"], 1.5], []),
        (fields.signed, [-(2**63) + 1, 6], [2**63, b"6", 6.0, True]),
    ],
)
def test_values(check: Callable[[Any], object], right: list[Any], wrong: list[Any]) -> None:
    """A value that fits is returned as it is; another raises Misfit."""
    assert [check(value) for value in right] == right
    for value in wrong:
        with pytest.raises(fields.Misfit):
            check(value)


def test_text() -> None:
    """A name is str; bytes that are not ASCII are escaped."""
    assert fields.text(b"echo") == "echo"
    assert fields.text(b"\xff") == "\\xff"
    for value in (1, b"x" * 129):
        with pytest.raises(fields.Misfit):
            fields.text(value)


def test_flag() -> None:
    """Zero, None and False mean that no answer is wanted."""
    assert [fields.flag(no) for no in (0, [b"None"], [b"boolean", b"false"])] == [False] * 3
    assert [fields.flag(yes) for yes in (1, -1, b"", [b"boolean", b"true"])] == [True] * 4
