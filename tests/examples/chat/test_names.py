"""The rules for passwords and texts; those for names and banners are tested with the model."""

import pytest

from examples.chat.errors import ChatError
from examples.chat.names import check_banner, check_password, check_text


@pytest.mark.parametrize("password", ["", "1234567", "x" * 1025, b"12345678", None])
def test_passwords_that_are_refused(password):
    """A password for a new user is a text of 8 to 1,024 characters."""
    with pytest.raises(ChatError):
        check_password(password)


def test_passwords():
    """The shortest and the longest one are taken as they are."""
    assert check_password("12345678") == "12345678"
    assert check_password(" " * 1024) == " " * 1024


def test_texts():
    """Only spaces at the ends go; other values than texts are refused."""
    assert check_text("  naïve 👩‍🚀 text ") == "naïve 👩‍🚀 text"
    for check in check_text, check_banner:
        with pytest.raises(ChatError):
            check(7)
