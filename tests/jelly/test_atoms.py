"""A peer's words as text for messages and logs."""

from __future__ import annotations

import pytest

from jelly.atoms import text_of


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (b"echo", "echo"),
        ("echo", "echo"),
        (b"", ""),
        (b"a\nb\x00\xff", "a\\nb\\x00\\\\xff"),
        ("ü\u2028", "\\xfc\\u2028"),
        ("\ud800", "\\ud800"),
        (b"x" * 64, "x" * 64),
        (b"x" * 65, "x" * 61 + "..."),
        (b"x" * 1_000_000, "x" * 61 + "..."),
        ("\n" * 33, "\\n" * 30 + "\\..."),
        (5, "int"),
        ([b"x"], "list"),
        (None, "NoneType"),
    ],
)
def test_text_of(name: object, text: str) -> None:
    """Names become at most 64 printable ASCII characters; other values their type's name."""
    assert text_of(name) == text
    assert len(text) <= 64
    assert text.isascii()
    assert text.isprintable()
