"""One attempt to log in, which the throttle limits and the audit log records."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Protocol

from broker.connection.broker import Broker
from broker.connection.peer import new_principal, peer_of
from broker.core.principal import OnBehalf, current_principal
from broker.defer import CancelledError, Deferred, maybeDeferred
from broker.errors import Error, ServerBusy
from broker.failure import Failure
from broker.login.active_logins import Occupant, Visitor
from broker.login.audit import Audit
from broker.login.throttle import LoginSource, LoginThrottle, account_of
from broker.net.socket_addresses import source_of
from cred.error import LoginFailed, Unauthorized, UnauthorizedLogin, wrong_login
from cred.octets import Text
from cred.workers import QueueFull

__all__ = ["LoginContext", "LoginServer"]

logger = logging.getLogger("broker.login")

_EXPECTED = (LoginFailed, Unauthorized, Error, CancelledError, asyncio.CancelledError)


class LoginServer(Protocol):
    """The server's side of all logins of one connection.

    Attributes:
        broker: the connection.
        throttle: limits failed logins.
        audit: the log of logins.
        connection_key: identifies the connection to the throttle.
    """

    broker: Broker
    throttle: LoginThrottle
    audit: Audit
    connection_key: object

    def checker_for(self, kind: Any) -> Any:
        """Return the portal's checker for credentials of this interface, or None."""

    def name_of(self, username: Any) -> Text:
        """Return a user name that the peer sent, in the type that the policy gives to checkers."""

    def admit(
        self, credentials: Any, mind: Any, mechanism: str, visitor: Visitor
    ) -> Deferred[OnBehalf]:
        """Ask the portal for an avatar; call ``visitor.accepted`` when it has one."""


class LoginContext:
    """Implements `broker.login.mechanisms.mechanism.MechanismContext` for one attempt.

    An attempt has one step or several.

    Args:
        server: the server's side of the connection.
        mechanism: the name of the mechanism.

    Attributes:
        mechanism: its name; one of several mechanisms that begin alike sets it in its first step.
        is_guess: whether wrong credentials count as a failure; set once the mechanism is known to
            be available.
        peer, principal: as in `Visitor`. Checkers and realm run in the context of the principal, so
            that ``current_call().peer`` is this peer from the beginning.
    """

    def __init__(self, server: LoginServer, mechanism: str):
        self.broker = server.broker
        self._server = server
        self.mechanism = mechanism
        principal = current_principal(server.broker.session.translator)
        if principal is None or peer_of(principal).mechanism is not None:
            # Not called by a peer, or by one that has logged in.
            principal = new_principal(server.broker)
        self.principal = principal
        self.peer = peer_of(principal)
        self._user: Text | None = None
        self._source = LoginSource(server.connection_key, source_of(server.broker.peer.address))
        self.is_guess = False
        # Whether the failure is one of a checker or the realm, which belong to the application.
        self._is_consulting = False

    def step(self, function: Callable[..., Any], *args: Any) -> Deferred[Any]:
        """Do one step, unless too many logins have failed; return a Deferred of its result.

        The Deferred fails with TooManyAttempts, and the function is not called; with ServerBusy if
        too many logins wait; or as ``function(*args)`` does. An exception of a mechanism that is
        available here is caused by the data that the peer has sent. So it becomes UnauthorizedLogin
        and counts as a failed login. An exception of a checker or of the realm is passed on
        unchanged.
        """

        def checked() -> Any:
            self._is_consulting = False
            self._server.throttle.check(self._source)
            return function(*args)

        context = self.principal.context.copy()
        return maybeDeferred(context.run, checked).addErrback(self._failed)

    def checker_for(self, kind: Any) -> Any:
        """Return the portal's checker for credentials of this interface, or None."""
        return self._server.checker_for(kind)

    def name_of(self, username: Any) -> Text:
        """Return a user name as checkers want it, and note that the attempt is for that account.

        Raises:
            UnauthorizedLogin: it is not text, or is longer than 256 bytes.
            TooManyAttempts: too many logins of that account have failed.
        """
        self.is_guess = True
        name = self._user = self._server.name_of(username)
        self._source = self._source._replace(account=account_of(name))
        self._server.throttle.check(self._source)
        return name

    def admit(self, credentials: Any, mind: Any, mechanism: str) -> Deferred[OnBehalf]:
        """Check the credentials and make an avatar; return a Deferred of what to send."""
        self.is_guess = True
        self.mechanism = mechanism
        return self.consult(self._server.admit, credentials, mind, mechanism, self)

    def consult(self, function: Callable[..., Any], *args: Any) -> Deferred[Any]:
        """Call a function of the application; return a Deferred of its result."""
        return maybeDeferred(function, *args).addErrback(self._note_application)

    def _note_application(self, failure: Failure) -> Failure:
        self._is_consulting = True
        return failure

    def accepted(self, occupant: Occupant) -> None:
        """Tell the throttle and the audit log."""
        self._server.throttle.succeeded(self._source)
        address = self.broker.peer.address
        self._server.audit.accepted(address, self.mechanism, occupant.avatar_id)

    def _as_refusal(self, failure: Failure) -> Failure:
        """Return the failure that the peer gets for one of a mechanism."""
        error = failure.value
        if not failure.check(*_EXPECTED):
            # At DEBUG, since a peer could cause any number of tracebacks.
            logger.debug("login by %s", self.mechanism, exc_info=error)
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
        self._server.audit.refused(address, self.mechanism, self._user, failure)
        if failure.check(QueueFull):
            raise ServerBusy(str(failure.value)) from None
        return failure
