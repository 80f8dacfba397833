"""What every way to log in has: a name, when it is open, and what the client does.

The server's part is a function ``serve`` of each module here, called by the login method of that
name; it has a `MechanismContext` for the rest.
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
from broker.flavors.reference import RemoteReference
from broker.login import errors as login_errors  # noqa: F401 - both ends come by here
from broker.net.schemes import is_private
from cred import error as cred_error
from cred.credentials import Scram
from cred.octets import Text, as_given, to_octets

__all__ = [
    "Mechanism",
    "MechanismContext",
    "OfferContext",
    "answered_only",
    "has_password",
    "no_login",
    "pair_of",
    "sent",
]


class MechanismContext(Protocol):
    """What the server's part of a mechanism works with: one attempt to log in.

    Attributes:
        broker: the connection.
        mechanism: the name by which it is logged.
        is_guess: whether wrong credentials count as a failure.
    """

    broker: Broker
    mechanism: str
    is_guess: bool

    def checker_for(self, kind: Any) -> Any:
        """Return the portal's checker for credentials of this interface, or None."""

    def name_of(self, username: Any) -> Text:
        """Return a user name of the peer's as checkers want it.

        Raises:
            UnauthorizedLogin: it is no text, or is longer than 256 bytes.
            TooManyAttempts: too many have failed for that account.
        """

    def admit(self, credentials: Any, mind: Any, mechanism: str) -> Deferred[OnBehalf]:
        """Have the credentials checked and an avatar made; return a Deferred of what to send."""

    def consult(self, function: Callable[..., Any], *args: Any) -> Deferred[Any]:
        """Call a function of a checker's; return a Deferred of what it returns."""

    def step(self, function: Callable[..., Any], *args: Any) -> Deferred[Any]:
        """Go on with the attempt in a later call; return a Deferred of what that returns."""


class OfferContext(Protocol):
    """What tells whether a mechanism is open: `MechanismContext` before an attempt.

    Attributes:
        broker: the connection.
    """

    broker: Broker

    def checker_for(self, kind: Any) -> Any:
        """Return the portal's checker for credentials of this interface, or None."""


class Mechanism:
    """A way to log in, as both ends see it.

    Attributes:
        name: what the offer of a server calls it: ASCII, without spaces.
        asks_for: what a client gives for it, in words.
        mind_arguments: the calls that it is made of, and which of their arguments is the mind, if any.
        is_for_private: it shows a secret, and is used only where nobody can listen in.
    """

    name: str
    asks_for: str
    mind_arguments: ClassVar[dict[str, int | None]]
    is_for_private = False

    def is_offered(self, context: OfferContext) -> bool:
        """Return whether this server takes it from this peer, now."""
        return self.server_refusal(context) is None and self.has_checker(context)

    def server_refusal(self, context: OfferContext) -> str | None:
        """Return why this connection is none on which it is taken, or None."""
        if self.is_for_private and not is_private(context.broker.transport):
            return f"{self.asks_for} is taken over TLS or the loopback only"
        return None

    def refusal_error(self, reason: str) -> cred_error.LoginFailed:
        """Return the error of a login where the mechanism is not taken."""
        return cred_error.LoginFailed(reason)

    def require(self, context: MechanismContext) -> None:
        """Begin, where it is taken on this connection: from now on, what is wrong counts.

        Raises:
            LoginFailed: it is not taken.
        """
        reason = self.server_refusal(context)
        if reason is not None:
            raise self.refusal_error(reason)
        context.is_guess = True

    def has_checker(self, context: OfferContext) -> bool:
        """Return whether the portal has a checker for its credentials."""
        raise NotImplementedError

    def accepts(self, credentials: Any) -> bool:
        """Return whether a client's credentials are of the kind that it takes."""
        raise NotImplementedError

    def client_refusal(self, broker: Broker, credentials: Any) -> str | None:
        """Return why a client cannot use it on this connection, or None."""
        if self.is_for_private and not is_private(broker.transport):
            return f"{self.asks_for} is sent over TLS or the loopback only: use pbs://"
        return None

    def log_in(
        self, broker: Broker, root: RemoteReference, credentials: Any, mind: Any
    ) -> Deferred[Any]:
        """Do the client's part; return a Deferred of the avatar."""
        raise NotImplementedError


def answered_only(route: Route) -> Route:
    """Return the route of login methods, which refuses calls that want no answer.

    Without an answer the client has no reference to the avatar, and cannot drop it.
    """
    # The methods are this library's, so their errors are not logged as the application's.
    return route._replace(unanswered=_no_answer_wanted, is_ours=True)


def _no_answer_wanted() -> Exception:
    return cred_error.LoginFailed("a login wants an answer: call without pbanswer=False")


def has_password(credentials: Any) -> bool:
    """Return whether a client's credentials are a user name and a password that may be shown.

    Those of other packages count too.
    """
    if isinstance(credentials, Scram):
        return False
    return hasattr(credentials, "username") and hasattr(credentials, "password")


def sent(broker: Broker, text: Text) -> Text:
    """Return a user name or password of a client's as it goes to the server.

    As it was given under the published policy; as bytes where user names are text, of which most
    Twisted servers know the bytes.

    Raises:
        TypeError: it is neither str nor bytes.
    """
    return to_octets(text) if broker.policy.text_user_names else as_given(text)


def no_login(failure: Failure) -> Failure:
    """Be the errback of the first call to a login method: a root without one is no portal.

    Raises:
        LoginFailed: in place of NoSuchMethod.
    """
    if failure.check(NoSuchMethod):
        raise cred_error.LoginFailed("this server asks for no login: connect without credentials")
    # As it came, not raised: an errback traps it by the name of a class that is not known here.
    return failure


def pair_of(answer: Any, what: str, kind: type = object) -> tuple[bytes, Any]:
    """Return an answer of a server's that is bytes and something of a kind.

    Raises:
        LoginFailed: it is something else.
    """
    if isinstance(answer, tuple | list) and len(answer) == 2:
        octets, other = answer
        if isinstance(octets, bytes) and isinstance(other, kind):
            return octets, other
    raise cred_error.LoginFailed(f"the server's {what} is not understood")
