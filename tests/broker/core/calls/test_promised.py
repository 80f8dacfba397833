"""What an answer names, read from its expression."""

from __future__ import annotations

from typing import Any

import pytest

from broker.core.calls.promised import Home, MustWait, named_in, place_in

REMOTE, LOCAL = [b"remote", 5], [b"local", 7]


@pytest.mark.parametrize(
    ("answer", "named"),
    [
        (REMOTE, 5),
        (LOCAL, Home(7)),
        ([b"local", b"root"], Home(b"root")),
        ([b"list", 1, REMOTE, LOCAL], {1: 5, 2: Home(7)}),
        ([b"tuple", REMOTE], {0: 5}),
        (
            [
                b"dictionary",
                [[b"unicode", b"a"], REMOTE],
                [7, LOCAL],
                [b"bytes", REMOTE],
                [[b"unicode", b"\xff"], REMOTE],
                [b"malformed"],
            ],
            {"a": 5, 7: Home(7)},
        ),
        ([b"list", [b"list", REMOTE]], None),
        ([b"reference", 1, REMOTE], None),
        ([b"reference", 1, [b"list", REMOTE]], None),
        ([b"remote", b"name"], None),
        ([b"remote", True], None),
        ([b"remote"], None),
        ([b"local", 1.5], None),
        ([b"set", REMOTE], None),
        ([b"list", 1], None),
        (5, None),
        (b"text", None),
        ([], None),
    ],
)
def test_what_an_answer_names(answer: Any, named: Any) -> None:
    """Only references that are the answer, or elements of the list, tuple or dict that it is."""
    assert named_in(answer) == named


def test_many_elements() -> None:
    """The answering end remembers the first 64; the caller reads all."""
    answer: Any = [b"list", *([b"remote", number] for number in range(100))]
    assert named_in(answer) == {number: number for number in range(64)}
    assert named_in(answer, None) == {number: number for number in range(100)}


def test_places() -> None:
    """A step is one into a dict of elements; all steps of a call that came home are home."""
    assert place_in(5, None) == 5
    assert place_in(5, 0) is None
    assert place_in({1: 5, "a": Home(1)}, "a") == Home(1)
    assert place_in({1: 5}, None) is None
    assert place_in({1: 5}, 2) is None
    assert place_in(Home(7), "x") is None
    assert place_in(Home(None), "x") == Home(None)
    assert place_in(None, None) is None


def test_must_wait() -> None:
    """It tells which promise a call must wait for."""
    promise = object()
    assert MustWait(promise).promise is promise
