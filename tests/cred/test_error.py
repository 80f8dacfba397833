"""cred.error: the published tree."""

from __future__ import annotations

import pytest
import twisted.cred.error

from cred import error

NAMES = [
    "LoginDenied",
    "LoginFailed",
    "Unauthorized",
    "UnauthorizedLogin",
    "UnhandledCredentials",
]


@pytest.mark.parametrize("name", NAMES)
def test_tree_is_the_published_one(name: str) -> None:
    """Each error has the ancestors, in the order, of Twisted's error of that name."""
    ours = [cls.__name__ for cls in getattr(error, name).__mro__]
    theirs = [cls.__name__ for cls in getattr(twisted.cred.error, name).__mro__]
    assert ours == theirs


def test_no_published_error_is_missing() -> None:
    """Every error that twisted.cred.error defines is here, and one of our own."""
    published = {
        name
        for name, value in vars(twisted.cred.error).items()
        if isinstance(value, type) and issubclass(value, Exception)
    }
    ours = {name for name in error.__all__ if isinstance(getattr(error, name), type)}
    assert published == set(NAMES)
    assert ours == published | {"LoginUnavailable"}


@pytest.mark.parametrize("name", NAMES)
def test_module_name_is_the_published_one_but_for_the_prefix(name: str) -> None:
    """Replacing the prefix is all that porting a dotted name takes."""
    cls = getattr(error, name)
    assert f"twisted.{cls.__module__}.{cls.__qualname__}" == f"twisted.cred.error.{name}"


def test_carries_its_text() -> None:
    """An error shows the text that it was made with, and none without."""
    assert str(error.LoginDenied("come back tomorrow")) == "come back tomorrow"
    assert str(error.UnauthorizedLogin()) == ""


def test_a_wrong_login_tells_its_reason_to_the_server_only() -> None:
    """The text of every wrong login is the same; its reason is an attribute, which is not sent."""
    one, other = error.wrong_login("unknown user"), error.wrong_login("wrong password")
    assert type(one) is type(other) is error.UnauthorizedLogin
    assert str(one) == str(other) == error.WRONG_LOGIN
    assert (one.reason, other.reason) == ("unknown user", "wrong password")
    assert error.UnauthorizedLogin("no").reason == ""
