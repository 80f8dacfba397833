"""What serve, connect, cred and their kin are given: what cannot work is refused at once."""

from __future__ import annotations

import datetime
import math
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.certificates import Authority

import broker
from broker import pb
from broker.core.policy import Policy
from broker.errors import ConfigError, WrongType
from broker.flavors.subscribers import Subscribers
from broker.given import check_given
from broker.net.tls.settings import TLS
from cred.checkers import AllowAnonymousAccess
from cred.credentials import Anonymous, UsernamePassword
from cred.portal import IRealm, Portal

LOOPBACK = "pb://127.0.0.1:0"
NOW, DAY = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)


class Echo(broker.Root):
    """Is served."""


class Realm:
    """Has no avatars."""

    def requestAvatar(self, avatarId: Any, mind: Any, *interfaces: Any) -> Any:
        """Refuse."""
        raise NotImplementedError


def function(avatar_id: Any, mind: Any) -> broker.Avatar:
    """Be what a realm is made of."""
    return broker.Avatar()


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "served class": (
        lambda: broker.serve(Echo, LOOPBACK),
        "a server serves an object, not the class Echo: write Echo()",
    ),
    "list of addresses": (
        lambda: broker.serve(Echo(), [LOOPBACK]),
        "an address is text, not list; give several one by one;",
    ),
    "address in bytes": (
        lambda: broker.serve(Echo(), b"pb://127.0.0.1:0"),
        "an address is text, not bytes;",
    ),
    "port": (lambda: broker.serve(Echo(), 8787), "an address is text, not int;"),
    "address of connect": (lambda: broker.connect(5), "an address is text, not int;"),
    "policy of serve": (
        lambda: broker.serve(Echo(), policy={"max_calls": 1}),
        "policy= is a Policy, such as STRICT.but(max_calls=10), not dict",
    ),
    "policy of connect": (
        lambda: broker.connect(LOOPBACK, policy=Policy),
        "policy= is a Policy, such as STRICT.but(max_calls=10), not the class Policy",
    ),
    "tls": (
        lambda: broker.serve(Echo(), "pbs://127.0.0.1:0", tls=ssl.create_default_context()),
        "tls= is what TLS.server(certificate, key) or TLS.client() returns, not SSLContext",
    ),
    "tuple for a login": (
        lambda: broker.connect(LOOPBACK, ("alice", "secret")),
        "tuple is not credentials of cred.credentials: give UsernamePassword(name, password)",
    ),
    "class for a login": (
        lambda: broker.connect(LOOPBACK, Anonymous),
        "credentials are an object, not the class Anonymous: write Anonymous(…)",
    ),
    "text for a login": (
        lambda: broker.connect(LOOPBACK, "alice"),
        "str is not credentials of cred.credentials",
    ),
    "realm of a list": (lambda: broker.realm([]), "realm takes a function of avatar id and mind,"),
    "portal of a function": (
        lambda: Portal(function, [AllowAnonymousAccess()]),
        "a realm is an object with requestAvatar, not the function function:"
        " write Portal(broker.realm(function), …)",
    ),
    "portal of a lambda": (
        lambda: Portal(lambda avatar_id, mind: None),
        "a realm is an object with requestAvatar, not the function <lambda>:",
    ),
    "portal of a class": (
        lambda: Portal(Realm, [AllowAnonymousAccess()]),
        "a realm is an object with requestAvatar, not the class Realm: write Realm()",
    ),
    "portal of a root": (
        lambda: Portal(Echo(), [AllowAnonymousAccess()]),
        "a realm is an object with requestAvatar, not Echo",
    ),
    "portal of nothing": (
        lambda: Portal(None),
        "a realm is an object with requestAvatar, not NoneType",
    ),
    "a checker without a list": (
        lambda: Portal(Realm(), AllowAnonymousAccess()),
        "checkers are given in a list, as in [checker], not AllowAnonymousAccess",
    ),
    "the class of a checker": (
        lambda: Portal(Realm(), [AllowAnonymousAccess]),
        "a checker is an object with requestAvatarId and credentialInterfaces,"
        " not the class AllowAnonymousAccess: write AllowAnonymousAccess()",
    ),
    "no checker": (
        lambda: Portal(Realm(), [None]),
        "a checker is an object with requestAvatarId and credentialInterfaces, not NoneType",
    ),
    "no checker registered": (
        lambda: Portal(Realm()).registerChecker(object(), IRealm),
        "a checker is an object with requestAvatarId, not object",
    ),
    "subscriber": (
        lambda: Subscribers().add(None),
        "a subscriber is a RemoteReference or a RemoteCacheObserver, not NoneType",
    ),
    "subscriber of this side": (
        lambda: Subscribers().add(broker.Referenceable()),
        "a subscriber is a RemoteReference or a RemoteCacheObserver, not Referenceable",
    ),
    "factory of a class": (
        lambda: pb.PBServerFactory(Echo),
        "a server serves an object, not the class Echo: write Echo()",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_wrong_types(name: str) -> None:
    """What is of the wrong type is a ConfigError and a TypeError where it is given."""
    give, text = REFUSED[name]
    with pytest.raises(WrongType) as caught:
        give()
    assert str(caught.value).startswith(text)
    assert isinstance(caught.value, ConfigError)
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize("target", [None, Realm(), function, [Echo()]])
def test_neither_root_nor_portal(target: Any) -> None:
    """What cannot be served is refused by ``serve`` itself, and by a PBServerFactory."""
    for give in (broker.serve, pb.PBServerFactory):
        with pytest.raises(TypeError, match=r"^a server serves a Root or a Portal, not "):
            give(target)


@pytest.mark.parametrize("timeout", [0, -1, math.nan, -math.inf, "3", None, True])
def test_timeouts(timeout: Any) -> None:
    """A time to connect in is a positive number."""
    with pytest.raises(ConfigError, match="timeout="):
        broker.connect(LOOPBACK, timeout=timeout)


@pytest.mark.parametrize("seconds", ["3", None, math.nan, True])
def test_time_limits(seconds: Any) -> None:
    """A time limit of calls is a number."""
    with pytest.raises(ConfigError, match="give a number of seconds"):
        broker.timeout(seconds)


def test_a_portal_without_checkers() -> None:
    """It may be made without the argument, but not be served before a checker is registered."""
    for empty in ([], iter(()), {}):
        with pytest.raises(ConfigError, match="a portal without checkers accepts no login"):
            Portal(Realm(), empty)
    for portal in (Portal(Realm()), Portal(Realm(), ())):
        with pytest.raises(ConfigError, match="this portal has no checker"):
            broker.serve(portal, LOOPBACK)
        factory = pb.PBServerFactory(portal)
        portal.registerChecker(AllowAnonymousAccess())
        broker.serve(portal, LOOPBACK).close()
        assert factory.root.portal.checkers


def test_what_is_right() -> None:
    """What fits is taken, also a class that itself provides an interface."""

    class Classwise:
        @staticmethod
        def requestAvatar(avatarId: Any, mind: Any, *interfaces: Any) -> Any:
            raise NotImplementedError

    from zope.interface import directlyProvides

    directlyProvides(Classwise, IRealm)
    Portal(Classwise, [AllowAnonymousAccess()])
    Portal(Realm(), iter([AllowAnonymousAccess()]))
    broker.connect(LOOPBACK, UsernamePassword("alice", "secret"), timeout=math.inf).close()
    check_given(Policy(), None)


def test_published_login() -> None:
    """A PBClientFactory fails a login with what is no credentials, before it is connected."""
    failed: list[Any] = []
    pb.PBClientFactory().login(("alice", "secret")).addErrback(failed.append)
    assert failed[0].check(TypeError)


@pytest.mark.parametrize(
    ("dates", "text"),
    [
        ({"not_after": NOW - DAY}, "expired on "),
        ({"not_before": NOW + DAY}, "is not valid before "),
    ],
)
def test_certificates(tmp_path: Path, dates: dict[str, Any], text: str) -> None:
    """A server's certificate that is not valid now is refused; a reload keeps the old one."""
    authority = Authority(tmp_path)
    bad, good = authority.issue(["a.example"], **dates), authority.issue(["a.example"])
    with pytest.raises(ConfigError, match=text):
        TLS.server(bad.certificate_path, bad.key_path)
    tls = TLS.server(good.certificate_path, good.key_path)
    before = tls._live.current()
    good.certificate_path.write_bytes(bad.certificate_path.read_bytes())
    good.key_path.write_bytes(bad.key_path.read_bytes())
    with pytest.raises(ConfigError, match=text):
        tls.reload()
    assert tls._live.current() is before


@pytest.mark.parametrize("drops", ["server", "client"])
def test_authorities(tmp_path: Path, drops: str) -> None:
    """Authorities of which none is valid now are refused; one that is valid is enough."""
    authority, pair = Authority(tmp_path), None
    pair = authority.issue(["a.example"])
    old = authority.issue(["old.example"], not_after=NOW - DAY)

    def trust(pem: bytes) -> TLS:
        if drops == "client":
            return TLS.client(ca=pem)
        return TLS.server(pair.certificate_path, pair.key_path, client_ca=pem)

    gone = old.certificate_path.read_bytes().split(b"-----END CERTIFICATE-----")[0]
    gone += b"-----END CERTIFICATE-----\n"
    with pytest.raises(ConfigError, match="expired on "):
        trust(gone)
    trust(gone + authority.ca_path.read_bytes())
