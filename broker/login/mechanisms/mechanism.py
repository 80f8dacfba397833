"""The base of login mechanisms: the name, when it is available, and the client's side.

The server's side is a function ``serve`` in each module here. The login method calls it with a
`MechanismContext`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Protocol

from broker.connection.broker import Broker
from broker.core.calls.dispatch import Route
from broker.core.principal import OnBehalf
from broker.defer import Deferred
from broker.errors import NoSuchMethod
from broker.failure import Failure
from broker.fixes import fixed_by
from broker.flavors.reference import RemoteReference
from broker.login import errors as login_errors  # noqa: F401 - both ends come by here
from cred import error as cred_error
from cred.credentials import Scram
from cred.octets import Text, as_given, to_octets

__all__ = [
    "Mechanism",
    "MechanismContext",
    "OfferContext",
    "answered_only",
    "has_password",
    "login_asked_for",
    "no_login",
    "pair_of",
    "sent",
]


class MechanismContext(Protocol):
    """One attempt to log in, for the server's side of a mechanism.

    Attributes:
        broker: the connection.
        mechanism: the name for the audit log.
        is_guess: whether wrong credentials count as a failed login.
    """

    broker: Broker
    mechanism: str
    is_guess: bool

    def checker_for(self, kind: Any) -> Any:
        """Return the portal's checker for credentials of this interface, or None."""

    def name_of(self, username: Any) -> Text:
        """Return a user name that the peer sent, as checkers want it.

        Raises:
            UnauthorizedLogin: it is not text, or is longer than 256 bytes.
            TooManyAttempts: too many logins of that account have failed.
        """

    def admit(self, credentials: Any, mind: Any, mechanism: str) -> Deferred[OnBehalf]:
        """Check the credentials and make an avatar; return a Deferred of what to send."""

    def consult(self, function: Callable[..., Any], *args: Any) -> Deferred[Any]:
        """Call a function of a checker; return a Deferred of its result."""

    def step(self, function: Callable[..., Any], *args: Any) -> Deferred[Any]:
        """Continue the attempt in a later call; return a Deferred of the result."""


class OfferContext(Protocol):
    """The connection and the checkers: all that decides whether a mechanism is available.

    Attributes:
        broker: the connection.
    """

    broker: Broker

    def checker_for(self, kind: Any) -> Any:
        """Return the portal's checker for credentials of this interface, or None."""


class Mechanism:
    """A login mechanism: a table row for both ends, and the client's side.

    Attributes:
        name: its name in the server's offer: ASCII, without spaces.
        asks_for: the credentials that it needs, in words.
        mind_arguments: its methods, and the index of the mind in the arguments of each, or None.
        is_for_private: it sends a secret, and is used only over TLS, the loopback and the like.
    """

    name: str
    asks_for: str
    mind_arguments: ClassVar[dict[str, int | None]]
    is_for_private = False

    def is_offered(self, context: OfferContext) -> bool:
        """Return whether this server takes it from this peer now."""
        return self.server_refusal(context) is None and self.has_checker(context)

    def server_refusal(self, context: OfferContext) -> str | None:
        """Return why this mechanism is not available on this connection, or None."""
        if self.is_for_private and not context.broker.port.is_private:
            return f"{self.asks_for} is taken over TLS or the loopback only"
        return None

    def refusal_error(self, reason: str) -> cred_error.LoginFailed:
        """Return the error of a login while the mechanism is not available."""
        return cred_error.LoginFailed(reason)

    def require(self, context: MechanismContext) -> None:
        """Check that it is available on this connection; from then on wrong credentials count.

        Raises:
            LoginFailed: it is not available.
        """
        reason = self.server_refusal(context)
        if reason is not None:
            raise self.refusal_error(reason)
        context.is_guess = True

    def has_checker(self, context: OfferContext) -> bool:
        """Return whether the portal has a checker for its credentials."""
        raise NotImplementedError

    def accepts(self, credentials: Any) -> bool:
        """Return whether it takes credentials of this kind."""
        raise NotImplementedError

    def client_refusal(self, broker: Broker, credentials: Any) -> cred_error.LoginFailed | None:
        """Return an error if a client cannot use it on this connection, or None."""
        if self.is_for_private and not broker.port.is_private:
            text = f"{self.asks_for} is sent over TLS or the loopback only: use pbs://"
            return cred_error.LoginFailed(text)
        return None

    def log_in(
        self, broker: Broker, root: RemoteReference, credentials: Any, mind: Any
    ) -> Deferred[Any]:
        """Do the client's side of a login; return a Deferred of the avatar."""
        raise NotImplementedError


def answered_only(route: Route) -> Route:
    """Return the route for login methods of this library: it refuses calls that want no answer.

    Without an answer the client has no reference to the avatar, and cannot drop it.
    """
    return route._replace(unanswered=_no_answer_wanted, is_ours=True)


def _no_answer_wanted() -> Exception:
    return cred_error.LoginFailed("a login wants an answer: call without pbanswer=False")


def has_password(credentials: Any) -> bool:
    """Return whether credentials are a user name and a password that may be sent.

    Credentials of other packages count too.
    """
    if isinstance(credentials, Scram):
        return False
    return hasattr(credentials, "username") and hasattr(credentials, "password")


def sent(broker: Broker, text: Text) -> Text:
    """Return a user name or password in the type that is sent to the server.

    The published policy sends the type that was given. A policy with ``text_user_names`` sends
    bytes, since most Twisted servers know user names as bytes.

    Raises:
        TypeError: it is neither str nor bytes.
    """
    return to_octets(text) if broker.policy.text_user_names else as_given(text)


def no_login(failure: Failure) -> Failure:
    """Errback of the first call to a login method: replaces NoSuchMethod of a server without one.

    Raises:
        LoginFailed: in place of NoSuchMethod.
    """
    if failure.check(NoSuchMethod):
        before = "this server asks for no login: "
        raise fixed_by(cred_error.LoginFailed, before, "no credentials")
    # Returned, not raised: an errback can trap an unknown class by the name in the Failure.
    return failure


def login_asked_for() -> cred_error.LoginFailed:
    """Return the error of a call that was made before a login."""
    return fixed_by(cred_error.LoginFailed, "this server asks for a login: ", "credentials")


def pair_of(answer: Any, what: str, kind: type = object) -> tuple[bytes, Any]:
    """Return the server's answer if it is a pair of bytes and an instance of ``kind``.

    Raises:
        LoginFailed: it is something else.
    """
    if isinstance(answer, tuple | list) and len(answer) == 2:
        octets, other = answer
        if isinstance(octets, bytes) and isinstance(other, kind):
            return octets, other
    raise cred_error.LoginFailed(f"the server's {what} is not understood")
