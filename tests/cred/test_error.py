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
    """Every error that twisted.cred.error defines is here, and no other."""
    published = {
        name
        for name, value in vars(twisted.cred.error).items()
        if isinstance(value, type) and issubclass(value, Exception)
    }
    ours = {name for name in error.__all__ if isinstance(getattr(error, name), type)}
    assert ours == published == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_module_name_is_the_published_one_but_for_the_prefix(name: str) -> None:
    """Replacing the prefix is all that porting a dotted name takes."""
    cls = getattr(error, name)
    assert f"twisted.{cls.__module__}.{cls.__qualname__}" == f"twisted.cred.error.{name}"


def test_carries_its_text() -> None:
    """An error shows the text that it was made with, and none without."""
    assert str(error.LoginDenied("come back tomorrow")) == "come back tomorrow"
    assert str(error.UnauthorizedLogin()) == ""
