"""Text that a peer has had a part in becomes one printable line."""

from __future__ import annotations

import sys

import pytest
from support.effort import units

from jelly.printable import printable

HOSTILE = "a\nb\x1b[31m\u2028\u2029\x07\x85\x9b\u202e\u2066\ud800\x00\r\t\u200b\ufeff\U000e0001"


@pytest.mark.parametrize("is_ascii", [True, False])
def test_hostile(is_ascii: bool) -> None:
    """Nothing that moves a cursor, ends a line or turns text around stays as it was."""
    text = printable(HOSTILE, 1000, is_ascii=is_ascii)
    assert text.isprintable()
    assert text.startswith("a\\nb\\x1b[31m\\u2028\\u2029\\x07\\x85\\x9b\\u202e\\u2066\\ud800\\x00")


def test_every_character() -> None:
    """Whatever the character, the result is printable and can be encoded."""
    for start in range(0, sys.maxunicode, 4096):
        text = "".join(map(chr, range(start, min(start + 4096, sys.maxunicode + 1))))
        for is_ascii in (True, False):
            shown = printable(text, 100_000, is_ascii=is_ascii)
            assert shown.isprintable()
            shown.encode()
            assert not is_ascii or shown.isascii()


@pytest.mark.parametrize(
    ("text", "name", "sentence"),
    [
        ("Größe", "Gr\\xf6\\xdfe", "Größe"),
        ("C:\\new", "C:\\\\new", "C:\\new"),
        ("Größe".encode(), "Gr\\\\xc3\\\\xb6\\\\xc3\\\\x9fe", "Größe"),
        (b"\xff\n", "\\\\xff\\n", "\\xff\\n"),
        (5, "int", "int"),
    ],
)
def test_names_and_sentences(text: object, name: str, sentence: str) -> None:
    """Names become ASCII; sentences keep the letters of their language."""
    assert printable(text) == name
    assert printable(text, is_ascii=False) == sentence


@pytest.mark.parametrize(
    "text", ["x" * 15_000_000, "\n" * 15_000_000, b"\xff" * 15_000_000, "漢" * 99]
)
def test_bounds(text: str | bytes) -> None:
    """The result has at most so many bytes; only the beginning of a long text is read."""

    def show() -> None:
        for most in (3, 64, 100):
            for is_ascii in (True, False):
                shown = printable(text, most, is_ascii=is_ascii)
                assert len(shown.encode()) <= most
                assert shown.endswith("...")

    assert units(show, 2) <= 2
