"""The answer of ``pb call`` as JSON: what each value becomes, and what is left out."""

from __future__ import annotations

import collections
import datetime
import json
import time
from decimal import Decimal
from typing import Any

import pytest

from broker.commands.answer import AT_A_TERMINAL, UNBOUNDED, Bounds, Rendering, as_json

NASTY = "a\nb\x1b[2J\u2028\x07\ud800\x9b\u202e\x7f"


def nested(levels: int, kind: Any = list) -> Any:
    """Return a container that holds another one twice, and so on: a graph of few containers."""
    inner: Any = {"a": 1, "b": 2} if kind is dict else kind([1, 2])
    for number in range(levels - 1):
        if kind is dict:
            inner = {"a": inner, "b": inner}
        elif kind is frozenset:
            inner = frozenset([inner, (number, inner)])
        else:
            inner = kind([inner, inner])
    return inner


def cut(answer: Any, **bounds: int) -> tuple[Any, bool]:
    """Return an answer as read from its JSON under bounds, and whether it was cut."""
    rendering = Rendering(answer, AT_A_TERMINAL._replace(**bounds))
    return json.loads("".join(rendering.pieces())), rendering.is_cut


@pytest.mark.parametrize(
    "answer, shown",
    [
        ({"a": [1, 2.5, None, True, "ü"]}, {"a": [1, 2.5, None, True, "ü"]}),
        ((1, (2,)), [1, [2]]),
        ([[], {}, (), set()], [[], {}, [], []]),
        ({3, 1, 2, 10}, [1, 2, 3, 10]),
        (frozenset(["b", 1]), ["b", 1]),
        ({(2, 1), (1, 2)}, [[1, 2], [2, 1]]),
        (b"\xff\x00", "/wA="),
        ({1: "one", b"k": 2, None: 3, (1, "x"): 4}, {"1": "one", "aw==": 2, "null": 3,
         '[1,"x"]': 4}),
        ({1: "a", "1": "b"}, {"1": "a", "1 (str)": "b"}),
        (datetime.date(2026, 1, 2), "2026-01-02"),
        (datetime.datetime(2026, 1, 2, 3, 4, 5, 6), "2026-01-02T03:04:05.000006"),
        (datetime.time(3, 4), "03:04:00"),
        (datetime.timedelta(days=1, seconds=2.5), "P1DT2.5S"),
        (Decimal("1.10"), "1.10"),
        ([float("nan"), float("inf"), float("-inf")], ["NaN", "Infinity", "-Infinity"]),
        (2**64, 2**64),
        (2**1024, hex(2**1024)),
        (collections.OrderedDict(a=1), {"a": 1}),
    ],
)  # fmt: skip
def test_values(answer: Any, shown: Any) -> None:
    """What JSON has is shown as it is; all else in the form that programs read."""
    assert json.loads(as_json(answer)) == shown


def test_the_form_is_that_of_json() -> None:
    """The text is what the standard library writes with an indent of two."""
    answer = {"a": [1, [], {}, {"b": None}], "c": "é"}
    assert as_json(answer) == json.dumps(answer, indent=2, ensure_ascii=False)


def test_letters_are_readable() -> None:
    """Letters of any alphabet are shown, unless the output has ASCII only."""
    assert as_json("žluť") == '"žluť"'
    assert "".join(Rendering(["žluť"], is_ascii=True).pieces()).isascii()


def test_a_list_that_contains_itself() -> None:
    """What is inside itself is told once; what only occurs twice, twice."""
    inner: list[Any] = []
    inner.append(inner)
    assert json.loads(as_json(inner)) == ["<the same again>"]
    ring: dict[str, Any] = {"a": [1]}
    ring["b"] = [ring]
    assert json.loads(as_json(ring)) == {"a": [1], "b": ["<the same again>"]}
    twice = [1]
    assert json.loads(as_json([twice, twice])) == [[1], [1]]


