"""The quick path of reading: it makes of all bytes what the reader of expressions makes of them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.core.wire import messages
from broker.core.wire.banana import BananaReader
from broker.core.wire.conversion import with_values
from broker.core.wire.expressions import parse
from broker.core.wire.plain_banana import longest_string, read_plain, shapes_of
from jelly.codec import Writer
from jelly.errors import ProtocolError
from jelly.limits import Limits
from jelly.vocabulary import NONE_VOCABULARY, PB_VOCABULARY

VOCABULARIES = [PB_VOCABULARY, NONE_VOCABULARY]

GOOD_NUMBERS = st.sampled_from([0, 1, 127, 128, 2**14, 2**21, 2**31 - 1, 2**31, 2**63 - 1])
GOOD_WORDS = st.sampled_from([b"root", b"echo", b"m" * 127, b"unicode"])
GOOD_SCALARS: st.SearchStrategy[Any] = st.one_of(
    GOOD_NUMBERS,
    st.sampled_from([-1, -200, 1.5, b"", b"message", b"x" * 300, [b"None"], [b"None"]]),
    st.sampled_from([b"", b"hello", "é".encode(), b"y" * 200]).map(lambda word: [b"unicode", word]),
)
GOOD: st.SearchStrategy[Any] = st.one_of(
    st.tuples(
        st.just(b"message"),
        GOOD_NUMBERS,
        st.one_of(GOOD_NUMBERS, GOOD_WORDS),
        GOOD_WORDS,
        st.sampled_from([0, 1]),
        st.lists(GOOD_SCALARS, max_size=4).map(lambda items: [b"tuple", *items]),
        st.just([b"dictionary"]),
    ).map(list),
    st.tuples(
        st.just(b"answer"),
        GOOD_NUMBERS,
        GOOD_SCALARS | st.lists(GOOD_SCALARS, max_size=4).map(lambda items: [b"tuple", *items]),
    ).map(list),
)
BAD = st.sampled_from(
    [
        2**63, -1, 128, 129, b"\xff", b"\x01\x81", b"x\x82", b"x" * 128, b"x" * 129, b"tuple",
        [b"None", 1], [b"unicode"], [b"unicode", 1], [b"unicode", b"\xff"], [b"boolean", 1], [],
        [b"list"], [b"dictionary"], [b"dictionary", [b"k", 1]], [b"tuple", [b"tuple"]], 2, 1.5,
        [b"tuple", *[1] * 32], [b"tuple", *[1] * 33], [b"tuple", []],
        b"answer", b"cachemessage", b"error",
    ]
)  # fmt: skip


@st.composite
def spoilt(draw: st.DrawFn) -> Any:
    """A message, one field of which is another one."""
    message = draw(GOOD)
    message[draw(st.integers(0, len(message) - 1))] = draw(BAD)
    return message


MESSAGES = st.one_of(GOOD, GOOD, spoilt(), st.just([b"uncache", 1]))


def outcome(
    reader: BananaReader, pieces: list[bytes], most: int, *, is_late: bool = False
) -> list[Any]:
    """What a reader makes of pieces: the messages, and the error at the end.

    With ``is_late``, further pieces come while there are messages to read.
    """
    inbox: list[Any] = []
    try:
        for number, piece in enumerate(pieces, 1):
            has_more = reader.receive(piece, inbox, most)
            while has_more and (number == len(pieces) or not is_late):
                has_more = reader.receive(b"", inbox, most)
    except ProtocolError as error:
        return [*map(repr, inbox), type(error), str(error)]
    return [*map(repr, inbox), reader.pending]


def in_general(limits: Limits, vocabulary: Any) -> BananaReader:
    """A reader without the quick path."""

    def make(expression: Any) -> messages.Message:
        return with_values(parse(expression))

    return BananaReader(limits, make=make, vocabulary=vocabulary)


LIMITS = [
    Limits(), Limits(max_string=126), Limits(max_string=128), Limits(max_depth=2),
    Limits(max_nodes=20), Limits(max_list=7), Limits(max_expression=100), Limits(max_prefix=2),
    Limits(max_expression=13_000), Limits(max_nodes=128, max_list=128, max_prefix=9, max_depth=3),
]  # fmt: skip


@settings(max_examples=300)
@given(st.data())
def test_the_quick_path_makes_the_same(data: Any) -> None:
    """Messages in any pieces, also with a wrong byte, are the same without the quick path.

    So are the error, and the number of bytes that wait.
    """
    vocabulary = data.draw(st.sampled_from(VOCABULARIES))
    limits = data.draw(st.sampled_from(LIMITS)) if data.draw(st.booleans()) else Limits()
    write = Writer(Limits(), vocabulary).encode
    found = bytearray(b"".join(map(write, data.draw(st.lists(MESSAGES, min_size=1, max_size=5)))))
    if data.draw(st.integers(0, 3)) == 3:
        found[data.draw(st.integers(0, len(found) - 1))] = data.draw(st.integers(0, 255))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(found)), max_size=3)))
    pieces = [bytes(found[start:end]) for start, end in pairwise([0, *cuts, len(found)])]
    most = data.draw(st.sampled_from([-1, 1, 2]))
    is_late = data.draw(st.booleans())
    quick, general = BananaReader(limits, vocabulary=vocabulary), in_general(limits, vocabulary)
    made = outcome(general, pieces, most, is_late=is_late)
    assert outcome(quick, pieces, most, is_late=is_late) == made


def plain(data: bytes, vocabulary: Any, limits: Limits | None = None) -> tuple[list[Any], int]:
    """The messages that the quick path finds, and where it stops."""
    found: list[Any] = []
    shapes, longest = shapes_of(vocabulary), longest_string(limits or Limits())
    return found, read_plain(data, 0, shapes, longest, -1, found)


SHORT = [
    ([b"message", 3, b"root", b"m", 1, [b"tuple"], [b"dictionary"]],
     messages.PlainCall(3, b"root", "m", (), {})),
    ([b"message", 2**40, 5, b"m", 0, [b"tuple", 1, [b"unicode", b"x" * 200]], [b"dictionary"]],
     messages.PlainSend(2**40, 5, "m", (1, "x" * 200), {})),
    ([b"message", 3, 2**20, b"", 1, [b"tuple", -5, 1.5, b"b", [b"None"]], [b"dictionary"]],
     messages.PlainCall(3, 2**20, "", (-5, 1.5, b"b", None), {})),
    ([b"answer", 300, [b"unicode", "é".encode()]], messages.PlainAnswer(300, "é")),
    ([b"answer", 3, [b"tuple", 1, b"tuple"]], messages.PlainAnswer(3, (1, b"tuple"))),
    ([b"answer", 3, [b"None"]], messages.PlainAnswer(3, None)),
]  # fmt: skip


@pytest.mark.parametrize("vocabulary", VOCABULARIES, ids=["pb", "none"])
def test_what_the_quick_path_takes(vocabulary: Any) -> None:
    """It takes short messages, and stops at any other, and at one that is not complete."""
    write = Writer(Limits(), vocabulary).encode
    pieces = [write(expression) for expression, _ in SHORT]
    data = b"".join(pieces)
    made = [message for _, message in SHORT]
    assert plain(data, vocabulary) == (made, len(data))
    assert plain(data + write([b"answer", 3, [b"list"]]) + data, vocabulary) == (made, len(data))
    assert plain(data[:-1], vocabulary) == (made[:-1], len(data) - len(pieces[-1]))
    for size in range(len(pieces[2])):
        assert plain(pieces[2][:size], vocabulary) == ([], 0)


def test_names_have_their_lengths() -> None:
    """The first digit of what follows a name is not taken for its last letter."""
    write = Writer(Limits(), PB_VOCABULARY).encode
    call = [b"message", 3, b"root", b"m", 1, [b"tuple"], [b"dictionary"]]
    data = write(call)
    assert plain(data, PB_VOCABULARY)[1] == len(data)
    assert plain(data.replace(b"\x04\x82root", b"\x05\x82root"), PB_VOCABULARY) == ([], 0)
    assert plain(data.replace(b"\x01\x82m", b"\x02\x82m"), PB_VOCABULARY) == ([], 0)
    for flag in (128, 129, 16_384):
        call[4] = flag
        assert plain(write(call), PB_VOCABULARY) == ([], 0)


@pytest.mark.parametrize("vocabulary", VOCABULARIES, ids=["pb", "none"])
def test_every_cut(vocabulary: Any) -> None:
    """Messages that are cut at any byte are what they are in one piece."""
    write = Writer(Limits(), vocabulary).encode
    data = b"".join(write(expression) for expression, _ in SHORT)
    made = [*(repr(message) for _, message in SHORT), 0]
    for cut in range(len(data) + 1):
        for most in (-1, 1):
            reader = BananaReader(Limits(), vocabulary=vocabulary)
            assert outcome(reader, [data[:cut], data[cut:]], most, is_late=True) == made


def test_limits_that_leave_no_room() -> None:
    """The quick path is off if a short message could exceed a limit."""
    for limits in (
        Limits(max_string=127), Limits(max_depth=2), Limits(max_nodes=127), Limits(max_list=127),
        Limits(max_expression=12_287), Limits(max_prefix=8),
    ):  # fmt: skip
        assert longest_string(limits) == -1
    assert longest_string(Limits(max_expression=12_288)) == 128
    assert longest_string(Limits(max_string=128, max_prefix=9, max_depth=3)) == 128
