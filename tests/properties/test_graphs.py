"""Random graphs, with sharing and cycles, through jelly and banana, ours and Twisted's."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.spread import jelly as twisted_jelly
from vectors import graphs, recording

import jelly
from jelly import codec
from jelly.limits import Limits
from jelly.vocabulary import NONE_VOCABULARY, PB_VOCABULARY

MODEST = settings(max_examples=500, deadline=None, derandomize=True)

HASHABLE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.text(max_size=5),
    st.binary(max_size=5),
    st.dates(),
)
ATOMS = st.one_of(
    HASHABLE,
    st.integers(-(2**448) + 1, 2**448 - 1),
    st.floats(allow_nan=False),
    st.sampled_from([b"list", b"None", "list", b"\x80", ""]),
    # The second of two equal hours of a clock change is not told apart on the wire.
    st.datetimes().map(lambda moment: moment.replace(fold=0)),
    st.times().map(lambda moment: moment.replace(fold=0)),
    st.timedeltas(),
    st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-9999, max_value=9999),
).map(lambda atom: Decimal("0.000") if isinstance(atom, Decimal) and not atom else atom)


@st.composite
def graph(draw: Callable[..., Any]) -> Any:
    """Nodes that are made first and filled later, so that any may hold any.

    Lists, dicts and instances may be filled with every node; a tuple holds only what was there
    before it, lists among them, which is how cycles go through tuples.
    """
    nodes: list[Any] = []
    for _ in range(draw(st.integers(1, 8))):
        kind = draw(st.sampled_from(["list", "list", "dict", "tuple", "set", "frozenset", "plain"]))
        if kind == "list":
            nodes.append([])
        elif kind == "dict":
            nodes.append({})
        elif kind == "plain":
            nodes.append(graphs.Plain())
        elif kind == "tuple":
            parts = draw(st.lists(part_of(nodes), min_size=1, max_size=4))
            nodes.append(tuple(parts))
        else:
            make = set if kind == "set" else frozenset
            nodes.append(make(draw(st.lists(HASHABLE, max_size=4))))
    for node in nodes:
        fill(draw, node, nodes)
    return draw(st.sampled_from(nodes))


def part_of(nodes: list[Any]) -> Any:
    """An atom, or one of the nodes."""
    return st.one_of(ATOMS, st.sampled_from(nodes)) if nodes else ATOMS


def fill(draw: Callable[..., Any], node: Any, nodes: list[Any]) -> None:
    """Give a node its parts."""
    if isinstance(node, list):
        node.extend(draw(st.lists(part_of(nodes), max_size=4)))
    elif isinstance(node, dict):
        node.update(draw(st.dictionaries(HASHABLE, part_of(nodes), max_size=4)))
    elif isinstance(node, graphs.Plain):
        names = st.sampled_from(["x", "y", "größe"])
        node.__dict__.update(draw(st.dictionaries(names, part_of(nodes), min_size=1, max_size=3)))


def through_banana(expression: Any, vocabulary: dict[bytes, int]) -> Any:
    """An expression, written and read."""
    reader = codec.Reader(Limits(), vocabulary)
    reader.feed(codec.Writer(Limits(), vocabulary).encode(expression))
    (back,) = reader.read()
    return back


@given(graph())
@MODEST
def test_a_graph_comes_back_as_it_was(value: Any) -> None:
    """Types, values, sharing and cycles are the same on the other side, in both dialects."""
    expression = jelly.jelly(value, jelly.DummySecurityOptions())
    for vocabulary in (PB_VOCABULARY, NONE_VOCABULARY):
        back = jelly.unjelly(through_banana(expression, vocabulary), jelly.DummySecurityOptions())
        assert graphs.portrait(back) == graphs.portrait(value)


@given(graph())
@MODEST
def test_bytes_are_those_of_twisted(value: Any) -> None:
    """For any graph, in both dialects, our bytes are Twisted's."""
    ours, theirs = jelly.jelly(value, jelly.DummySecurityOptions()), twisted_jelly.jelly(value)
    assert repr(ours) == repr(theirs)
    for name, vocabulary in (("pb", PB_VOCABULARY), ("none", NONE_VOCABULARY)):
        data = codec.Writer(Limits(), vocabulary).encode(ours)
        assert data == recording.encode(theirs, name)


@given(graph())
@MODEST
def test_each_reads_what_the_other_wrote(value: Any) -> None:
    """Twisted makes the same graph of our expression, and we of Twisted's."""
    portrait = graphs.portrait(value)
    ours = jelly.jelly(value, jelly.DummySecurityOptions())
    assert graphs.portrait(twisted_jelly.unjelly(ours)) == portrait
    theirs = twisted_jelly.jelly(value)
    assert graphs.portrait(jelly.unjelly(theirs, jelly.DummySecurityOptions())) == portrait