@pytest.mark.parametrize("kind", [list, tuple, dict, frozenset])
@pytest.mark.parametrize("bounds", [None, AT_A_TERMINAL])
def test_shared_parts(kind: Any, bounds: Bounds | None) -> None:
    """Of an answer that would be 2**60 values a few are written, and how many are missing."""
    made = nested(60, kind)
    begun = time.thread_time()
    rendering = Rendering(made, bounds)
    text = "".join(rendering.pieces())
    assert time.thread_time() - begun < 5
    assert rendering.is_cut
    assert len(text) < 2_000_000
    assert " more" in text
    json.loads(text)


def test_the_rest_is_counted() -> None:
    """The first values are shown, and the rest of each container is told by its number."""
    assert cut(list(range(5)), values=2) == ([0, 1, "… 3 more"], True)
    assert cut([[1, 2], [3, 4], 5], values=1) == ([[1, "… 1 more"], "… 3 more"], True)
    assert cut({"a": 1, "b": 2, "c": 3}, values=1) == ({"a": 1, "…": "2 more"}, True)
    assert cut({"…": 1, "b": 2}, values=1) == ({"…": 1, "… (NoneType)": "1 more"}, True)
    assert cut(nested(22), values=1)[0][-1] == "… 2,097,152 more"
    assert cut(nested(100), values=1)[0][-1] == "… over 1,000,000,000,000,000,000 more"
    assert cut(set(range(100)), values=3)[0][-1] == "… 97 more"
    assert cut([1, 2], values=2) == ([1, 2], False)


def test_depth() -> None:
    """What is nested too deep is told by the number of its values."""
    assert cut([1, [2, [3, 4]]], depth=2) == ([1, [2, "… 2 more"]], True)
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]
    assert "… 1 more" in as_json(deep)
    assert json.loads(as_json(deep))


def test_long_texts() -> None:
    """A text and bytes are cut where they are too long, and all together have a bound."""
    assert cut(["x" * 10], string=4) == (["xxxx… 6 more"], True)
    assert cut([b"xxxxxx"], string=3) == (["eHh4… 3 more"], True)
    assert cut({"k" * 10: 1}, string=4) == ({"kkkk… 6 more": 1}, True)
    assert cut(["x" * 10] * 5, characters=15) == (["x" * 10, "x" * 10, "… 3 more"], True)
    assert cut("x" * 10, characters=4) == ("xxxx… 6 more", True)


def test_nothing_is_left_out_for_a_program() -> None:
    """An answer in which nothing is met twice is whole, however large; UNBOUNDED is everything."""
    for answer in (list(range(20_000)), ["x" * 100] * 20_000, {"a": [{"b": "y" * 2_000_000}]}):
        assert json.loads(as_json(answer)) == answer
    whole = "".join(Rendering(nested(12), UNBOUNDED).pieces())
    assert json.loads(whole) == nested(12)


class Rude:
    """An object whose repr must not be asked for."""

    def __repr__(self) -> str:
        raise AssertionError("asked")


def test_objects() -> None:
    """An object is told by its class, and its repr is not asked for."""
    assert json.loads(as_json([Rude()])) == [f"<{__name__}.Rude object>"]


@pytest.mark.parametrize("answer", [NASTY, [NASTY], {NASTY: NASTY}, {"a": {(NASTY,): 1}}])
def test_control_characters(answer: Any) -> None:
    """No control character but the line breaks of the JSON itself is printed; none is lost."""
    text = as_json(answer)
    assert text.replace("\n", "").isprintable()
    text.encode()
    if not isinstance(answer, dict):
        assert json.loads(text) == answer


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ("a b", "a b"),
        ("a\n\tb\x1b[2J\r", "a\n\tb\\x1b[2J\\r"),
        ("\u2028\x07\ud800", "\\u2028\\x07\\ud800"),
        (Decimal("1.10"), "1.10"),
        (datetime.date(2026, 1, 2), "2026-01-02"),
        (5, None),
        (None, None),
        (["a"], None),
    ],
)
def test_texts(answer: Any, text: str | None) -> None:
    """A text has no quotes; line breaks and tabs are kept, other control characters are escaped."""
    assert Rendering(answer).text() == text
