"""The answer of ``pb call`` as JSON."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pytest

from broker.commands.answer import as_json


@pytest.mark.parametrize(
    "answer, shown",
    [
        ({"a": [1, 2.5, None, True, "ü"]}, {"a": [1, 2.5, None, True, "ü"]}),
        ((1, (2,)), [1, [2]]),
        ({3, 1, 2}, [1, 2, 3]),
        (frozenset(["b", 1]), ["b", 1]),
        (b"\xff", "b'\\xff'"),
        ({1: "one", b"k": 2}, {"1": "one", "b'k'": 2}),
        (datetime.date(2026, 1, 2), "datetime.date(2026, 1, 2)"),
    ],
)
def test_values(answer: Any, shown: Any) -> None:
    """What JSON has is shown as it is; all else in the nearest form, or as Python shows it."""
    assert json.loads(as_json(answer)) == shown


def test_letters_are_readable() -> None:
    """Letters of any alphabet are shown, not escaped."""
    assert as_json("žluť") == '"žluť"'


def test_a_list_that_contains_itself() -> None:
    """What is inside itself is told once; what only occurs twice, twice."""
    inner: list[Any] = []
    inner.append(inner)
    assert json.loads(as_json(inner)) == ["<the same again>"]
    twice = [1]
    assert json.loads(as_json([twice, twice])) == [[1], [1]]
