"""What the running code attaches to its calls."""

from __future__ import annotations

from typing import Any

import pytest

from broker.core.calls.attached import ATTACHED, Attached, attach, joined
from jelly.errors import CannotJelly, TooLarge


def test_blocks() -> None:
    """An inner block adds to the outer one and replaces what both have, inside only."""
    assert ATTACHED.get() is None
    with attach(credit=(1, 2), meta={"x-a": "1", "x-b": "1"}):
        with attach(meta={"x-b": "2"}, is_once=True):
            assert ATTACHED.get() == Attached((1, 2), {"x-a": "1", "x-b": "2"}, True)
            with attach(is_once=False, credit=(3, 4)):
                assert ATTACHED.get() == Attached((3, 4), {"x-a": "1", "x-b": "2"}, False)
        assert ATTACHED.get() == Attached((1, 2), {"x-a": "1", "x-b": "1"})
    assert ATTACHED.get() is None


@pytest.mark.parametrize(
    ("meta", "credit", "sent"),
    [
        (None, None, None),
        ({}, None, None),
        ({"x-a": "v" * 512}, None, {"x-a": "v" * 512}),
        ({"k" * 64: ""}, (1, 2), {"k" * 64: "", "credit": "1,2"}),
        (
            {str(n): "" for n in range(7)},
            (1, 2),
            {**{str(n): "" for n in range(7)}, "credit": "1,2"},
        ),
    ],
)
def test_what_is_sent(meta: Any, credit: Any, sent: Any) -> None:
    """The metadata and the first credit, in one map; no map if there is nothing."""
    assert joined(meta, credit) == sent


@pytest.mark.parametrize(
    ("meta", "credit", "error", "text"),
    [
        ({"": "a"}, None, CannotJelly, "metadata is text by keys"),
        ({"k" * 65: "a"}, None, CannotJelly, "metadata is text by keys"),
        ({"X-a": "a"}, None, CannotJelly, "metadata is text by keys"),
        ({"x-a\n": "a"}, None, CannotJelly, "metadata is text by keys"),
        ({b"x-a": "a"}, None, CannotJelly, "metadata is text by keys"),
        ({"x-a": b"a"}, None, CannotJelly, "metadata is text by keys"),
        ({"x-a": "v" * 513}, None, TooLarge, r"metadata 'x-a' of 513 characters \(512\)$"),
        ({str(n): "" for n in range(9)}, None, TooLarge, r"^9 entries of metadata \(8\)$"),
        ({str(n): "" for n in range(8)}, (1, 2), TooLarge, r"^9 entries of metadata \(8\)$"),
    ],
)
def test_what_cannot_be_sent(meta: Any, credit: Any, error: type[Exception], text: str) -> None:
    """An error names what is wrong, so that the peer never closes the connection for it."""
    with pytest.raises(error, match=text):
        joined(meta, credit)
