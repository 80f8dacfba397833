"""A server that accepts every kind of login, joined in memory with a client."""

from __future__ import annotations

from typing import Any

from zope.interface import implementer

import broker
import cred
from broker.core.policy import STRICT, Policy
from broker.login.client import login
from broker.login.server import PortalRoot
from broker.login.throttle import LoginThrottle
from cred.checkers import ICredentialsChecker
from cred.error import UnauthorizedLogin
from cred.interfaces import IBearerToken, IClientCertificate, IScramProof
from cred.scram_verifier import ScramVerifier
from support.memory import BrokerPair

__all__ = ["BINDING", "ITERATIONS", "Avatar", "ScramUsers", "WaysIn", "certificates", "tokens"]

BINDING = b"the two ends of one connection.."
ITERATIONS = 10_000
"""The fewest that a client accepts, so that tests are quick."""


@implementer(ICredentialsChecker)
class ScramUsers:
    """Users with SCRAM verifiers, in memory.

    Attributes:
        users: user name to verifier.
        groups: user name to groups.
        asked: the user names that were asked for.
        refused: users who have the right password but may not log in.
    """

    credentialInterfaces = (IScramProof,)

    def __init__(self, **passwords: str):
        self.users = {
            name: ScramVerifier.of_password(password, ITERATIONS)
            for name, password in passwords.items()
        }
        self.groups: dict[str, list[str]] = {}
        self.refused: set[str] = set()
        self.asked: list[Any] = []

    def scramVerifier(self, username: Any) -> ScramVerifier:
        """Return a user's verifier; for an unknown user, one that matches no password."""
        self.asked.append(username)
        nobody = ScramVerifier.of_nobody(b"secret of the test", username, ITERATIONS)
        return self.users.get(_text(username), nobody)

    def requestAvatarId(self, proof: Any) -> cred.Identity:
        """Return the user who has proven to know the password."""
        name = _text(proof.username)
        if name in self.refused or proof.verifier is not self.users[name]:
            raise UnauthorizedLogin("wrong user name or password")
        return cred.Identity(name, self.groups.get(name, ()))


def _text(name: Any) -> str:
    return name.decode() if isinstance(name, bytes) else name


class Known:
    """Accepts credentials whose one attribute has a known value."""

    def __init__(self, interface: Any, attribute: str, known: dict[Any, Any]):
        self.credentialInterfaces = (interface,)
        self.attribute = attribute
        self.known = known

    def requestAvatarId(self, credentials: Any) -> Any:
        """Look the value up."""
        value = getattr(credentials, self.attribute)
        if value not in self.known:
            raise UnauthorizedLogin("unknown here")
        return self.known[value]


def tokens(**known: Any) -> Known:
    """Return a checker for these tokens."""
    return Known(IBearerToken, "token", known)


def certificates(**known: Any) -> Known:
    """Return a checker for these certificates, which may be any values."""
    return Known(IClientCertificate, "certificate", known)


class Thing(broker.Referenceable):
    """Returns its caller."""

    def remote_whoami(self) -> str | None:
        """Return the caller."""
        return broker.current_call().peer.avatar_id


class Avatar(broker.Avatar):
    """Knows its user, and whether it has been logged out."""

    def __init__(self, name: Any, mind: Any):
        self.name = name or "guest"
        self.mind = mind
        self.logouts = 0

    def perspective_whoami(self) -> str:
        """Return the name."""
        return _text(self.name)

    def perspective_give(self) -> Thing:
        """Return an object, which stays here."""
        return Thing()

    @broker.allow("admin")
    def perspective_dismiss(self) -> str:
        """A method for admins only."""
        return "dismissed"

    def logout(self) -> None:
        """Count."""
        self.logouts += 1


class WaysIn(BrokerPair):
    """A client, and a server with a portal for every kind of login, over one TLS connection.

    With ``connect=False`` they make the handshake at the first login or call. Until then a test can
    change the portal, whose logins are in the server's offer.

    Attributes:
        scram: the checker of the SCRAM users.
        portal: the portal; remove checkers as a test needs.
        avatars: the created avatars, in order.
        login_root: the client's first reference.
    """

    def __init__(
        self,
        *,
        policy: Policy = STRICT.but(challenge_login=True),  # noqa: B008 - frozen
        client_policy: Policy | None = None,
        binding: bytes | None = BINDING,
        is_secure: bool = True,
        scheduler: Any = False,
        certificate: str | None = "certificate of carol",
        throttle: LoginThrottle | None = None,
        connect: bool = True,
    ):
        super().__init__(
            policy=policy, client_policy=client_policy, scheduler=scheduler, connect=False
        )
        self.avatars: list[Avatar] = []
        self.scram = ScramUsers(alice="secret")
        checkers = [
            self.scram,
            tokens(good=cred.Identity("bob", ["admin"])),
            certificates(**{"certificate of carol": "carol"}),
            cred.InMemoryUsernamePasswordDatabaseDontUse(alice="secret"),
            cred.AllowAnonymousAccess(),
        ]
        self.portal = cred.Portal(broker.realm(self.make_avatar), checkers)
        self.portal.throttle = throttle
        self.login_root: Any = PortalRoot(self.portal).rootObject(self.server)
        self.server.setNameForLocal("root", self.login_root)
        for side in (self.client, self.server):
            transport: Any = self.transport(side)
            transport.is_secure = is_secure
            transport.channel_binding = lambda: binding
            transport.verified_chain = lambda: () if certificate is None else (certificate,)
        if connect:
            self.connect()

    def exchange(self, chunk: int | None = None, seed: int | None = None) -> None:
        """Let bytes cross, if the two are connected."""
        if self.client.transport is None:
            self.connect()
        super().exchange(chunk, seed)

    def call(self, name: str, *args: Any, **kw: Any) -> Any:
        """Call a method of the root, and return its result or Failure."""
        self.exchange()
        return super().call(name, *args, **kw)

    def make_avatar(self, avatar_id: Any, mind: Any) -> Avatar:
        """Return the avatar, as the realm does."""
        avatar = Avatar(avatar_id, mind)
        self.avatars.append(avatar)
        return avatar

    def take_away(self, *interfaces: Any) -> None:
        """Remove the checkers for these credentials."""
        for interface in interfaces:
            self.portal.checkers.pop(interface, None)

    def log_in(self, credentials: Any, mind: Any = None) -> Any:
        """Log in; return the avatar, or the Failure."""
        self.exchange()
        return self.get(login(self.client, credentials, mind))
