"""Names: topics and patterns, and which matches, covers and overlaps which."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.topics.names import Patterns, covers, is_pattern, is_topic, matches, overlap

TOKENS = st.sampled_from(["a", "b", "c"])
TOPICS = st.lists(TOKENS, min_size=1, max_size=4).map(".".join)
PATTERNS = st.builds(
    lambda tokens, rest: ".".join([*tokens, ">"] if rest or not tokens else tokens),
    st.lists(st.sampled_from(["a", "b", "*"]), max_size=3),
    st.booleans(),
)


def brute(pattern: str, topic: str) -> bool:
    """Match by the definition, token by token."""
    own, names = pattern.split("."), topic.split(".")
    if own[-1] == ">":
        own = own[:-1]
        if len(names) <= len(own):
            return False
        names = names[: len(own)]
    return len(own) == len(names) and all(
        one in ("*", name) for one, name in zip(own, names, strict=True)
    )


@pytest.mark.parametrize("name", ["a", "prices.A", "a-b_C.9", ".".join("a" * 16), "x" * 64])
def test_topics(name: str) -> None:
    """Tokens of letters, digits, - and _ are a topic, and so a pattern."""
    assert is_topic(name) and is_pattern(name)


@pytest.mark.parametrize(
    "name",
    ["", ".", "a.", ".a", "a..b", "é", "a b", "a\n", "x" * 65, ".".join("a" * 17), 1, None, b"a"],
)
def test_other_values(name: object) -> None:
    """Other values are neither a topic nor a pattern."""
    assert not is_topic(name) and not is_pattern(name)


@pytest.mark.parametrize("name", ["*", ">", "a.*", "*.a", "a.>", "*.*.>"])
def test_patterns(name: str) -> None:
    """A pattern with * or > is no topic."""
    assert is_pattern(name) and not is_topic(name)


@pytest.mark.parametrize(
    "name", ["a*", ">.a", "a>", "**", "a.>.b", "a.>>", ".".join("a" * 16) + ".>"]
)
def test_no_patterns(name: str) -> None:
    """* and > are whole tokens, and > is the last."""
    assert not is_pattern(name)


@pytest.mark.parametrize(
    ("pattern", "topic", "expected"),
    [
        ("foo", "foo", True),
        ("foo", "bar", False),
        ("foo.*", "foo.bar", True),
        ("foo.*", "foo", False),
        ("foo.*", "foo.bar.baz", False),
        ("foo.>", "foo.bar", True),
        ("foo.>", "foo.bar.baz", True),
        ("foo.>", "foo", False),
        ("*.*.baz", "foo.bar.baz", True),
        (">", "foo.bar", True),
    ],
)
def test_the_table_of_nats(pattern: str, topic: str, expected: bool) -> None:
    """Patterns match as those of NATS do."""
    assert matches(pattern, topic) is expected


@given(PATTERNS, TOPICS)
def test_matching(pattern: str, topic: str) -> None:
    """A pattern matches as its definition says, alone and among others."""
    assert matches(pattern, topic) is brute(pattern, topic)
    among: Patterns[str] = Patterns()
    among.put(pattern, pattern)
    among.put("other", "other")
    assert (pattern in among.matching(topic)) is brute(pattern, topic)
    among.remove(pattern)
    assert among.matching(topic) == []
    assert len(among) == 1


@given(PATTERNS, PATTERNS, TOPICS)
def test_covering_and_overlap(one: str, other: str, topic: str) -> None:
    """What a covered pattern matches is allowed; patterns that match one topic overlap."""
    if covers(one, other) and brute(other, topic):
        assert brute(one, topic)
    if brute(one, topic) and brute(other, topic):
        assert overlap(one, other) and overlap(other, one)


def test_a_whole_pattern_is_covered_by_one() -> None:
    """A pattern is not covered by the topics that it matches."""
    assert not covers("prices.A", "prices.*")
    assert not covers("prices.*", "prices.>")
    assert covers("prices.>", "prices.*.b")
    assert not overlap("a.*", "b.>")
