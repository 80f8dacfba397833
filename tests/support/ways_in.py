"""A server that takes every login, joined in memory with a client, and what each login needs."""

from __future__ import annotations

from typing import Any

from memory import BrokerPair
from zope.interface import implementer

import broker
import cred
from broker.core.policy import STRICT, Policy
from broker.login.audit import Audit
from broker.login.client import login
from broker.login.server import LoginRoot
from broker.login.throttle import LoginThrottle
from cred.checkers import ICredentialsChecker
from cred.error import UnauthorizedLogin
from cred.interfaces import IBearerToken, IClientCertificate, IScramProof
from cred.scram_verifier import ScramVerifier

__all__ = ["BINDING", "ITERATIONS", "Avatar", "ScramUsers", "WaysIn", "certificates", "tokens"]

BINDING = b"the two ends of one connection.."
ITERATIONS = 10_000
"""As few as a client takes part in, so that tests are quick."""


@implementer(ICredentialsChecker)
class ScramUsers:
    """Users with SCRAM verifiers, in memory.

    Attributes:
        users: user name to verifier.
        groups: user name to groups.
        asked: the user names that were asked for.
        refused: those who have the right password and may not log in.
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
        """Return a user's verifier; one that nothing fits where there is no such user."""
        self.asked.append(username)
        nobody = ScramVerifier.of_nobody(b"secret of the test", username, ITERATIONS)
        return self.users.get(_text(username), nobody)

    def requestAvatarId(self, proof: Any) -> cred.Identity:
        """Say who has proven to know the password."""
        name = _text(proof.username)
        if name in self.refused or proof.verifier is not self.users[name]:
            raise UnauthorizedLogin("wrong user name or password")
        return cred.Identity(name, self.groups.get(name, ()))


def _text(name: Any) -> str:
    return name.decode() if isinstance(name, bytes) else name


class Known:
    """Lets in those credentials whose one attribute has a certain value."""

    def __init__(self, interface: Any, attribute: str, known: dict[Any, Any]):
        self.credentialInterfaces = (interface,)
        self.attribute = attribute
        self.known = known

    def requestAvatarId(self, credentials: Any) -> Any:
        """Look it up."""
        value = getattr(credentials, self.attribute)
        if value not in self.known:
            raise UnauthorizedLogin("unknown here")
        return self.known[value]


def tokens(**known: Any) -> Known:
    """Return a checker for these tokens."""
    return Known(IBearerToken, "token", known)


def certificates(**known: Any) -> Known:
    """Return a checker for these certificates, which need not be such."""
    return Known(IClientCertificate, "certificate", known)


class Thing(broker.Referenceable):
    """Knows who calls it."""

    def remote_whoami(self) -> str | None:
        """Return who calls."""
        return broker.current_call().peer.avatar_id


class Avatar(broker.Avatar):
    """Knows who it is, and whether it has been logged out."""

    def __init__(self, name: Any, mind: Any):
        self.name = name or "guest"
        self.mind = mind
        self.logouts = 0

    def perspective_whoami(self) -> str:
        """Return the name."""
        return _text(self.name)

    def perspective_give(self) -> Thing:
        """Hand out an object, which stays here."""
        return Thing()

    @broker.allow("admin")
    def perspective_dismiss(self) -> str:
        """Do what admins may."""
        return "dismissed"

    def logout(self) -> None:
        """Count."""
        self.logouts += 1


class WaysIn(BrokerPair):
    """A client, and a server with a portal for every kind of login, over one TLS connection.

    With ``connect=False`` they shake hands at the first login or call: until then a test can change
    the portal, whose logins the server's offer names.

    Attributes:
        scram: the checker of the SCRAM users.
        portal: the portal; take checkers away as a test needs.
        avatars: those that were made, in order.
        login_root: what the client meets.
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
        self.login_root = LoginRoot(self.portal, self.server, throttle or LoginThrottle(), Audit())
        self.server.setNameForLocal("root", self.login_root)
        for side in (self.client, self.server):
            transport: Any = self.transport(side)
            transport.is_secure = is_secure
            transport.channel_binding = lambda: binding
            transport.verified_chain = lambda: () if certificate is None else (certificate,)
        if connect:
            self.connect()

    def exchange(self, chunk: int | None = None, seed: int | None = None) -> None:
        """Let bytes cross, once the two are connected."""
        if self.client.transport is None:
            self.connect()
        super().exchange(chunk, seed)

    def call(self, name: str, *args: Any, **kw: Any) -> Any:
        """Call a method of the root, and return its result or Failure."""
        self.exchange()
        return super().call(name, *args, **kw)

    def make_avatar(self, avatar_id: Any, mind: Any) -> Avatar:
        """Be the realm."""
        avatar = Avatar(avatar_id, mind)
        self.avatars.append(avatar)
        return avatar

    def take_away(self, *interfaces: Any) -> None:
        """Leave no checker for these credentials."""
        for interface in interfaces:
            self.portal.checkers.pop(interface, None)

    def log_in(self, credentials: Any, mind: Any = None) -> Any:
        """Log in; return the avatar, or the Failure."""
        self.exchange()
        return self.get(login(self.client, credentials, mind))
