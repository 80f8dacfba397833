"""The data of messages: which values go out, and that they come back."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import broker
from broker.topics.payload import decoded, encoded

SCALARS = (
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | st.text() | st.binary()
    | st.floats(allow_nan=False) | st.dates() | st.decimals(-(10**30), 10**30, places=3)
    | st.datetimes(timezones=st.none() | st.just(datetime.UTC))
)  # fmt: skip
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner)
)


@given(VALUES)
def test_values_come_back(value: object) -> None:
    """A value of the allowed types comes back equal, and of its type."""
    back = decoded(encoded(value, 1 << 20))
    assert back == value and type(back) is type(value)


@broker.register("topics.Copy")
class Copy(broker.Copyable, broker.RemoteCopy):
    """A copy."""

    name: str = ""


@pytest.mark.parametrize(
    "value", [broker.Referenceable(), Copy(), object(), 1 << 64, len, broker.Root, [broker.Root()]]
)
def test_other_values(value: object) -> None:
    """References, copies, classes and functions are refused by the publisher."""
    with pytest.raises(broker.CannotJelly):
        encoded(value, 1000)


def test_an_endless_value() -> None:
    """A value that contains itself comes back or is refused; it does not run on."""
    value: list[Any] = []
    value.append(value)
    back: Any = decoded(encoded(value, 1000))
    assert back[0] is back


def test_too_many_bytes() -> None:
    """More bytes than allowed are refused."""
    with pytest.raises(broker.TooLarge, match=r"message of 1004 bytes \(max_message 100\)"):
        encoded("x" * 1000, 100)


@pytest.mark.parametrize(
    "data", [b"", b"x", b"p", b"p\xc1", b"e\xc1", b"e\xa3abc", b"p" + b"\x91" * 100_000]
)
def test_other_bytes(data: bytes) -> None:
    """Bytes that were not made here are a DecodeError."""
    with pytest.raises(broker.DecodeError):
        decoded(data)
