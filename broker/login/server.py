"""The server's side of a login: the root object with the login methods.

Theory of operation. The server's offer names the mechanisms that it takes on this connection. Its
root has only login methods: one or two for each mechanism, which are implemented in
`broker.login.mechanisms`, and ``mechanisms()``, which returns the names to a client that does not
read the offer. Each call makes a `LoginContext`, which asks the throttle first and writes to the
audit log afterwards. All end in ``LoginRoot.admit``, where a checker accepts the credentials and
the realm makes the avatar. The peer has the avatar until it drops it, it disconnects, or the login
expires; then ``logout`` is called once.
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
from broker.login.mechanisms.mechanism import Mechanism, answered_only, login_asked_for
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
    """Makes the login objects of a portal, which share one throttle."""

    def __init__(self, portal: Portal):
        self.portal = portal
        self._throttle = LoginThrottle() if portal.throttle is None else portal.throttle
        self._audit = Audit()

    def rootObject(self, broker: Broker) -> LoginRoot:
        """Return the login object of one connection."""
        return LoginRoot(self.portal, broker, self._throttle, self._audit)


def root_of(target: Any) -> Any:
    """Return the IPBRoot of a Root, a Portal, or an object that adapts to IPBRoot.

    Raises:
        TypeError: it is something else. For a class the error is a WrongType.
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
        # The full name, since Twisted also has, for example, a Portal.
        name = class_name(type(target))
    raise TypeError(f"a server serves a Root or a Portal, not {name}")


# The methods of all mechanisms, and which of their arguments is the mind.
_MIND_ARGUMENTS: dict[str, int | None] = {"mechanisms": None}
for _mechanism in MECHANISMS:
    _MIND_ARGUMENTS.update(_mechanism.mind_arguments)


class LoginRoot(Referenceable):
    """The root object of one connection: its methods log in.

    The login gate of the connection is shut until a checker has accepted the peer's credentials.

    Args:
        portal: checks the credentials and makes the avatars.
        broker: the connection.
        throttle: limits failed logins.
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
        """Return the names of the mechanisms that this peer can use here, strongest first."""
        return [mechanism.name for mechanism in MECHANISMS if mechanism.is_offered(self)]

    def remote_loginCertificate(self, mind: Any) -> Deferred[Any]:
        """Log in by the TLS certificate of this connection, and return the avatar."""
        return self._log_in(certificate.CERTIFICATE, certificate.serve, mind)

    def remote_loginScram(self, name: Any, client_first: Any) -> Deferred[Any]:
        """Begin SCRAM: return the server's message, and the object for the client's next one."""
        return self._log_in(scram.SCRAM_SHA_256, scram.serve, name, client_first)

    def remote_loginToken(self, token: Any, mind: Any) -> Deferred[Any]:
        """Log in with a token, and return the avatar."""
        return self._log_in(token_login.TOKEN, token_login.serve, token, mind)

    def remote_loginPassword(self, username: Any, password: Any, mind: Any) -> Deferred[Any]:
        """Log in with a password, and return the avatar."""
        return self._log_in(password_login.PASSWORD, password_login.serve, username, password, mind)

    def remote_login(self, username: Any) -> Deferred[tuple[bytes, Challenger]]:
        """Begin PB's challenge login: return a challenge, and the object for the answer."""
        return self._log_in(challenge.CHALLENGE, challenge.serve, username)

    def remote_loginAnonymous(self, mind: Any) -> Deferred[Any]:
        """Log in as a guest, and return the avatar."""
        return self._log_in(anonymous.ANONYMOUS, anonymous.serve, mind)

    def when_accepted(self, callback: Callable[[], object]) -> None:
        """Call ``callback()`` once a checker has accepted the peer's credentials."""
        self._on_accepted.append(callback)

    def route(self) -> Route:
        """Return how calls are made: a method other than those for logging in is refused.

        Each call has a principal of its own; its user is known when the login has succeeded.
        """
        route = answered_only(super().route())
        return route._replace(missing=_not_logged_in, principal=new_principal(self.broker))

    def _log_in(self, mechanism: Mechanism, serve: Callable[..., Any], *args: Any) -> Deferred[Any]:
        attempt = LoginContext(self, mechanism.name)
        return attempt.step(serve, attempt, *args)

    # The methods of `broker.login.context.LoginServer`.

    def checker_for(self, kind: Any) -> Any:
        """Return the portal's checker for credentials of this interface, or None."""
        for interface, checker in self.portal.checkers.items():
            if kind.isOrExtends(interface):
                return checker
        return None

    def name_of(self, username: Any) -> Text:
        """Return a user name that the peer sent, in the type that the policy gives to checkers.

        Raises:
            UnauthorizedLogin: it is not text, or too long.
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

        Every mechanism ends here. ``visitor.accepted`` is called once the login has succeeded.
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
            raise TypeError(f"the realm returned {type(avatar).__name__}, which is not an Avatar")
        is_jellyable = has_jelly_hook(avatar)
        sent = avatar if is_jellyable else AsReferenceable(avatar, "perspective")
        end = self._logins.add(entrance.occupant, sent, logout, visitor)
        self.broker.setup_timeouts.done("login")
        visitor.accepted(entrance.occupant)
        return OnBehalf(visitor.principal, sent, end)


@implementer(IRealm)
class _Entrance:
    """Wraps the realm for one login: the portal calls it when a checker has accepted.

    Attributes:
        occupant: the user of the login.
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

        # In the visitor's context: the checker's result may come in another one.
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
    return login_asked_for()


@implementer(IRealm)
class _FunctionRealm:
    """A realm that calls one function; see :func:`realm`."""

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
        function: ``f(avatar_id, mind)``, synchronous or async, which returns an Avatar.
            ``avatar_id`` is the value that the checker returned, usually the user name, or
            ``ANONYMOUS``. ``mind`` is the object that the client sent, often a RemoteReference, or
            None. If the avatar has a ``logout()``, synchronous or async, it runs once: when the
            peer drops the avatar or has disconnected.

    Raises:
        WrongType: a TypeError: ``function`` cannot be called.
    """
    given: Any = function
    if not callable(given):
        raise WrongType(f"realm takes a function of avatar id and mind, not {type(given).__name__}")
    return _FunctionRealm(function)


def _nothing() -> Deferred[None]:
    return succeed(None)
