"""broker.mechanisms: which way in a client takes, and what it is told where there is none."""

from __future__ import annotations

import subprocess
import sys
from typing import Any, cast

import pytest
from support.memory import FakeTransport, ManualScheduler
from support.ways_in import WaysIn

import broker
import cred
from broker.connection.broker import Broker
from broker.core.policy import PUBLISHED, STRICT
from broker.flavors.referenceable import Root
from broker.login.mechanisms import MECHANISMS
from broker.login.mechanisms.certificate import CERTIFICATE
from broker.login.server import PortalRoot
from cred.credentials import (
    IAnonymous,
    IBearerToken,
    IClientCertificate,
    IScramProof,
    IUsernameHashedPassword,
    IUsernamePassword,
)
from jelly.codec import Reader
from jelly.limits import Limits
from jelly.vocabulary import NONE_VOCABULARY

ALICE = cred.UsernamePassword("alice", "secret")
ALL = [
    "certificate",
    "SCRAM-SHA-256-PLUS",
    "SCRAM-SHA-256",
    "token",
    "password",
    "challenge",
    "anonymous",
]


def test_the_table() -> None:
    """It names seven ways, strongest first."""
    assert [mechanism.name for mechanism in MECHANISMS.rows] == ALL


@pytest.mark.parametrize(
    ("options", "offered"),
    [
        ({}, ALL),
        ({"certificate": None}, ALL[1:]),
        ({"binding": None}, [name for name in ALL if name != "SCRAM-SHA-256-PLUS"]),
        ({"policy": STRICT}, [name for name in ALL if name != "challenge"]),
        (
            {"is_secure": False, "binding": None, "certificate": None},
            ["SCRAM-SHA-256", "anonymous"],
        ),
        (
            {"is_secure": False, "binding": None, "certificate": None, "policy": PUBLISHED},
            ["SCRAM-SHA-256", "challenge", "anonymous"],
        ),
    ],
)
def test_what_is_offered(options: dict[str, Any], offered: list[str]) -> None:
    """Secrets only where nobody listens, bound only where there is TLS, MD5 only by name."""
    room = WaysIn(**options)
    assert room.call("mechanisms") == offered
    assert room.client.session.logins == tuple(offered)


class Hooked(Broker):
    """A Broker with a hook that knows expressions, which only PB's own dialects have."""

    def proto_answer(self, requestID: Any, netResult: Any) -> None:
        """Pass it on."""
        super().proto_answer(requestID, netResult)


def opening(broker: Broker) -> list[bytes]:
    """Return the offer of a server."""
    transport = FakeTransport(ManualScheduler(), "the client")
    broker.makeConnection(transport)
    reader = Reader(Limits(), NONE_VOCABULARY)
    reader.feed(b"".join(transport.writes))
    (offer,) = reader.read()
    return cast(list[bytes], offer)


@pytest.mark.parametrize(
    "policy",
    [
        *(STRICT.but(dialects=names) for names in (("pb",), ("none",), ("pb", "none"))),
        STRICT,
        PUBLISHED,
        PUBLISHED.but(dialects=("none",)),
    ],
)
@pytest.mark.parametrize("kind", [Broker, Hooked])
def test_the_offer_names_them_in_every_policy(policy: Any, kind: Any) -> None:
    """Behind the dialects, whichever these are, a server with a login names its ways in."""
    if kind is Hooked and policy.dialects == STRICT.dialects:
        dialects = ("pb", "none")
    else:
        dialects = policy.dialects
    portal = cred.Portal(broker.realm(lambda *who: broker.Avatar()), [cred.AllowAnonymousAccess()])
    with_login, without = kind(False, policy=policy), kind(False, policy=policy)
    PortalRoot(portal).rootObject(with_login)
    offered = [name.encode() for name in dialects]
    assert opening(with_login) == [*offered, b"login anonymous"]
    assert opening(without) == offered


def test_what_has_no_checker_is_not_offered() -> None:
    """A portal offers what it can check, and nothing else."""
    room = WaysIn(connect=False)
    for interface in list(room.portal.checkers):
        room.take_away(interface)
    assert room.call("mechanisms") == []
    assert room.client.session.logins == ()


@pytest.mark.parametrize(
    ("credentials", "mechanism", "user"),
    [
        (cred.ClientCertificate(), "certificate", "carol"),
        (ALICE, "SCRAM-SHA-256-PLUS", "alice"),
        (cred.Scram("alice", "secret"), "SCRAM-SHA-256-PLUS", "alice"),
        (cred.Scram(b"alice", b"secret", bound=True), "SCRAM-SHA-256-PLUS", "alice"),
        (cred.Token("good"), "token", "bob"),
        (cred.Anonymous(), "anonymous", None),
    ],
)
@pytest.mark.parametrize("dialect", ["msgpack/1", "pb", "none"])
def test_the_strongest_is_taken(
    credentials: Any, mechanism: str, user: str | None, dialect: str
) -> None:
    """Each kind of credentials gets in by its strongest way, in every dialect; both sides know."""
    room = WaysIn(policy=STRICT.but(dialects=(dialect,)))
    avatar = room.log_in(credentials)
    assert room.get(avatar.callRemote("whoami")) == (user or "guest")
    assert (room.server.peer.avatar_id, room.server.peer.mechanism) == (user, mechanism)
    assert room.client.peer.mechanism == mechanism
    assert room.client.dialect == dialect


