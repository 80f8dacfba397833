"""cred.interfaces: the kinds of credentials."""

from __future__ import annotations

from typing import Any

import pytest
import twisted.cred.credentials
from zope.interface.interface import Method

from cred import credentials, interfaces
from cred.interfaces import ICredentials

# Of no published package: the logins that Perspective Broker has not.
OURS = {"IBearerToken", "IClientCertificate", "IScramProof"}


@pytest.mark.parametrize("name", sorted(set(interfaces.__all__) - OURS))
def test_interfaces_ask_what_the_published_ones_ask(name: str) -> None:
    """An interface has the methods of Twisted's: what was written for that one fits ours."""
    mine, theirs = getattr(interfaces, name), getattr(twisted.cred.credentials, name)
    assert mine.isOrExtends(ICredentials)
    assert _methods(mine) == _methods(theirs)


def test_published_module_has_each_interface() -> None:
    """Every interface that twisted.cred.credentials defines is in cred.credentials, the same."""
    published = {
        name
        for name, value in vars(twisted.cred.credentials).items()
        if name.startswith("I") and value.__module__ == "twisted.cred.credentials"
    }
    assert set(interfaces.__all__) == published | OURS
    for name in interfaces.__all__:
        assert getattr(credentials, name) is getattr(interfaces, name)


def _methods(interface: Any) -> dict[str, tuple[str, ...]]:
    return {
        name: tuple(member.positional)
        for name, member in interface.namesAndDescriptions(all=True)
        if isinstance(member, Method)
    }
