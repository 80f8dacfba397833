"""broker.commands.wording: errors in the words of the command line."""

from __future__ import annotations

import pytest

from broker.commands.wording import LONGEST_TEXT, OPTIONS, in_words, shown
from broker.config_error import ConfigError


@pytest.mark.parametrize("fix", OPTIONS)
def test_a_fix_is_told_by_its_options(fix: str) -> None:
    """The part of the text that names a setting of Python names the options instead."""
    error = ConfigError("no tls: pass tls=…, or it fails")
    error.fix, error.parts = fix, ("no tls: ", ", or it fails")
    assert in_words(error) == f"no tls: {OPTIONS[fix]}, or it fails"


def test_other_errors() -> None:
    """Other errors are told by their text in one line, or by their type if they have none."""
    assert in_words(ValueError("two\nlines")) == "two\\nlines"
    assert in_words(KeyboardInterrupt()) == "KeyboardInterrupt"


def test_text_of_a_peer() -> None:
    """Text is printable and no longer than allowed; letters of any script stay."""
    assert shown("\x1b[2J日本\u202e") == "\\x1b[2J日本\\u202e"
    assert len(shown("é" * LONGEST_TEXT).encode()) <= LONGEST_TEXT
    assert len(shown("x" * 100, 20).encode()) <= 20
