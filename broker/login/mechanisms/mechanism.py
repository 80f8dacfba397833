"""The base of login mechanisms: one class has the client's side and the server's side of one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Generic, NamedTuple, Protocol, TypeAlias, TypeGuard, TypeVar

from broker.core.calls.dispatch import Route
from broker.defer import Deferred
from broker.errors import NoSuchMethod
from broker.failure import Failure
from broker.fixes import fixed_by
from broker.login import errors as login_errors  # noqa: F401 - both ends come by here
from broker.login.context import ClientContext, LoginContext, ServerContext
from cred import error as cred_error
from cred.credentials import Scram
from cred.octets import Text

__all__ = [
    "AnyMechanism",
    "LoginCall",
    "Mechanism",
    "WithPassword",
    "answered_only",
    "has_password",
    "login_asked_for",
    "no_answer_wanted",
    "no_login",
    "pair_of",
]

C = TypeVar("C")


class LoginCall(NamedTuple):
    """A method that a client calls to log in.

    Attributes:
        name: its name on the wire.
        mind_argument: the index of the mind in its arguments; None if it takes no mind.
    """

    name: str
    mind_argument: int | None


class Mechanism(Generic[C]):
    """A login mechanism: its row in the table, the client's side and the server's side.

    A subclass has the class attributes and the methods `accepts`, `client` and `server`.

    Attributes:
        name: its name in the server's offer: ASCII, without spaces.
        asks_for: the credentials that it needs, in words.
        calls: its methods. The first is a method of the login root, and is implemented by `server`.
            The others belong to the objects that `server` returns.
        checked_as: the interfaces of its credentials at the server. It is offered if the portal has
            a checker for one of them.
        is_for_private: it sends a secret, and is used only over TLS, the loopback and the like.
        server: the server's side: called with a ServerContext and the arguments of the first call,
            and returns the answer or an awaitable of it. It calls `require` first, then
            ``context.name_of`` if there is a user name, and ends with ``context.admit``.
    """

    name: str
    asks_for: str
    calls: ClassVar[tuple[LoginCall, ...]]
    checked_as: ClassVar[tuple[Any, ...]]
    is_for_private: ClassVar[bool] = False
    server: Callable[..., object]

    def accepts(self, credentials: object) -> TypeGuard[C]:
        """Return whether it takes credentials of this kind."""
        raise NotImplementedError

    def client(self, context: ClientContext, credentials: C, mind: object) -> Deferred[object]:
        """Do the client's side of a login; return a Deferred of the avatar."""
        raise NotImplementedError

    def client_refusal(
        self, context: LoginContext, credentials: C
    ) -> cred_error.LoginFailed | None:
        """Return an error if a client cannot use it on this connection, or None."""
        if self.is_for_private and not context.broker.port.is_private:
            text = f"{self.asks_for} is sent over TLS or the loopback only: use pbs://"
            return cred_error.LoginFailed(text)
        return None

    def server_refusal(self, context: LoginContext) -> str | None:
        """Return why a server does not take it on this connection, or None."""
        if self.is_for_private and not context.broker.port.is_private:
            return f"{self.asks_for} is taken over TLS or the loopback only"
        return None

    def refusal_error(self, reason: str) -> cred_error.LoginFailed:
        """Return the error of a login while the mechanism is not available."""
        return cred_error.LoginFailed(reason)

    def require(self, context: ServerContext) -> None:
        """Check that a server takes it here; from then on wrong credentials count.

        Raises:
            LoginFailed: it does not.
        """
        reason = self.server_refusal(context)
        if reason is not None:
            raise self.refusal_error(reason)
        context.is_guess = True


AnyMechanism: TypeAlias = Mechanism[Any]
"""A mechanism for some kind of credentials."""


class WithPassword(Protocol):
    """Credentials that are a user name and a password, of this library or of another."""

    username: Text
    password: Text


def has_password(credentials: object) -> TypeGuard[WithPassword]:
    """Return whether credentials are a user name and a password that may be sent.

    Credentials of other packages count too.
    """
    if isinstance(credentials, Scram):
        return False
    return hasattr(credentials, "username") and hasattr(credentials, "password")


def answered_only(route: Route, **others: Any) -> Route:
    """Return the route for login methods of this library: it refuses calls that want no answer.

    Without an answer the client has no reference to the avatar, and cannot drop it.

    Args:
        route: the route of the object.
        others: further fields of the route to replace.
    """
    return route._replace(unanswered=no_answer_wanted, is_ours=True, **others)


def no_answer_wanted() -> Exception:
    """Return the error of a login whose caller wants no answer."""
    return cred_error.LoginFailed("a login wants an answer: call without pbanswer=False")


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


def pair_of(answer: object, what: str, kind: type[C]) -> tuple[bytes, C]:
    """Return the server's answer if it is a pair of bytes and an instance of ``kind``.

    Raises:
        LoginFailed: it is something else.
    """
    if isinstance(answer, tuple | list) and len(answer) == 2:
        octets, other = answer
        if isinstance(octets, bytes) and isinstance(other, kind):
            return octets, other
    raise cred_error.LoginFailed(f"the server's {what} is not understood")
