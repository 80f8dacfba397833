"""One attempt to log in at a front end that does not speak PB.

It has the steps of `broker.login.context.ServerContext`, which is for the mechanisms of PB. The
throttle is asked first, a checker accepts the credentials, the realm makes the avatar, and the
audit log gets a line.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final, Protocol

from msgspec.structs import replace

from broker.core.policy import Policy
from broker.defer import maybeDeferred
from broker.errors import ConfigError, ServerBusy, WrongType
from broker.failure import Failure
from broker.login.active_logins import AcceptedUser
from broker.login.audit import Audit, why
from broker.login.client import as_login_failed
from broker.login.context import text_of_avatar_id
from broker.login.mechanisms import MECHANISMS
from broker.login.mechanisms.mechanism import has_password
from broker.login.mechanisms.password import secret_of
from broker.login.pending import PendingConnections
from broker.login.portal_view import PortalView
from broker.login.sessions import Sessions
from broker.login.throttle import LoginSource, LoginThrottle, account_of
from broker.net.log_throttle import LogThrottle
from broker.net.socket_addresses import source_of
from broker.printable import text_of_error
from cred.credentials import UsernamePassword
from cred.error import LoginFailed, Unauthorized, wrong_login
from cred.octets import Text, as_given, to_octets
from cred.portal import LoginResult, Portal, Realm
from cred.saslprep import LONGEST_NAME
from cred.workers import QueueFull

__all__ = ["Attempt", "FrontEndLogin", "Shared", "Visited", "check_mechanism"]

logger = logging.getLogger("broker.login")

LONGEST_MECHANISM: Final = 32

_NOT_PRIVATE = "{} are taken inside TLS or on this machine only"


class Shared(Protocol):
    """What all logins of a portal share; see `broker.login.portal_logins.PortalLogins`."""

    portal: Portal
    policy: Policy
    throttle: LoginThrottle
    audit: Audit
    pending: PendingConnections
    sessions: Sessions
    log_throttle: LogThrottle
    clock: Callable[[], float]

    def check_open(self) -> None:
        """Raise LoginWhileDraining if the server is being closed."""


class Visited(Protocol):
    """A visit, as an attempt needs it.

    Attributes:
        address: the address of the peer.
        is_private: whether a third party cannot read what the peer sends.
        key: identifies the visit to the throttle.
    """

    address: object
    is_private: bool
    key: object

    def check(self) -> None:
        """Raise an error if no login can be added: the visit has ended, or has too many."""

    def accepted(self) -> None:
        """Note that a checker has accepted the credentials of the peer."""

    def add(self, login: FrontEndLogin, user: AcceptedUser) -> None:
        """Add a login.

        Raises:
            LoginExpired: it has expired already.
        """


class FrontEndLogin:
    """A login of a front end, until its logout.

    Attributes:
        avatar: the object that the realm has made for this user.
        interface: the one of the requested interfaces that the avatar provides.
        avatar_id: the user, as text; None for a guest.
        groups: the groups that this user is in.
        expires: when the visit ends, in seconds since 1970; None for never.
        mechanism: as given to `Visit.login`.
    """

    __slots__ = ("_logout", "avatar", "avatar_id", "expires", "groups", "interface", "mechanism")

    def __init__(self, result: LoginResult, user: AcceptedUser):
        try:
            self.interface, self.avatar, logout = result
        except (TypeError, ValueError):
            raise TypeError("requestAvatar returns (interface, avatar, logout)") from None
        self._logout: Callable[[], object] | None = logout
        self.avatar_id = user.avatar_id
        self.mechanism = user.mechanism
        self.groups = user.groups
        self.expires = user.expires

    def __repr__(self) -> str:
        state = ", logged out" if self._logout is None else ""
        return f"<FrontEndLogin of {self.avatar_id!r} by {self.mechanism}{state}>"

    @property
    def is_active(self) -> bool:
        """Whether it has not been logged out, neither here nor by the end of the visit."""
        return self._logout is not None

    def logout(self) -> None:
        """Call the logout of the avatar; a second call does nothing.

        The end of the visit calls it too. A logout may be async. An exception of it is logged.
        """
        logout, self._logout = self._logout, None
        if logout is not None:
            maybeDeferred(logout)


class Attempt:
    """One attempt to log in.

    Args:
        shared: what all logins of the portal share.
        visit: the connection or request.
        mechanism: for the audit log.
    """

    __slots__ = ("_mechanism", "_name", "_shared", "_source", "_user", "_visit")

    def __init__(self, shared: Shared, visit: Visited, mechanism: str):
        self._shared = shared
        self._visit = visit
        self._mechanism = mechanism
        self._source = LoginSource(visit.key, source_of(visit.address))
        self._name: Text | None = None
        self._user: AcceptedUser | None = None

    async def run(
        self, credentials: object, mind: object, interfaces: tuple[object, ...]
    ) -> FrontEndLogin:
        """Log in; see `broker.login.visits.Visit.login`."""
        try:
            self._shared.throttle.check(self._source)
            return await self._admit(self._prepared(credentials), mind, interfaces)
        except Exception as error:
            self._failed(error)
            if isinstance(error, QueueFull):
                raise as_login_failed(ServerBusy(str(error))) from None
            refusal = as_login_failed(error)
            if refusal is error:
                raise
            raise refusal from None

    def _prepared(self, credentials: Any) -> Any:
        """Return the credentials as checkers want them; note the account that they are for.

        Raises:
            LoginFailed: they have a secret that others can read on this connection.
            UnauthorizedLogin: the user name or password is not text, or is too long.
            TooManyAttempts: too many logins of that account have failed.
        """
        if not self._visit.is_private:
            kind = _secret_in(credentials)
            if kind:
                raise LoginFailed(_NOT_PRIVATE.format(kind))
        name = getattr(credentials, "username", None)
        if name is None:
            return credentials
        is_text = self._shared.policy.text_user_names
        try:
            octets = to_octets(name)
            username = octets.decode("utf-8") if is_text else as_given(name)
        except (TypeError, UnicodeDecodeError):
            raise wrong_login("no possible user name") from None
        if len(octets) > LONGEST_NAME:
            raise wrong_login("no possible user name")
        self._name = username
        self._source = replace(self._source, account=account_of(octets))
        self._shared.throttle.check(self._source)
        if not has_password(credentials):
            return credentials
        secret = secret_of(credentials.password, is_text)
        if type(credentials) is UsernamePassword:
            return UsernamePassword(username, secret)
        return credentials

    async def _admit(
        self, credentials: object, mind: object, interfaces: tuple[object, ...]
    ) -> FrontEndLogin:
        shared, visit = self._shared, self._visit
        visit.check()
        view = PortalView(shared.portal, self._request_avatar)
        # A portal may return the result itself.
        result = await maybeDeferred(view.login, credentials, mind, *interfaces)
        user = self._user
        if user is None:
            # The portal has logged the user in without its realm, and tells no avatar id.
            user = AcceptedUser(None, self._mechanism)
            visit.accepted()
        login = FrontEndLogin(result, user)
        try:
            visit.add(login, user)
        except BaseException:
            login.logout()
            raise
        shared.throttle.succeeded(self._source)
        shared.audit.accepted(visit.address, self._mechanism, user.avatar_id)
        return login

    def _request_avatar(
        self, realm: Realm, avatar_id: object, mind: object, *interfaces: object
    ) -> object:
        """Ask the realm of the portal: a checker has accepted the credentials."""
        if self._shared.policy.text_user_names and isinstance(avatar_id, bytes):
            avatar_id = text_of_avatar_id(avatar_id)
        self._user = AcceptedUser.of(avatar_id, self._mechanism)
        self._visit.accepted()
        return realm.requestAvatar(avatar_id, mind, *interfaces)

    def _failed(self, error: Exception) -> None:
        shared, address = self._shared, self._visit.address
        if isinstance(error, Unauthorized):
            shared.throttle.failed(self._source)
        is_told = shared.audit.refused(address, self._mechanism, self._name, Failure(error))
        # As for a login of PB, the log does not tell an unknown user from a wrong password.
        kind = type(error).__name__
        text = text_of_error(error, 300) if why(error)[0] == "refused" else "raised by the portal"
        throttle = shared.log_throttle
        level = logging.DEBUG if is_told else logging.WARNING
        throttle.log(logger, level, address, "%s: %s: %s", address, kind, text)


def check_mechanism(name: object) -> str:
    """Return the name of a way to log in, if it is not one of PB.

    Raises:
        WrongType: a TypeError: it is not a str.
        ConfigError: it is not 1 to 32 characters of ASCII without spaces, or is a name of PB's.
    """
    if not isinstance(name, str):
        raise WrongType(f"mechanism= is a name such as 'irc', not {type(name).__name__}")
    if not 1 <= len(name) <= LONGEST_MECHANISM or not all("!" <= each <= "~" for each in name):
        raise ConfigError(
            f"mechanism= is 1 to {LONGEST_MECHANISM} characters of ASCII without spaces"
        )
    if name.lower() in {row.name.lower() for row in MECHANISMS.rows}:
        raise ConfigError(f"mechanism='{name}' is one of PB: give the name of the front end")
    return name


def _secret_in(credentials: object) -> str:
    """Return what secret the credentials show, in words; empty if they show none."""
    for row in MECHANISMS.rows:
        if row.is_for_private and any(kind.providedBy(credentials) for kind in row.checked_as):
            return row.asks_for.removeprefix("a ") + "s"
    return "passwords" if has_password(credentials) else ""
