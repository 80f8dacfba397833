"""What ``pb serve MODULE:NAME`` makes of each kind of object."""

from __future__ import annotations

import sys
from typing import Any

import pytest

import broker
from broker.commands.target import WrongTarget, load, served
from broker.login.portal_logins import PortalLogins
from cred.checkers import AllowAnonymousAccess
from cred.portal import Portal


class Shop(broker.Root):
    """A root with something inside."""

    inner = broker.Root()


class Realm:
    """A realm as Twisted's programs have it."""

    def requestAvatar(self, avatar_id: Any, mind: Any, *interfaces: Any) -> Any:
        """Make nobody."""
        raise NotImplementedError


@pytest.fixture(autouse=True)
def module(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this module be found by the name ``shop``."""
    monkeypatch.setitem(sys.modules, "shop", sys.modules[__name__])


def test_load() -> None:
    """A name may have dots, for what is inside a class."""
    assert load("shop:Shop") is Shop
    assert load("shop:Shop.inner") is Shop.inner


def test_without_checkers() -> None:
    """A Root or a Portal is served as it is; a class of Root is called first."""
    root, portal = Shop(), Portal(Realm())
    assert served(root, [], "x") is root
    assert served(portal, [], "x") is portal
    assert isinstance(served(Shop, [], "x"), Shop)


@pytest.mark.parametrize("found", [Realm, Realm(), Shop(), Shop, lambda name, mind: Shop()])
def test_with_checkers(found: Any) -> None:
    """A realm, a Root or a function stands behind a portal with these checkers."""
    checker = AllowAnonymousAccess()
    portal = served(found, [checker], "x")
    assert isinstance(portal, Portal)
    assert set(portal.checkers.values()) == {checker}


def test_a_portal_with_checkers() -> None:
    """A Portal has its own checkers."""
    with pytest.raises(WrongTarget) as caught:
        served(Portal(Realm()), [AllowAnonymousAccess()], "shop:portal")
    with pytest.raises(WrongTarget, match="is a Portal and has its own checkers"):
        served(PortalLogins(Portal(Realm())), [AllowAnonymousAccess()], "shop:logins")
    assert str(caught.value) == ("shop:portal is a Portal and has its own checkers: omit --checker")


@pytest.mark.parametrize("found", [Realm, lambda name, mind: Shop()])
def test_a_realm_without_checkers(found: Any) -> None:
    """Who makes avatars needs to know for whom."""
    with pytest.raises(WrongTarget, match="makes avatars for users who log in: set --checker"):
        served(found, [], "shop:realm")