@pytest.mark.parametrize(
    ("taken", "options", "mechanism"),
    [
        ([], {"binding": None}, "SCRAM-SHA-256"),
        ([], {"is_secure": False, "binding": None}, "SCRAM-SHA-256"),
        ([IScramProof], {}, "password"),
        ([IScramProof, IUsernamePassword], {}, "challenge"),
    ],
)
def test_a_password_takes_what_there_is(
    taken: list[Any], options: dict[str, Any], mechanism: str
) -> None:
    """A user name and password get in by SCRAM, in clear inside TLS, or by the challenge."""
    room = WaysIn(connect=False, **options)
    room.take_away(*taken)
    room.log_in(ALICE)
    assert room.client.peer.mechanism == mechanism


PASSWORDS = (IUsernamePassword, IUsernameHashedPassword)


@pytest.mark.parametrize(
    ("credentials", "taken", "options", "told"),
    [
        (
            ALICE,
            [IScramProof, *PASSWORDS],
            {},
            "this server takes: certificate, token, anonymous; you gave a user name and password",
        ),
        (
            cred.Scram("alice", "secret"),
            [IScramProof, IAnonymous],
            {},
            "this server takes: certificate, token, password, challenge; you gave a user name and"
            " password for SCRAM-SHA-256-PLUS or SCRAM-SHA-256 only",
        ),
        (
            cred.Scram("alice", "secret", bound=True),
            [],
            {"binding": None},
            "this server takes: certificate, SCRAM-SHA-256, token, password, challenge, anonymous;"
            " you gave a user name and password for SCRAM-SHA-256-PLUS only",
        ),
        (
            cred.Token("good"),
            [IBearerToken, IScramProof, IAnonymous, *PASSWORDS],
            {},
            "this server takes: certificate; you gave a token",
        ),
        (
            cred.ClientCertificate(),
            [],
            {"certificate": None},
            "this server takes: SCRAM-SHA-256-PLUS, SCRAM-SHA-256, token, password, challenge,"
            f" anonymous; you gave {CERTIFICATE.asks_for}",
        ),
        (
            ALICE,
            [IScramProof, IBearerToken, IClientCertificate, IAnonymous, *PASSWORDS],
            {},
            "this server takes: no login that is known here; you gave a user name and password",
        ),
        (
            ALICE,
            [IScramProof, IUsernamePassword],
            {"client_policy": STRICT},
            "this server offers only the old challenge login; allow it with"
            " Policy(challenge_login=True)",
        ),
        (
            cred.Anonymous(),
            [IAnonymous],
            {},
            "this server takes no guests: log in with a name and a password",
        ),
    ],
)
def test_what_it_would_need(
    credentials: Any, taken: list[Any], options: dict[str, Any], told: str
) -> None:
    """Where nothing fits the client says what the server takes, and has sent no secret."""
    room = WaysIn(connect=False, **options)
    room.take_away(*taken)
    failure = room.log_in(credentials)
    assert failure.check(cred.LoginFailed)
    assert failure.getErrorMessage() == told
    assert room.avatars == []


class Offering(WaysIn):
    """A server that offers what it is told to, and takes what it would take anyway.

    Args:
        offer: the names that it offers; None for none at all, as a Twisted server.
    """

    def __init__(self, offer: list[str] | None, **options: Any):
        super().__init__(connect=False, **options)
        handshake = self.server.session._greeting
        handshake.name_logins = None if offer is None else lambda: offer


def test_what_needs_tls() -> None:
    """A secret that is offered a way over an open connection is not sent all the same."""
    for credentials, told in (
        (ALICE, "a password is sent over TLS or the loopback only: use pbs://"),
        (cred.Token("good"), "a token is sent over TLS or the loopback only: use pbs://"),
        (
            cred.Scram("alice", "secret"),
            "SCRAM-SHA-256-PLUS needs TLS 1.3 at this end: use pbs://",
        ),
    ):
        room = Offering(["SCRAM-SHA-256-PLUS", "token", "password"], is_secure=False, binding=None)
        room.exchange()
        sent = len(room.transport(room.client).writes)
        assert room.log_in(credentials).getErrorMessage() == told
        assert len(room.transport(room.client).writes) == sent


@pytest.mark.parametrize("offered", [["passwort", "PASSWORD", ""], ["x"] * 125, []])
def test_an_offer_of_nothing_that_is_known(offered: list[str]) -> None:
    """Names that are unknown are passed over, and no other login is tried in their place."""
    room = Offering(offered)
    failure = room.log_in(ALICE)
    assert failure.getErrorMessage().startswith("this server takes: no login that is known here;")
    assert room.avatars == []


