"""The client's side of a login.

A refused login is always a LoginFailed here. TooManyAttempts, ServerBusy and ServerDraining, which
end other calls too, get subclasses for that.

The offer of a server with this library names the mechanisms that it takes. The client uses the
strongest of them that takes its credentials and that its policy allows. If that one fails, it tries
no other. A server whose offer names no mechanism is Twisted's, or has no login. The client then
uses PB's challenge login, or PB's anonymous login, and never a call that Twisted does not know. See
``broker.login.server`` for the other side, ``broker.login.mechanisms`` for each mechanism.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from broker.connection.broker import Broker
from broker.core.calls.attached import ATTACHED
from broker.defer import Deferred, fail
from broker.errors import RemoteError, ServerBusy, ServerDraining, TooManyAttempts, WrongType
from broker.failure import Failure
from broker.flavors.promise import Promise
from broker.flavors.received import as_received
from broker.flavors.reference import RemoteReference
from broker.login.context import ClientContext
from broker.login.mechanisms import MECHANISMS
from broker.login.mechanisms.anonymous import ANONYMOUS
from broker.login.mechanisms.challenge import CHALLENGE
from broker.login.mechanisms.mechanism import AnyMechanism
from broker.login.mechanisms.table import MechanismTable
from cred.credentials import Scram
from cred.error import LoginFailed
from jelly.fields import fields_of

__all__ = [
    "Login",
    "LoginPutOff",
    "LoginWhileBusy",
    "LoginWhileDraining",
    "as_login_failed",
    "login",
    "taker_of",
]


class LoginPutOff(TooManyAttempts, LoginFailed):
    """Too many logins have failed; ``after`` is the number of seconds until the next try."""


class LoginWhileBusy(ServerBusy, LoginFailed):
    """The server is too busy for a login now."""


class LoginWhileDraining(ServerDraining, LoginFailed):
    """The server is shutting down, and accepts no more logins."""


# The error of a login for each error that ends other calls too.
_AT_A_LOGIN: dict[type[Exception], type[Exception]] = {
    TooManyAttempts: LoginPutOff,
    ServerBusy: LoginWhileBusy,
    ServerDraining: LoginWhileDraining,
}


class Login:
    """A login that is ready to begin, on any connection.

    Args:
        credentials: of ``cred.credentials``: UsernamePassword, or another object with ``username``
            and ``password``; Scram; Token; ClientCertificate; Anonymous.
        mind: the object that the realm gets to call this client, usually a Referenceable, or None.
        table: the mechanisms that may be used.

    Raises:
        WrongType: a TypeError: no mechanism takes ``credentials``.
    """

    def __init__(
        self, credentials: object, mind: object = None, table: MechanismTable = MECHANISMS
    ):
        self._credentials = credentials
        self._mind = mind
        self._table = table
        if taker_of(credentials, table) is None:
            raise _wrong_type(credentials)

    def begin(
        self, broker: Broker, behind: Callable[[Promise[Any]], object] | None = None
    ) -> Deferred[RemoteReference]:
        """Log in over a connection, and return a Deferred of the avatar.

        Args:
            broker: the client's side, ready for calls.
            behind: called with the promise of the avatar, to make calls that leave behind the
                login; see `ClientContext`.

        The Deferred fails with LoginFailed or a subclass if the server refuses the login, asks for
        no login, takes no credentials of this kind, or offers only mechanisms that the policy does
        not allow. A refusal that is worth another try is also a TooManyAttempts, ServerBusy,
        ServerDraining or LoginUnavailable; see ``broker.is_transient``.
        """
        context = ClientContext(broker, broker.remoteForName(b"root"), behind)

        def logged_in(avatar: RemoteReference) -> RemoteReference:
            broker.peer.mechanism = mechanism.name
            return avatar

        # The calls behind the login get nothing that the running code attaches to its calls.
        token = ATTACHED.set(None)
        try:
            mechanism = self._choose(context, broker.session.logins)
            entered = mechanism.client(context, self._credentials, self._mind)
        except BaseException:  # noqa: BLE001 - any exception is the result of the login
            return fail().addErrback(_refused)
        finally:
            ATTACHED.reset(token)
        return entered.addCallbacks(logged_in, _refused)

    def _choose(self, context: ClientContext, names: tuple[str, ...] | None) -> AnyMechanism:
        """Return the strongest mechanism that takes the credentials and that the server names.

        Raises:
            LoginFailed: there is no such mechanism, or the policy or this connection forbids it.
        """
        credentials = self._credentials
        if ANONYMOUS.accepts(credentials):
            return ANONYMOUS
        if names is None:
            return self._published()
        refusals = []
        for mechanism in self._table.rows:
            if mechanism.name in names and mechanism.accepts(credentials):
                refusal = mechanism.client_refusal(context, credentials)
                if refusal is None:
                    return mechanism
                refusals.append(refusal)
        if refusals:
            raise refusals[-1]
        known = ", ".join(self._table.named(names)) or "no login that is known here"
        raise LoginFailed(f"this server takes: {known}; you gave {self._given()}")

    def _published(self) -> AnyMechanism:
        """Return the mechanism for a server that names no mechanisms, which may be Twisted's."""
        if not CHALLENGE.accepts(self._credentials):
            raise LoginFailed(
                f"this server is Twisted's, or asks for no login; you gave {self._given()}"
            )
        return CHALLENGE

    def _given(self) -> str:
        """Return the credentials in words, with the mechanisms they are limited to, if any."""
        fitting = [row for row in self._table.rows if row.accepts(self._credentials)]
        names = " or ".join(row.name for row in fitting)
        only = f" for {names} only" if isinstance(self._credentials, Scram) else ""
        return fitting[0].asks_for + only


def taker_of(credentials: object, table: MechanismTable = MECHANISMS) -> AnyMechanism | None:
    """Return the strongest mechanism that takes an object as credentials, or None."""
    for row in table.rows:
        if row.accepts(credentials):
            return row
    return None


def login(broker: Broker, credentials: object, mind: object = None) -> Deferred[RemoteReference]:
    """Log in over a connection, and return a Deferred of the avatar; see `Login`.

    Raises:
        WrongType: a TypeError: no mechanism takes ``credentials``.
    """
    return Login(credentials, mind).begin(broker)


def _refused(failure: Failure) -> Any:
    """Return the failure; raise a LoginFailed instead if it is a refusal of another type."""
    refusal = failure.check(*_AT_A_LOGIN)
    error = failure.as_exception()
    if refusal is None or isinstance(error, LoginFailed):
        return failure
    made = _at_a_login(_AT_A_LOGIN[refusal], error)
    raise (as_received(made, error) if isinstance(error, RemoteError) else made) from None


def as_login_failed(error: Exception) -> Exception:
    """Return the error of a login for one that may end other calls too; another one as it is."""
    if not isinstance(error, LoginFailed):
        for kind, at_a_login in _AT_A_LOGIN.items():
            if isinstance(error, kind):
                return _at_a_login(at_a_login, error)
    return error


def _at_a_login(kind: type[Exception], error: BaseException) -> Exception:
    made = kind(*error.args)
    for name, item in fields_of(error).items():
        setattr(made, name, item)
    return made


def _wrong_type(credentials: object) -> WrongType:
    if isinstance(credentials, type):
        name = credentials.__name__
        return WrongType(f"credentials are an object, not the class {name}: write {name}(…)")
    text = f"{type(credentials).__name__} is not credentials of cred.credentials"
    if isinstance(credentials, tuple | list | dict):
        text += ": give UsernamePassword(name, password)"
    return WrongType(text)
