"""Tests of the errors of limits: texts, attributes and pickling."""

from __future__ import annotations

import pickle
import re
from typing import Any

import pytest
from msgspec import structs

import jelly
from jelly.codec import Reader, Writer
from jelly.errors import BananaError, LimitExceeded, ProtocolError, TooLarge
from jelly.limit_errors import PREFIX, SENT, TEXTS, as_kind, limit_error
from jelly.limits import Limits

LIMITS = Limits(max_prefix=9, max_string=20, max_list=10, max_depth=3, max_nodes=15)


def told(error: Any) -> tuple[Any, ...]:
    """Return the text and the attributes of an error."""
    return str(error), error.limit, error.most, error.got


def test_each_limit_has_a_text() -> None:
    """The table has all limits of a message, and no others."""
    assert {limit for limit, _ in TEXTS} == {field.name for field in structs.fields(Limits)}


@pytest.mark.parametrize(("limit", "what"), TEXTS)
def test_texts_name_the_limit_and_its_number(limit: str, what: str) -> None:
    """Each text names its setting, so that a reader knows what to change."""
    text = TEXTS[limit, what]
    assert limit in text or what == PREFIX
    numbers = set(re.findall(r"\{(\w+)\}", text))
    assert "most" in numbers or limit == "max_decimal_exponent"
    assert numbers <= {"most", "got", "bits"}


@pytest.mark.parametrize(
    ("value", "limit", "most", "got"),
    [
        (2**63, "max_prefix", 9, 64),
        (bytes(21), "max_string", 20, 21),
        ([0] * 11, "max_list", 10, 11),
        ([[[[]]]], "max_depth", 3, None),
        ([[0] * 8, [0] * 8], "max_nodes", 15, 18),
    ],
)
def test_what_is_too_large_to_send(value: Any, limit: str, most: int, got: int | None) -> None:
    """Each error has the name and the value of the limit, and the number that exceeded it."""
    with pytest.raises(TooLarge) as caught:
        Writer(LIMITS, {}).encode(value)
    assert told(caught.value)[1:] == (limit, most, got)


@pytest.mark.parametrize(
    ("data", "limit", "most", "got"),
    [
        (b"\x01" * 10, "max_prefix", 9, None),
        (b"\x15\x82", "max_string", 20, 21),
        (b"\x0b\x80", "max_list", 10, 11),
        (b"\x01\x80" * 4, "max_depth", 3, 4),
        (b"\x0a\x80\x0a\x80", "max_nodes", 15, None),
    ],
)
def test_what_may_not_come_in(data: bytes, limit: str, most: int, got: int | None) -> None:
    """The errors of received bytes have the same attributes."""
    reader = Reader(LIMITS, {})
    reader.feed(data)
    with pytest.raises(BananaError) as caught:
        reader.read()
    assert told(caught.value)[1:] == (limit, most, got)


def test_what_expands() -> None:
    """The error of an expanded graph has its numbers."""
    expression: Any = [b"list", [b"reference", 1, [b"list", 1]], *[[b"dereference", 1]] * 9]
    with pytest.raises(LimitExceeded) as caught:
        jelly.Unjellier(limits=Limits(max_expanded=12)).unjellyFull(expression)
    assert told(caught.value)[1:3] == ("max_expanded", 12)
    assert caught.value.got is not None
    assert caught.value.got > 12


@pytest.mark.parametrize("kind", [LimitExceeded, TooLarge, ProtocolError])
def test_a_text_alone(kind: Any) -> None:
    """An error that is made from a text alone has no limit, even if the text names one."""
    assert told(kind("(max_refs)")) == ("(max_refs)", "", None, None)


def test_another_text_for_who_sends() -> None:
    """The text for the program that sends tells what to do instead."""
    error = limit_error(TooLarge, "max_string", 20, 21, SENT)
    assert str(error) == "bytes of 21 (max_string 20); send it in pieces, see broker.pb.StringPager"


def test_as_another_kind() -> None:
    """The error of another class has the same text and attributes."""
    error = limit_error(LimitExceeded, "max_nodes", 15)
    other = as_kind(TooLarge, error)
    assert type(other) is TooLarge
    assert told(other) == told(error) == ("expression of more than 15 nodes (max_nodes)",
                                          "max_nodes", 15, None)  # fmt: skip


@pytest.mark.parametrize("kind", [LimitExceeded, TooLarge])
def test_pickling(kind: Any) -> None:
    """A pickled copy has the same text and attributes."""
    error = limit_error(kind, "max_list", 10, 11)
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind
    assert told(copy) == told(error)


def test_a_text_that_there_is_not() -> None:
    """A misspelt name raises KeyError where the error is made."""
    with pytest.raises(KeyError):
        limit_error(LimitExceeded, "max_lists", 10)
