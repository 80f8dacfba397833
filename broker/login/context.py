"""What a login mechanism works with: the connection, and one login on it, at either end.

`LoginContext` has what both ends know of their connection. `ClientContext` also calls the server.
`ServerContext` is one attempt at a server, from its first call to the avatar: the throttle is asked
first, a checker accepts the credentials, the realm makes the avatar, and the audit log gets a line.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from broker.background import run_in_thread
from broker.connection.broker import Broker
from broker.connection.log import tell_elsewhere
from broker.connection.peer import new_principal, peer_of
from broker.core.calls.attached import ATTACHED, LOGIN
from broker.core.objects.unopened import Unopened
from broker.core.policy import Policy
from broker.core.principal import OnBehalf, current_principal
from broker.defer import CancelledError, Deferred, fail, maybeDeferred, to_deferred
from broker.errors import Error, ServerBusy
from broker.failure import Failure
from broker.flavors.avatar import AsReferenceable
from broker.flavors.promise import Promise
from broker.flavors.reference import RemoteReference
from broker.interfaces import IPerspective
from broker.login.active_logins import AcceptedUser, ActiveLogins
from broker.login.audit import Audit, why
from broker.login.portal_view import PortalView, overrides_login
from broker.login.results import TO_COME, result_of, then
from broker.login.throttle import LoginSource, LoginThrottle, account_of
from broker.net.scheduler import ImmediateScheduler
from broker.net.socket_addresses import source_of
from cred.error import LoginFailed, Unauthorized, UnauthorizedLogin, wrong_login
from cred.octets import Text, as_given, to_octets
from cred.portal import LoginResult, Portal, Realm
from cred.saslprep import LONGEST_NAME
from cred.workers import QueueFull
from jelly.foreign import has_jelly_hook

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

__all__ = [
    "ClientContext",
    "LoginContext",
    "LoginServer",
    "Named",
    "ServerContext",
    "text_of_avatar_id",
]

T = TypeVar("T")

logger = logging.getLogger("broker.login")

_EXPECTED = (LoginFailed, Unauthorized, Error, CancelledError, asyncio.CancelledError)


class LoginContext:
    """The connection of a login, as one end sees it.

    Attributes:
        broker: the connection.
        policy: what this end allows.
    """

    __slots__ = ("broker", "policy")

    def __init__(self, broker: Broker):
        self.broker = broker
        self.policy: Policy = broker.policy

    @property
    def verified_chain(self) -> tuple[Certificate, ...]:
        """The certificate that the peer has shown in TLS, and its issuers; empty without one."""
        return self.broker.port.verified_chain()

    @property
    def channel_binding(self) -> bytes | None:
        """The bytes that only the two ends of this TLS 1.3 connection know, or None."""
        return self.broker.port.channel_binding()


class ClientContext(LoginContext):
    """A client's login.

    Args:
        broker: the connection.
        root: the login object of the server.
        behind: called with the promise of the avatar when the call is sent that returns it; it may
            make calls on the promise, which leave at once. Or None.
    """

    __slots__ = ("_behind", "_root")

    def __init__(
        self,
        broker: Broker,
        root: RemoteReference,
        behind: Callable[[Promise[Any]], object] | None = None,
    ):
        self.broker = broker
        self.policy = broker.policy
        self._root = root
        self._behind = behind

    def call(self, name: str, *args: object) -> Deferred[object]:
        """Call a login method of the server, and return a Deferred of its result."""
        return self.ask(self._root, name, *args)

    def ask(self, reference: RemoteReference, name: str, *args: object) -> Promise[Any]:
        """Call a method of an object of the login; observers and interceptors do not see it."""
        token = ATTACHED.set(LOGIN)
        try:
            return reference.callRemote(name, *args)
        finally:
            ATTACHED.reset(token)

    def enter(self, name: str, *args: object) -> Deferred[object]:
        """Call the login method that returns the avatar; calls on the avatar leave behind it."""
        avatar = self.ask(self._root, name, *args)
        if self._behind is not None:
            self._behind(avatar)
        return avatar

    def entering(self, answer: Promise[Any], step: int) -> None:
        """Let calls leave behind the call that returns the avatar as an element of its answer."""
        if self._behind is not None:
            avatar = answer[step]
            self._behind(avatar)
            # The failure is that of the login.
            avatar.addErrback(lambda failure: None)

    @property
    def is_of_server(self) -> bool:
        """Whether the peer is the server that was meant, before it has proved that in the login.

        The certificate was verified; or without TLS, no third party can be between both ends.
        """
        port = self.broker.port
        return bool(self.verified_chain) if port.is_secure else port.is_private

    def sent(self, text: Text) -> Text:
        """Return a user name or password in the type that is sent to the server.

        The published policy sends the type that was given. A policy with ``text_user_names`` sends
        bytes, since most Twisted servers know user names as bytes.

        Raises:
            TypeError: it is neither str nor bytes.
        """
        return to_octets(text) if self.policy.text_user_names else as_given(text)

    def in_thread(self, function: Callable[[], T]) -> Deferred[T]:
        """Call a function that takes long; return a Deferred of its result.

        It runs in a thread of its own if the connection has a loop, which it would block.
        """
        scheduler = self.broker.port.scheduler
        if isinstance(scheduler, ImmediateScheduler):
            return maybeDeferred(function)
        # Without a canceller: one that has been cancelled takes the late outcome, and drops it.
        deferred: Deferred[T] = Deferred()
        run_in_thread(
            function,
            scheduler.soon_threadsafe,
            deferred.callback,
            deferred.errback,
            name="broker SCRAM",
        )
        return deferred


class Named(Protocol):
    """A mechanism, as an attempt needs it."""

    @property
    def name(self) -> str:
        """The name for the audit log, and for ``peer.mechanism``."""


class LoginServer(Protocol):
    """The server's side of all logins of one connection.

    Attributes:
        broker: the connection.
        portal: checks credentials and makes avatars.
        throttle: limits failed logins.
        audit: the log of logins.
        connection_key: identifies the connection to the throttle.
        logins: the logins of the connection that have not ended.
    """

    broker: Broker
    portal: Portal
    throttle: LoginThrottle
    audit: Audit
    connection_key: object
    logins: ActiveLogins

    def accepted(self) -> None:
        """Open the login gate: a checker has accepted the credentials of the peer."""


class ServerContext(LoginContext):
    """One attempt to log in, at the server; it has one step or several.

    Args:
        server: the server's side of the connection.
        mechanism: the mechanism.

    Attributes:
        mechanism: as given; one of several mechanisms that begin alike sets it in its first step.
        is_guess: whether wrong credentials count as a failure; set once the mechanism is known to
            be available.
        principal: owns the objects that are sent to the client. Checkers and realm run in its
            context, so that ``current_call().peer`` is this peer from the beginning.
    """

    __slots__ = (
        "_accepted",
        "_claimed",
        "_is_consulting",
        "_server",
        "_source",
        "is_guess",
        "mechanism",
        "principal",
    )

    def __init__(self, server: LoginServer, mechanism: Named):
        self.broker = broker = server.broker
        self.policy = broker.policy
        self._server = server
        self.mechanism = mechanism
        principal = current_principal(broker.session.translator)
        if principal is None or peer_of(principal).mechanism is not None:
            # Not called by a peer, or by one that has logged in.
            principal = new_principal(broker)
        self.principal = principal
        self._claimed: Text | None = None
        self._accepted: AcceptedUser | None = None
        self._source = LoginSource(server.connection_key, source_of(broker.peer.address))
        self.is_guess = False
        # Whether the failure is one of a checker or the realm, which belong to the application.
        self._is_consulting = False

    def step(self, function: Callable[..., object], *args: object) -> object:
        """Do one step, unless too many logins have failed; return its result, or a Deferred of it.

        The Deferred fails with TooManyAttempts, and the function is not called; with ServerBusy if
        too many logins wait; or as ``function(context, *args)`` does. An exception of a mechanism
        that is available here is caused by the data that the peer has sent. So it becomes
        UnauthorizedLogin and counts as a failed login. An exception of a checker or of the realm is
        passed on unchanged.
        """
        self._is_consulting = False
        try:
            self._server.throttle.check(self._source)
            result = self.principal.context.copy().run(function, self, *args)
        except BaseException as error:  # noqa: BLE001 - any exception is the result of the step
            return fail(error).addErrback(self._failed)
        found = result_of(result)
        return to_deferred(result).addErrback(self._failed) if found is TO_COME else found

    def checker_for(self, kind: Any) -> Any:
        """Return the portal's checker for credentials of this interface, or None."""
        for interface, checker in self._server.portal.checkers.items():
            if kind.isOrExtends(interface):
                return checker
        return None

    def name_of(self, username: object) -> Text:
        """Return a user name as checkers want it, and note that the attempt is for that account.

        It has the type that the policy gives to checkers.

        Raises:
            UnauthorizedLogin: it is not text, or is longer than 256 bytes.
            TooManyAttempts: too many logins of that account have failed.
        """
        self.is_guess = True
        try:
            octets = to_octets(username)
            is_text = self.policy.text_user_names
            name = octets.decode("utf-8") if is_text else as_given(username)
        except (TypeError, UnicodeDecodeError):
            raise wrong_login("no possible user name") from None
        if len(octets) > LONGEST_NAME:
            raise wrong_login("no possible user name")
        self._claimed = name
        known = self._source
        self._source = LoginSource(known.connection, known.source, account_of(octets))
        self._server.throttle.check(self._source)
        return name

    def consult(self, function: Callable[..., Any], *args: object) -> Deferred[Any]:
        """Call a function of a checker; return a Deferred of its result."""
        return maybeDeferred(function, *args).addErrback(self._note_application)

    def _note_application(self, failure: Failure) -> Failure:
        self._is_consulting = True
        return failure

    def admit(self, credentials: object, mind: object) -> OnBehalf | Deferred[OnBehalf]:
        """Check the credentials and make an avatar; return what to send, or a Deferred of it.

        Every login ends here. A portal that overrides `Portal.login` is asked through that.
        """
        # From here on an error is one of the application.
        self.is_guess = self._is_consulting = True
        self._accepted = None
        most = self.policy.max_refs
        if len(self._server.logins) >= most:
            raise LoginFailed(f"{most} logins on one connection (max_refs)")
        portal = self._server.portal
        if overrides_login(portal):
            view = PortalView(portal, self._request_avatar)
            return then(view.login(credentials, mind, IPerspective), self._admitted)
        return then(portal.check(credentials), self._checked, portal, mind)

    def _checked(
        self, avatar_id: object, portal: Portal, mind: object
    ) -> OnBehalf | Deferred[OnBehalf]:
        """Ask for the avatar: a checker has accepted the credentials."""
        avatar_id = self._accept(avatar_id)
        made = self._enter(portal.request_avatar, avatar_id, mind, IPerspective)
        return then(made, self._admitted)

    def _request_avatar(
        self, realm: Realm, avatar_id: object, mind: object, *interfaces: object
    ) -> object:
        """Ask the realm of a portal, which has called it from its own ``login``."""
        avatar_id = self._accept(avatar_id)
        return self._enter(realm.requestAvatar, avatar_id, mind, *interfaces)

    def _accept(self, avatar_id: object) -> object:
        """Open the gate for a user; return the avatar id, in the type that the policy gives."""
        if self.policy.text_user_names and isinstance(avatar_id, bytes):
            avatar_id = text_of_avatar_id(avatar_id)
        self._accepted = AcceptedUser.of(avatar_id, self.mechanism.name)
        self._server.accepted()
        return avatar_id

    def _enter(
        self, function: Callable[..., T], avatar_id: object, mind: object, *interfaces: object
    ) -> T:
        """Call a function of the realm in the context of the principal, with the mind opened."""
        # A checker's result may come in another context.
        run = self.principal.context.copy().run
        return run(_with_mind, function, avatar_id, mind, interfaces)

    def _admitted(self, result: LoginResult) -> OnBehalf:
        server, user = self._server, self._accepted
        if user is None:
            # The portal has logged the user in without its realm, and tells no avatar id.
            user = AcceptedUser(None, self.mechanism.name)
            server.accepted()
        try:
            _, avatar, logout = result
        except (TypeError, ValueError):
            raise TypeError("requestAvatar returns (interface, avatar, logout)") from None
        sent = avatar
        if not has_jelly_hook(avatar):
            if not hasattr(avatar, "perspectiveMessageReceived"):
                name = type(avatar).__name__
                raise TypeError(f"the realm returned {name}, which is not an Avatar")
            sent = AsReferenceable(avatar, "perspective")
        end = server.logins.add(user, sent, logout, self.principal)
        self.broker.setup_timeouts.done("login")
        server.throttle.succeeded(self._source)
        server.audit.accepted(self.broker.peer.address, user.mechanism, user.avatar_id)
        tracing = self.broker.session.tracing
        if tracing is not None:
            tracing.tracer.login(user.mechanism, True, "")
        return OnBehalf(self.principal, sent, end, type(sent) is AsReferenceable)

    def _as_refusal(self, failure: Failure) -> Failure:
        """Return the failure that the peer gets for one of a mechanism."""
        error = failure.value
        if not failure.check(*_EXPECTED):
            # At DEBUG, since a peer could cause any number of tracebacks.
            logger.debug("login by %s", self.mechanism.name, exc_info=error)
            self.is_guess = True
            return Failure(wrong_login(f"not understood: {type(error).__name__}"))
        if self.is_guess and type(error) is LoginFailed:
            return Failure(UnauthorizedLogin(str(error)))
        return failure

    def _failed(self, failure: Failure) -> Failure:
        if not self._is_consulting:
            failure = self._as_refusal(failure)
        if self.is_guess and failure.check(Unauthorized):
            self._server.throttle.failed(self._source)
        address = self.broker.peer.address
        error, audit = failure.value, self._server.audit
        is_told = audit.refused(address, self.mechanism.name, self._claimed, failure)
        if is_told and isinstance(error, LoginFailed):
            tell_elsewhere(error)
        tracing = self.broker.session.tracing
        if tracing is not None:
            tracing.tracer.login(self.mechanism.name, False, why(failure.value)[1])
        if failure.check(QueueFull):
            raise ServerBusy(str(failure.value)) from None
        return failure


def _with_mind(
    function: Callable[..., T], avatar_id: object, mind: object, interfaces: tuple[object, ...]
) -> T:
    return function(avatar_id, mind.open() if isinstance(mind, Unopened) else mind, *interfaces)


def text_of_avatar_id(avatar_id: bytes) -> str:
    """Return the avatar id of a checker as text, for a policy with ``text_user_names``.

    Raises:
        TypeError: it is not UTF-8.
    """
    try:
        return avatar_id.decode("utf-8")
    except UnicodeDecodeError:
        raise TypeError(
            "the checker returned bytes that are not UTF-8; under text_user_names an avatar id"
            " is text"
        ) from None
