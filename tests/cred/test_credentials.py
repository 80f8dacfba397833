"""cred.credentials: the published kinds of credentials."""

from __future__ import annotations

from typing import Any

import pytest
import twisted.cred.credentials
from zope.interface import providedBy
from zope.interface.interface import Method
from zope.interface.verify import verifyObject

from cred import credentials as ours
from cred.credentials import (
    Anonymous,
    IAnonymous,
    ICredentials,
    IUsernameHashedPassword,
    IUsernamePassword,
    UsernameHashedPassword,
    UsernamePassword,
)


@pytest.mark.parametrize(
    ("credentials", "interface"),
    [
        (UsernamePassword("alice", "secret"), IUsernamePassword),
        (UsernameHashedPassword("alice", b"\x01\x02"), IUsernameHashedPassword),
        (Anonymous(), IAnonymous),
    ],
)
def test_class_provides_its_interface_alone(credentials: object, interface: Any) -> None:
    """Each class of credentials provides, and fulfils, one kind, by which its checker is found."""
    assert list(providedBy(credentials)) == [interface]
    assert verifyObject(interface, credentials)


@pytest.mark.parametrize(
    "name", ["IAnonymous", "IUsernameHashedPassword", "IUsernamePassword", "ICredentials"]
)
def test_interfaces_ask_what_the_published_ones_ask(name: str) -> None:
    """An interface has the methods of Twisted's: what was written for that one fits ours."""
    mine, theirs = getattr(ours, name), getattr(twisted.cred.credentials, name)
    assert mine.isOrExtends(ICredentials)
    assert _methods(mine) == _methods(theirs)


def _methods(interface: Any) -> dict[str, tuple[str, ...]]:
    return {
        name: tuple(member.positional)
        for name, member in interface.namesAndDescriptions(all=True)
        if isinstance(member, Method)
    }


@pytest.mark.parametrize("shown", ["sésame", "sésame".encode()])
@pytest.mark.parametrize("correct", ["sésame", "sésame".encode()])
def test_password_matches_in_either_form(shown: str | bytes, correct: str | bytes) -> None:
    """The right password matches, whichever of the two sides has it as str."""
    assert UsernamePassword("alice", shown).checkPassword(correct) is True
    assert UsernameHashedPassword("alice", shown).checkPassword(correct) is True


@pytest.mark.parametrize("correct", ["other", b"other", b"", b"secre", b"secrets", None])
def test_wrong_password_does_not_match(correct: Any) -> None:
    """Any other password is False, and so is the None of a user who has none."""
    assert UsernamePassword("alice", b"secret").checkPassword(correct) is False
    assert UsernameHashedPassword("alice", b"secret").checkPassword(correct) is False


def test_none_never_matches_none() -> None:
    """Credentials without a password do not match a user without one."""
    nothing: Any = None
    assert UsernamePassword("alice", nothing).checkPassword(nothing) is False


def test_attributes_are_kept_as_given() -> None:
    """User name, password and hash can be read back in the form in which they were given."""
    clear, hashed = UsernamePassword("alice", b"secret"), UsernameHashedPassword(b"bob", "hash")
    assert (clear.username, clear.password) == ("alice", b"secret")
    assert (hashed.username, hashed.hashed) == (b"bob", "hash")


def test_repr_hides_the_secret() -> None:
    """Credentials that end up in a log do not show their password or hash."""
    assert "secret" not in repr(UsernamePassword("alice", "secret"))
    assert "secret" not in repr(UsernameHashedPassword("alice", "secret"))
