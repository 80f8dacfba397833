"""cred.credentials: the published kinds of credentials."""

from __future__ import annotations

from typing import Any

import pytest
import twisted.cred.credentials
from zope.interface import providedBy
from zope.interface.verify import verifyObject

from cred import cram, credentials, digest
from cred.credentials import (
    Anonymous,
    IAnonymous,
    ISSHPrivateKey,
    IUsernameHashedPassword,
    IUsernamePassword,
    SSHPrivateKey,
    UsernameHashedPassword,
    UsernamePassword,
)


@pytest.mark.parametrize(
    ("shown", "interface"),
    [
        (UsernamePassword("alice", "secret"), IUsernamePassword),
        (UsernameHashedPassword("alice", b"\x01\x02"), IUsernameHashedPassword),
        (Anonymous(), IAnonymous),
        (SSHPrivateKey("alice", "ssh-ed25519", b"key", b"data", None), ISSHPrivateKey),
    ],
)
def test_class_provides_its_interface_alone(shown: object, interface: Any) -> None:
    """Each class of credentials provides, and fulfils, one kind, by which its checker is found."""
    assert list(providedBy(shown)) == [interface]
    assert verifyObject(interface, shown)


def test_published_module_has_each_class() -> None:
    """Every class that twisted.cred.credentials defines is here, those with own modules too."""
    published = {
        name
        for name, value in vars(twisted.cred.credentials).items()
        if isinstance(value, type) and value.__module__ == "twisted.cred.credentials"
    }
    # Deprecated there: to read it off the module would warn.
    published.add("UsernameHashedPassword")
    ours = {name for name in credentials.__all__ if isinstance(getattr(credentials, name), type)}
    assert ours == published | {"ClientCertificate", "Scram", "Token"}
    for module in (cram, digest):
        for name in module.__all__:
            assert getattr(credentials, name) is getattr(module, name)


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


def test_ssh_key_keeps_what_it_is_given() -> None:
    """An SSH key carries five values, given by the published names, and judges none."""
    key = SSHPrivateKey(
        username=b"alice", algName=b"ssh-rsa", blob=b"key", sigData=b"data", signature=b"signature"
    )
    theirs = twisted.cred.credentials.SSHPrivateKey(
        b"alice", b"ssh-rsa", b"key", b"data", b"signature"
    )
    assert vars(key) == vars(theirs)
