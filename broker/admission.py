"""Admission: what a peer without an avatar meets at a server with a portal.

Theory of operation. The root of such a server has only login methods. ``mechanisms()`` tells a
client of ours which of them it may use; ``loginAnonymous(mind)`` and ``login(user)``, whose
challenge is answered by ``respond(answer, mind)``, are PB's own; ``loginPassword(user, password,
mind)`` takes the password as it is, over TLS, the loopback or a UNIX socket only. Each yields the
avatar; its ``logout`` is called once, when the peer drops it or has gone.
"""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable
from typing import Any

from zope.interface import implementer

from broker.addresses import is_private
from broker.connection import Broker
from broker.core.dispatch import Route
from broker.defer import Deferred, fail, maybeDeferred, succeed
from broker.flavors.avatar import AsReferenceable
from broker.flavors.failures import register_errors
from broker.flavors.referenceable import Referenceable
from broker.interfaces import IPBRoot, IPerspective
from cred import error as cred_error
from cred.challenges import challenge, hash_password, verify
from cred.checkers import ANONYMOUS
from cred.credentials import (
    Anonymous,
    IAnonymous,
    ICredentials,
    IUsernameHashedPassword,
    IUsernamePassword,
    UsernamePassword,
)
from cred.portal import IRealm, Portal
from jelly.interfaces import IJellyable

__all__ = ["IUsernameMD5Password", "LoginRoot", "PortalRoot", "realm", "root_of"]

register_errors(
    cred_error.LoginDenied,
    cred_error.LoginFailed,
    cred_error.Unauthorized,
    cred_error.UnauthorizedLogin,
    cred_error.UnhandledCredentials,
)

PASSWORD, CHALLENGE, ANONYMOUSLY = "password", "challenge", "anonymous"


class IUsernameMD5Password(ICredentials):
    """Credentials of the challenge login, to be checked against a password or its MD5 digest."""

    def checkPassword(password: Any) -> Any:
        """Return whether the peer knows this password, bytes."""

    def checkMD5Password(password: Any) -> Any:
        """Return whether the peer knows the password of which this is the MD5 digest, bytes."""


@implementer(IPBRoot)
class PortalRoot:
    """Serves the login objects of a portal."""

    def __init__(self, portal: Portal):
        self.portal = portal

    def rootObject(self, broker: Broker) -> LoginRoot:
        """Return the login object of one connection."""
        return LoginRoot(self.portal, broker)


def root_of(target: Any) -> Any:
    """Return the IPBRoot that a server serves for a Root, a Portal, or what adapts to IPBRoot.

    Raises:
        TypeError: it is none of these.
    """
    if IPBRoot.providedBy(target):
        return target
    if isinstance(target, Portal):
        return PortalRoot(target)
    adapted = IPBRoot(target, None)
    if adapted is None:
        raise TypeError(f"a server serves a Root or a Portal, not {type(target).__name__}")
    return adapted


class LoginRoot(Referenceable):
    """What a peer can call before it has logged in."""

    def __init__(self, portal: Portal, broker: Broker):
        self.portal = portal
        self.broker = broker
        self._avatars = 0
        self._on_accepted: list[Callable[[], object]] = []

    def remote_mechanisms(self) -> list[str]:
        """Return the names of the logins that this server takes from this peer, best first."""
        kinds = set(self.portal.listCredentialsInterfaces())
        found = []
        if IUsernamePassword in kinds and is_private(self.broker.transport):
            found.append(PASSWORD)
        if self._takes_challenge() and kinds & {IUsernameHashedPassword, IUsernameMD5Password}:
            found.append(CHALLENGE)
        if IAnonymous in kinds:
            found.append(ANONYMOUSLY)
        return found

    def remote_loginPassword(self, username: Any, password: Any, mind: Any) -> Deferred[Any]:
        """Log in with a password, and return the avatar."""
        if not is_private(self.broker.transport):
            raise cred_error.LoginFailed("a password is taken over TLS or the loopback only")
        credentials = UsernamePassword(self._name(username), _octets(password, 1024))
        return self.admit(credentials, mind, PASSWORD)

    def remote_login(self, username: Any) -> tuple[bytes, Challenger]:
        """Begin PB's challenge login: return a challenge, and the object that takes the answer."""
        if not self._takes_challenge():
            raise cred_error.UnauthorizedLogin(
                "this server does not accept the old challenge login; it would have to be served"
                " with Policy(challenge_login=True), over TLS or the loopback"
            )
        token = challenge()
        return token, Challenger(self, self._name(username), token)

    def remote_loginAnonymous(self, mind: Any) -> Deferred[Any]:
        """Log in as nobody in particular, and return the avatar."""
        if IAnonymous not in self.portal.listCredentialsInterfaces():
            raise cred_error.UnhandledCredentials(
                "this server takes no guests: log in with a name and a password"
            )
        return self.admit(Anonymous(), mind, ANONYMOUSLY)

    def when_accepted(self, callback: Callable[[], object]) -> None:
        """Have ``callback()`` called once a checker has accepted the peer's credentials."""
        self._on_accepted.append(callback)

    def route(self) -> Route:
        """Return how calls are made; all but the login methods want a login first."""
        return _answered_only(super().route())._replace(missing=_not_logged_in)

    def admit(self, credentials: Any, mind: Any, mechanism: str) -> Deferred[Any]:
        """Ask the portal for the avatar of ``credentials``; return a Deferred of what to send."""
        broker, most = self.broker, self.broker.policy.max_refs
        if self._avatars >= most:
            raise cred_error.LoginFailed(f"{most} logins on one connection (max_refs)")
        noting = _NotingRealm(self.portal.realm, self._accepted)
        portal = copy.copy(self.portal)
        portal.realm = noting

        def admitted(result: Any) -> Any:
            try:
                _, avatar, logout = result
            except (TypeError, ValueError):
                raise TypeError("requestAvatar returns (interface, avatar, logout)") from None
            if not _can_be_sent(avatar):
                raise TypeError(f"the realm returned {type(avatar).__name__}, which is no Avatar")
            broker.expectations.met("login")
            broker.peer.mechanism = mechanism
            broker.peer.avatar_id = noting.avatar_id
            sent = (
                avatar if IJellyable.providedBy(avatar) else AsReferenceable(avatar, "perspective")
            )
            self._avatars += 1
            _log_out_once(broker, sent, logout, self._logged_out)
            return sent

        return portal.login(credentials, mind, IPerspective).addCallback(admitted)

    def _accepted(self) -> None:
        callbacks, self._on_accepted = self._on_accepted, []
        for callback in callbacks:
            callback()

    def _logged_out(self) -> None:
        self._avatars -= 1

    def _takes_challenge(self) -> bool:
        policy = self.broker.policy
        return policy.challenge_login and (
            policy.insecure_plaintext or is_private(self.broker.transport)
        )

    def _name(self, username: Any) -> str | bytes:
        octets = _octets(username, 256)
        if not self.broker.policy.text_user_names:
            return octets
        try:
            return octets.decode("utf-8")
        except UnicodeDecodeError:
            raise cred_error.UnauthorizedLogin(cred_error.WRONG_LOGIN) from None


@implementer(IUsernameHashedPassword, IUsernameMD5Password)
class Challenger(Referenceable):
    """One challenge: takes one answer, and is the credentials that a checker checks.

    Attributes:
        username: as the peer gave it.
    """

    def __init__(self, root: LoginRoot, username: str | bytes, token: bytes):
        self.username = username
        self._root = root
        self._token: bytes | None = token
        self._answered = b""
        self._response: Any = None

    def remote_respond(self, response: Any, mind: Any) -> Deferred[Any]:
        """Take the answer, and return the avatar; a second answer is refused."""
        if self._token is None:
            raise cred_error.LoginFailed("this challenge has been answered; ask for a new one")
        self._answered, self._token = self._token, None
        self._response = response
        return self._root.admit(self, mind, CHALLENGE)

    def route(self) -> Route:
        """Return how calls are made."""
        return _answered_only(super().route())

    def checkPassword(self, password: Any) -> bool:
        """Return whether the answer was made with this password."""
        return self.checkMD5Password(hash_password(password))

    def checkMD5Password(self, md5Password: Any) -> bool:
        """Return whether the answer was made with the password of this MD5 digest."""
        try:
            verify(self._answered, self._response, md5Password)
        except cred_error.UnauthorizedLogin:
            return False
        return True


@implementer(IRealm)
class _NotingRealm:
    """Passes everything on, and remembers who was let in."""

    def __init__(self, realm: Any, accepted: Callable[[], object]):
        self._realm = realm
        self._accepted = accepted
        self.avatar_id: str | None = None

    def requestAvatar(self, avatarId: Any, mind: Any, *interfaces: Any) -> Any:
        if avatarId is not ANONYMOUS:
            is_octets = isinstance(avatarId, bytes)
            self.avatar_id = avatarId.decode("utf-8", "replace") if is_octets else str(avatarId)
        self._accepted()
        return self._realm.requestAvatar(avatarId, mind, *interfaces)


def _can_be_sent(avatar: Any) -> bool:
    return IJellyable.providedBy(avatar) or hasattr(avatar, "perspectiveMessageReceived")


def _log_out_once(
    broker: Broker, sent: Any, logout: Callable[[], Any], logged_out: Callable[[], None]
) -> None:
    is_out = False

    def log_out() -> None:
        nonlocal is_out
        if is_out:
            return
        is_out = True
        logged_out()
        broker.dontNotifyOnDisconnect(log_out)
        maybeDeferred(logout)

    if broker.disconnected:
        # The peer went while the realm was still making the avatar.
        log_out()
        return
    broker.notifyOnDisconnect(log_out)
    if hasattr(sent, "processUniqueID"):
        broker.when_released(sent, log_out)


def _answered_only(route: Route) -> Route:
    # The avatar of a login without an answer is nobody's: no peer could drop it.
    return route._replace(unanswered=_no_answer_wanted)


def _no_answer_wanted() -> Exception:
    return cred_error.LoginFailed("a login wants an answer: call without pbanswer=False")


def _not_logged_in(text: str) -> Exception:
    return cred_error.LoginFailed("this server asks for a login: pass credentials to connect")


def _octets(value: Any, most: int) -> bytes:
    octets = value.encode("utf-8") if isinstance(value, str) else value
    if not isinstance(octets, bytes) or len(octets) > most:
        raise cred_error.UnauthorizedLogin(cred_error.WRONG_LOGIN)
    return octets


@implementer(IRealm)
class _FunctionRealm:
    """A realm made of one function; see :func:`realm`."""

    def __init__(self, function: Callable[[Any, Any], Any]):
        self._function = function
        self.__doc__ = function.__doc__

    def requestAvatar(self, avatarId: Any, mind: Any, *interfaces: Any) -> Deferred[Any]:
        """Return a Deferred of (IPerspective, avatar, logout)."""
        if IPerspective not in interfaces:
            return fail(NotImplementedError("this realm makes avatars for IPerspective"))
        made = maybeDeferred(self._function, avatarId, mind)
        return made.addCallback(
            lambda avatar: (IPerspective, avatar, getattr(avatar, "logout", _nothing))
        )


def realm(function: Callable[[Any, Any], Any | Awaitable[Any]]) -> _FunctionRealm:
    """Make a realm of a function; usable as a decorator.

    Args:
        function: ``f(avatar_id, mind)``, plain or async. ``avatar_id`` is what the checker
            returned, usually the user name, or ``ANONYMOUS``; ``mind`` is what the client sent,
            often a RemoteReference, or None. Returns an Avatar, whose ``logout()``, if it has one,
            plain or async, runs once: when the peer drops the avatar or has gone.
    """
    return _FunctionRealm(function)


def _nothing() -> Deferred[None]:
    return succeed(None)
