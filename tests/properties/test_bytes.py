"""Streams of expressions in pieces, and bytes that are not what they should be."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vectors import graphs, notation

import jelly
from jelly import codec
from jelly.errors import BananaError, DecodeError, LimitExceeded
from jelly.limits import Limits
from jelly.vocabulary import NONE_VOCABULARY, PB_VOCABULARY

MODEST = settings(max_examples=300, deadline=None, derandomize=True)

WORDS = [b"list", b"tuple", b"dictionary", b"set", b"reference", b"dereference", b"unicode"]
WORDS += [b"decimal", b"date", b"boolean", b"None", b"message", b"method"]
WORDS += [b"graphs.Plain", b"graphs.Point", b"graphs.Card", b"class", b"frozenset", b"timedelta"]
LEAVES = st.one_of(
    st.integers(-(2**448) + 1, 2**448 - 1),
    st.integers(0, 9),
    st.floats(allow_nan=False),
    st.binary(max_size=200),
    st.sampled_from(WORDS),
)
EXPRESSIONS = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=5), max_leaves=20)
TAGGED = st.recursive(
    LEAVES,
    lambda inner: st.tuples(st.sampled_from(WORDS), st.lists(inner, max_size=4)).map(
        lambda pair: [pair[0], *pair[1]]
    ),
    max_leaves=20,
)
VOCABULARIES = st.sampled_from([PB_VOCABULARY, NONE_VOCABULARY])
RECORDED = [
    bytes.fromhex(case["hex"])
    for file in ("jelly", "jelly_errors")
    for case in notation.load(file)
    if "hex" in case
]
CLASSES = graphs.make_classes(
    SimpleNamespace(
        Jellyable=jelly.Jellyable,
        Unjellyable=jelly.Unjellyable,
        Copyable=jelly.Jellyable,
        RemoteCopy=jelly.Unjellyable,
    )
)
REGISTRY = jelly.Registry()
for _cls in (CLASSES.Point, CLASSES.Card):
    REGISTRY.add_class(f"graphs.{_cls.__name__}".encode(), _cls)
SECURITY = jelly.SecurityOptions()
SECURITY.allowInstancesOf(graphs.Plain)
SMALL = Limits(max_expression=5_000, max_nodes=500, max_depth=20)


def reader_of(vocabulary: dict[bytes, int], limits: Limits) -> codec.Reader:
    """A new reader."""
    return codec.Reader(limits, vocabulary)


@given(st.lists(EXPRESSIONS, max_size=6), VOCABULARIES, st.data())
@MODEST
def test_pieces_make_no_difference(
    expressions: list[Any], vocabulary: dict[bytes, int], data: st.DataObject
) -> None:
    """However a stream is cut, the same expressions come out of it."""
    writer = codec.Writer(Limits(), vocabulary)
    stream = b"".join(writer.encode(expression) for expression in expressions)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=12).map(sorted))
    reader, received = reader_of(vocabulary, Limits()), []
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        reader.feed(stream[begin:end])
        received += reader.read()
    assert received == expressions
    assert reader.is_between_expressions


@given(st.lists(EXPRESSIONS, min_size=1, max_size=4), VOCABULARIES, st.integers(1, 3))
@MODEST
def test_one_byte_at_a_time(
    expressions: list[Any], vocabulary: dict[bytes, int], most: int
) -> None:
    """Bytes that come singly, read a few expressions at a time, are the same stream."""
    writer = codec.Writer(Limits(), vocabulary)
    reader, received = reader_of(vocabulary, Limits()), []
    for byte in b"".join(writer.encode(expression) for expression in expressions):
        reader.feed(bytes([byte]))
        while found := reader.read(most):
            received += found
    assert received == expressions


def unjelly(expression: Any) -> None:
    """Unjelly with some classes let in; only errors of the family may be raised."""
    with contextlib.suppress(DecodeError, LimitExceeded):
        jelly.Unjellier(SECURITY, registry=REGISTRY, limits=SMALL).unjellyFull(expression)


def take_in(data: bytes, vocabulary: dict[bytes, int], limits: Limits) -> None:
    """Read and unjelly all of it; only errors of the family may be raised."""
    reader = reader_of(vocabulary, limits)
    reader.feed(data)
    try:
        expressions = reader.read()
    except BananaError:
        return
    for expression in expressions:
        unjelly(expression)


@given(st.binary(max_size=300), VOCABULARIES)
@MODEST
def test_any_bytes_raise_only_our_errors(data: bytes, vocabulary: dict[bytes, int]) -> None:
    """Random bytes are expressions, or end as an error of jelly.errors."""
    take_in(data, vocabulary, SMALL)


@given(st.sampled_from(RECORDED), st.data())
@settings(MODEST, max_examples=1000)
def test_mutated_bytes_raise_only_our_errors(recorded: bytes, data: st.DataObject) -> None:
    """What Twisted wrote, with bytes changed, cut out or put in, raises nothing else either."""
    mutated = bytearray(recorded)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(mutated)))
        match data.draw(st.sampled_from(["change", "cut", "put", "copy"])):
            case "change" if at < len(mutated):
                mutated[at] = data.draw(st.integers(0, 255))
            case "cut":
                del mutated[at : at + data.draw(st.integers(1, 4))]
            case "put":
                mutated[at:at] = data.draw(st.binary(min_size=1, max_size=3))
            case "copy":
                mutated[at:at] = mutated[: data.draw(st.integers(1, 20))]
    take_in(bytes(mutated), PB_VOCABULARY, SMALL)


@given(TAGGED)
@settings(MODEST, max_examples=1000)
def test_any_expression_raises_only_our_errors(expression: Any) -> None:
    """Tags with fields that do not fit them are refused, whatever they are."""
    unjelly(expression)


def test_depth_in_bytes_is_refused() -> None:
    """Lists nested far beyond Python's own limit end at the limit on depth."""
    reader = reader_of(PB_VOCABULARY, Limits())
    reader.feed(b"\x02\x80\x01\x81" * 100_000)
    with pytest.raises(LimitExceeded, match="max_depth"):
        reader.read()


@pytest.mark.parametrize(
    "wrap",
    [
        lambda inner, number: [b"list", inner],
        lambda inner, number: [b"tuple", inner],
        lambda inner, number: [b"set", inner],
        lambda inner, number: [b"dictionary", [1, inner]],
        lambda inner, number: [b"dictionary", [inner, 1]],
        lambda inner, number: [b"reference", number, [b"list", inner]],
        lambda inner, number: [b"reference", number, inner],
        lambda inner, number: [b"graphs.Point", [b"dictionary", [b"x", inner]]],
        lambda inner, number: [b"graphs.Plain", inner],
        lambda inner, number: [b"method", b"method", inner, [b"class", b"graphs.Plain"]],
        lambda inner, number: [b"instance", [b"class", b"graphs.Plain"], inner],
    ],
)
def test_depth_in_expressions_raises_no_recursion_error(wrap: Any) -> None:
    """An expression however deep is taken, or refused with an error of jelly.errors."""
    expression: Any = 1
    for number in range(20_000):
        expression = wrap(expression, number)
    unjelly(expression)