def test_a_known_name_among_unknown_ones() -> None:
    """A server may offer what this library does not know, more than once, in any order."""
    names = ["fingerprint", "password", "telepathy", "password", "SCRAM-SHA-256"]
    room = Offering(names, binding=None)
    room.log_in(ALICE)
    assert room.client.peer.mechanism == "SCRAM-SHA-256"


@pytest.mark.parametrize(
    ("credentials", "given"),
    [
        (cred.Token("good"), "a token"),
        (
            cred.ClientCertificate(),
            "a client certificate, which takes TLS.client(certificate=…, key=…) and a server that"
            " asks for one",
        ),
        (
            cred.Scram("alice", "secret", bound=True),
            "a user name and password for SCRAM-SHA-256-PLUS only",
        ),
    ],
)
def test_a_server_that_names_no_login(credentials: Any, given: str) -> None:
    """What Twisted does not know is not tried there; nor where there is no login at all."""
    room = Offering(None)
    room.exchange()
    sent = len(room.transport(room.client).writes)
    told = f"this server is Twisted's, or asks for no login; you gave {given}"
    assert room.log_in(credentials).getErrorMessage() == told
    assert len(room.transport(room.client).writes) == sent


class Published(Root):
    """A login object that knows what Twisted's knows, and notes what it is asked."""

    def __init__(self, room: WaysIn):
        self.room = room
        self.asked: list[str] = []

    def remote_login(self, username: Any) -> Any:
        """Give a challenge."""
        self.asked.append("login")
        return self.room.login_root.remote_login(username)

    def remote_loginAnonymous(self, mind: Any) -> Any:
        """Let a guest in."""
        self.asked.append("loginAnonymous")
        return self.room.login_root.remote_loginAnonymous(mind)


@pytest.mark.parametrize(
    ("credentials", "mechanism", "asked"),
    [(ALICE, "challenge", ["login"]), (cred.Anonymous(), "anonymous", ["loginAnonymous"])],
)
def test_a_server_that_names_no_login_is_asked_what_twisted_knows(
    credentials: Any, mechanism: str, asked: list[str]
) -> None:
    """Without names in the offer the first call is the challenge's, or the guest's login."""
    room = Offering(None)
    root = Published(room)
    room.server.setNameForLocal("root", root)
    room.log_in(credentials)
    assert room.client.peer.mechanism == mechanism
    assert root.asked == asked


def test_a_stripped_offer_gets_no_more_than_the_policy_allows() -> None:
    """Who takes the names out of the offer has the challenge at most, where the client allows it.

    A strict client answers none, and one that was given Scram begins nothing.
    """
    for credentials, policy, told in (
        (ALICE, STRICT, "allow it with Policy(challenge_login=True)"),
        (cred.Scram("alice", "secret"), PUBLISHED, "for SCRAM-SHA-256-PLUS or SCRAM-SHA-256 only"),
        (cred.Token("good"), PUBLISHED, "you gave a token"),
    ):
        room = Offering(None, policy=PUBLISHED, client_policy=policy, is_secure=False)
        assert room.log_in(credentials).getErrorMessage().endswith(told)
        assert room.avatars == []


def test_a_refused_challenge_sends_nothing() -> None:
    """Where the server names the challenge alone and the policy has none, nothing is sent."""
    room = Offering(["challenge"], client_policy=STRICT)
    room.exchange()
    sent = len(room.transport(room.client).writes)
    assert room.log_in(ALICE).check(cred.LoginFailed)
    assert len(room.transport(room.client).writes) == sent


def test_credentials_that_are_none() -> None:
    """Something else than credentials is a mistake of the caller's, and says so."""
    with pytest.raises(TypeError, match=r"^str is not credentials of cred.credentials$"):
        WaysIn().log_in("alice")


class Overriding(cred.Portal):
    """A portal that makes its logins itself, as published programs do."""

    def login(self, credentials: Any, mind: Any, *interfaces: Any) -> Any:
        """Let everybody in, and say how."""
        kind = type(credentials).__name__
        return self.realm.requestAvatar(kind, mind, *interfaces)


@pytest.mark.parametrize(
    ("method", "arguments", "kind"),
    [
        ("loginPassword", (b"eve", b"x", None), "UsernamePassword"),
        ("loginToken", ("x", None), "Token"),
        ("loginCertificate", (None,), "VerifiedCertificate"),
    ],
)
def test_a_portal_of_its_own_kind(method: str, arguments: Any, kind: str) -> None:
    """The login of a portal's subclass is called, with whatever came, whether it has checkers."""
    room = WaysIn()
    room.login_root.portal = Overriding(room.portal.realm)
    avatar = room.call(method, *arguments)
    assert room.get(avatar.callRemote("whoami")) == kind


def test_a_client_alone_knows_what_it_is_refused_with() -> None:
    """A program that only connects raises cred's errors, although it never imports a server."""
    program = (
        "import broker.login.client, sys; from jelly.registry import defaults;"
        " assert 'broker.login.server' not in sys.modules;"
        " print(defaults.declared.errors['twisted.cred.error.UnauthorizedLogin'].__name__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout == "UnauthorizedLogin\n"
