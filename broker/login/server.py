"""Admission: what a peer without an avatar meets at a server with a portal.

Theory of operation. The offer with which the server begins names the ways to log in that it takes
on this connection. Its root has only login methods: one or two for each way, whose work is done in
`broker.login.mechanisms`, and ``mechanisms()``, which tells a client the same that does not read it
in the offer. Each call of these is an `LoginContext`, which asks the throttle first and tells the
audit log after. They all end in ``LoginRoot.admit``, where a checker accepts, and then the realm
makes the avatar. It is the peer's until the peer drops it, has gone, or its login expires; its
``logout`` is called once then.
"""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable
from typing import Any

from zope.interface import implementer

from broker.connection.broker import Broker
from broker.connection.peer import new_principal
from broker.core.calls.dispatch import Route
from broker.core.objects.unopened import opened
from broker.core.principal import OnBehalf
from broker.defer import Deferred, fail, maybeDeferred, succeed
from broker.errors import WrongType
from broker.flavors.avatar import AsReferenceable
from broker.flavors.referenceable import Referenceable
from broker.interfaces import IPBRoot, IPerspective, is_root
from broker.login.active_logins import ActiveLogins, Occupant, Visitor
from broker.login.audit import Audit
from broker.login.context import LoginContext
from broker.login.mechanisms import MECHANISMS, anonymous, certificate, challenge, scram
from broker.login.mechanisms import password as password_login
from broker.login.mechanisms import token as token_login
from broker.login.mechanisms.challenge import Challenger
from broker.login.mechanisms.mechanism import Mechanism, answered_only
from broker.login.throttle import LoginThrottle
from cred import error as cred_error
from cred.octets import Text, as_given, to_octets
from cred.portal import IRealm, Portal
from cred.saslprep import LONGEST_NAME
from jelly.foreign import has_jelly_hook
from jelly.security import class_name

__all__ = ["LoginRoot", "PortalRoot", "realm", "root_of"]


@implementer(IPBRoot)
class PortalRoot:
    """Serves the login objects of a portal, which share its throttle."""

    def __init__(self, portal: Portal):
        self.portal = portal
        self._throttle = LoginThrottle() if portal.throttle is None else portal.throttle
        self._audit = Audit()

    def rootObject(self, broker: Broker) -> LoginRoot:
        """Return the login object of one connection."""
        return LoginRoot(self.portal, broker, self._throttle, self._audit)


def root_of(target: Any) -> Any:
    """Return the IPBRoot that a server serves for a Root, a Portal, or what adapts to IPBRoot.

    Raises:
        TypeError: it is none of these. If it is a class, the error is a WrongType.
    """
    if is_root(target):
        return target
    if isinstance(target, Portal):
        return PortalRoot(target)
    adapted: Any = IPBRoot(target, None)
    if adapted is not None:
        return adapted
    if isinstance(target, type):
        name = target.__name__
        raise WrongType(f"a server serves an object, not the class {name}: write {name}()")
    name = type(target).__name__
    if type(target).__module__.startswith("twisted."):
        # Such as a Portal, which Twisted has too.
        name = class_name(type(target))
    raise TypeError(f"a server serves a Root or a Portal, not {name}")


# All calls of a login, and which of their arguments is the mind.
_MIND_ARGUMENTS: dict[str, int | None] = {"mechanisms": None}
for _mechanism in MECHANISMS:
    _MIND_ARGUMENTS.update(_mechanism.mind_arguments)


class LoginRoot(Referenceable):
    """What a peer can call before it has logged in, on one connection.

    The gate of the connection is shut until a checker has accepted the peer's credentials.

    Args:
        portal: who lets in.
        broker: the connection.
        throttle: limits what may fail.
        audit: the log of logins.

    Attributes:
        connection_key: identifies the connection to the throttle.
    """

    def __init__(self, portal: Portal, broker: Broker, throttle: LoginThrottle, audit: Audit):
        self.portal = portal
        self.broker = broker
        self.throttle = throttle
        self.audit = audit
        self.connection_key = object()
        self._has_text_names = broker.policy.text_user_names
        self._logins = ActiveLogins(broker)
        self._on_accepted: list[Callable[[], object]] = [broker.session.open_gate]
        broker.session.shut_gate(_MIND_ARGUMENTS)
        broker.session.name_logins(self.remote_mechanisms)

    def remote_mechanisms(self) -> list[str]:
        """Return the names of the logins that this server takes from this peer, strongest first."""
        return [mechanism.name for mechanism in MECHANISMS if mechanism.is_offered(self)]

    def remote_loginCertificate(self, mind: Any) -> Deferred[Any]:
        """Log in by the TLS certificate of this connection, and return the avatar."""
        return self._log_in(certificate.CERTIFICATE, certificate.serve, mind)

    def remote_loginScram(self, name: Any, client_first: Any) -> Deferred[Any]:
        """Begin SCRAM: return the server's message, and the object that takes the client's next."""
        return self._log_in(scram.SCRAM_SHA_256, scram.serve, name, client_first)

    def remote_loginToken(self, token: Any, mind: Any) -> Deferred[Any]:
        """Log in with a token, and return the avatar."""
        return self._log_in(token_login.TOKEN, token_login.serve, token, mind)

    def remote_loginPassword(self, username: Any, password: Any, mind: Any) -> Deferred[Any]:
        """Log in with a password, and return the avatar."""
        return self._log_in(password_login.PASSWORD, password_login.serve, username, password, mind)

    def remote_login(self, username: Any) -> Deferred[tuple[bytes, Challenger]]:
        """Begin PB's challenge login: return a challenge, and the object that takes the answer."""
        return self._log_in(challenge.CHALLENGE, challenge.serve, username)

    def remote_loginAnonymous(self, mind: Any) -> Deferred[Any]:
        """Log in as nobody in particular, and return the avatar."""
        return self._log_in(anonymous.ANONYMOUS, anonymous.serve, mind)

    def when_accepted(self, callback: Callable[[], object]) -> None:
        """Have ``callback()`` called once a checker has accepted the peer's credentials."""
        self._on_accepted.append(callback)

    def route(self) -> Route:
        """Return how calls are made; all but the login methods want a login first.

        Each call is made on behalf of a user of its own, who is known once it has succeeded.
        """
        route = answered_only(super().route())
        return route._replace(missing=_not_logged_in, principal=new_principal(self.broker))

    def _log_in(self, mechanism: Mechanism, serve: Callable[..., Any], *args: Any) -> Deferred[Any]:
        attempt = LoginContext(self, mechanism.name)
        return attempt.step(serve, attempt, *args)

    # What an attempt works with: `broker.login.context.LoginServer`.

    def checker_for(self, kind: Any) -> Any:
        """Return the portal's checker for credentials of this interface, or None."""
        for interface, checker in self.portal.checkers.items():
            if kind.isOrExtends(interface):
                return checker
        return None

    def name_of(self, username: Any) -> Text:
        """Return a user name of the peer's as the policy gives it to checkers.

        Raises:
            UnauthorizedLogin: it is no text, or too long.
        """
        try:
            octets = to_octets(username)
            name = octets.decode("utf-8") if self._has_text_names else as_given(username)
        except (TypeError, UnicodeDecodeError):
            raise cred_error.wrong_login("no possible user name") from None
        if len(octets) > LONGEST_NAME:
            raise cred_error.wrong_login("no possible user name")
        return name

    def admit(
        self, credentials: Any, mind: Any, mechanism: str, visitor: Visitor
    ) -> Deferred[OnBehalf]:
        """Ask the portal for the avatar of ``credentials``; return a Deferred of what to send.

        Every login ends here, whatever its mechanism; ``visitor`` is told who it is once the avatar
        is theirs.
        """
        most = self.broker.policy.max_refs
        if len(self._logins) >= most:
            raise cred_error.LoginFailed(f"{most} logins on one connection (max_refs)")
        entrance = _Entrance(
            self.portal.realm, mechanism, visitor, self._accepted, self._has_text_names
        )
        portal = copy.copy(self.portal)
        portal.realm = entrance
        admitted = portal.login(credentials, mind, IPerspective)
        return admitted.addCallback(self._admitted, entrance, visitor)

    def _accepted(self) -> None:
        callbacks, self._on_accepted = self._on_accepted, []
        for callback in callbacks:
            callback()

    def _admitted(self, result: Any, entrance: _Entrance, visitor: Visitor) -> OnBehalf:
        try:
            _, avatar, logout = result
        except (TypeError, ValueError):
            raise TypeError("requestAvatar returns (interface, avatar, logout)") from None
        if not _can_be_sent(avatar):
            raise TypeError(f"the realm returned {type(avatar).__name__}, which is no Avatar")
        is_jellyable = has_jelly_hook(avatar)
        sent = avatar if is_jellyable else AsReferenceable(avatar, "perspective")
        end = self._logins.add(entrance.occupant, sent, logout, visitor)
        self.broker.setup_timeouts.done("login")
        visitor.accepted(entrance.occupant)
        return OnBehalf(visitor.principal, sent, end)


@implementer(IRealm)
class _Entrance:
    """Stands before the realm during one login: who comes here has been accepted by a checker.

    Attributes:
        occupant: who that is.
    """

    def __init__(
        self,
        realm: Any,
        mechanism: str,
        visitor: Visitor,
        accepted: Callable[[], object],
        has_text_names: bool,
    ):
        self.occupant = Occupant(None, mechanism)
        self._realm = realm
        self._visitor = visitor
        self._accepted = accepted
        self._has_text_names = has_text_names

    def requestAvatar(self, avatarId: Any, mind: Any, *interfaces: Any) -> Any:
        if self._has_text_names and isinstance(avatarId, bytes):
            avatarId = _as_text(avatarId)
        self.occupant = Occupant.of(avatarId, self.occupant.mechanism)
        self._accepted()

        def request() -> Any:
            return self._realm.requestAvatar(avatarId, opened(mind), *interfaces)

        # In the visitor's context, in whatever context the checker's result has come.
        return maybeDeferred(self._visitor.principal.context.copy().run, request)


def _as_text(avatar_id: bytes) -> str:
    try:
        return avatar_id.decode("utf-8")
    except UnicodeDecodeError:
        raise TypeError(
            "the checker returned bytes that are not UTF-8; under text_user_names an avatar id"
            " is text"
        ) from None


def _can_be_sent(avatar: Any) -> bool:
    return has_jelly_hook(avatar) or hasattr(avatar, "perspectiveMessageReceived")


def _not_logged_in(text: str) -> Exception:
    return cred_error.LoginFailed("this server asks for a login: pass credentials to connect")


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

    Raises:
        WrongType: a TypeError: it cannot be called.
    """
    given: Any = function
    if not callable(given):
        raise WrongType(f"realm takes a function of avatar id and mind, not {type(given).__name__}")
    return _FunctionRealm(function)


def _nothing() -> Deferred[None]:
    return succeed(None)
