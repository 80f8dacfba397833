"""The portal: turns credentials into an avatar.

A login takes two steps. The portal passes the credentials to the checker for their kind, which
returns an avatar id. Then it passes the avatar id to the realm, which returns the avatar. Checkers
do not know the application, and realms do not know passwords.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeAlias

from zope.interface import Interface, providedBy

from broker.defer import Deferred, maybeDeferred
from cred.checkers import CredentialsChecker, ICredentialsChecker
from cred.error import UnhandledCredentials

__all__ = ["IRealm", "LoginResult", "Portal", "Realm"]

# The interface, the avatar that provides it, and the function that logs out.
LoginResult: TypeAlias = tuple[Any, Any, Callable[[], Any]]


class IRealm(Interface):  # type: ignore[misc]
    """The application's side of a login: makes avatars (published)."""

    def requestAvatar(avatarId: Any, mind: Any, *interfaces: Any) -> Any:
        """Return the avatar of a user whose credentials are right.

        Args:
            avatarId: the result of the checker: a user name, or `cred.checkers.ANONYMOUS`.
            mind: the object that the client sent to be called, or None.
            interfaces: the interfaces that the caller supports; the avatar provides one of them.

        Returns:
            ``(interface, avatar, logout)``: the chosen one of `interfaces`, the object that
            provides it, and a function without arguments, which is called once when the user has
            gone. Or an awaitable or Deferred of this tuple. The method may be ``async def``.

        Raises:
            LoginDenied: this user may not log in now.
            NotImplementedError: none of `interfaces` is supported.
        """


class Realm(Protocol):
    """`IRealm` for type checkers: no declaration is needed to fit it."""

    def requestAvatar(self, avatarId: Any, mind: Any, /, *interfaces: Any) -> Any:
        """Return ``(interface, avatar, logout)`` for the user of that id."""


# The text of an error has Twisted's names of these modules.
_PUBLISHED_MODULES = {
    "cred.interfaces": "twisted.cred.credentials",
    "broker.login.mechanisms.challenge": "twisted.spread.pb",
    "jelly.interfaces": "twisted.spread.interfaces",
}


class Portal:
    """A realm, and the checkers of its logins (published).

    Attributes:
        realm: makes the avatars.
        checkers: credentials interface to checker, in the order of registration. If credentials
            provide several of these, the first decides.
        throttle: limits the failed logins over a network, a `broker.LoginThrottle`; with None a
            server makes its own.

    Raises:
        WrongType: a TypeError: `realm` has no ``requestAvatar``, or an element of `checkers` is not
            a checker.
        ConfigError: `checkers` is given, and empty.

    Checkers may be registered later; ``broker.serve`` refuses a portal without checkers.
    """

    def __init__(
        self, realm: Realm, checkers: Iterable[CredentialsChecker] = (), *, throttle: Any = None
    ) -> None:
        _check_realm(realm)
        if not isinstance(checkers, Iterable):
            raise _wrong_type(
                f"checkers are given in a list, as in [checker], not {_described(checkers)}"
            )
        self.realm = realm
        self.throttle = throttle
        self.checkers: dict[Any, CredentialsChecker] = {}
        for checker in checkers:
            self.registerChecker(checker)
        if not self.checkers and checkers != ():
            # Imported late: `import cred` loads only Deferreds of broker.
            from broker.config_error import ConfigError

            raise ConfigError(
                "a portal without checkers accepts no login: give one, as in [checker], or leave"
                " the argument out and call registerChecker"
            )

    def listCredentialsInterfaces(self) -> list[Any]:
        """Return the interfaces of the credentials that can log in here."""
        return list(self.checkers)

    def registerChecker(self, checker: CredentialsChecker, *credentialInterfaces: Any) -> None:
        """Use `checker` for credentials of the given interfaces, instead of any other checker.

        The default is all interfaces in its ``credentialInterfaces``.

        Raises:
            WrongType: a TypeError: it is not a checker.
        """
        _check_checker(checker, bool(credentialInterfaces))
        for interface in credentialInterfaces or checker.credentialInterfaces:
            self.checkers[interface] = checker

    def login(self, credentials: object, mind: object, *interfaces: Any) -> Deferred[LoginResult]:
        """Log in with `credentials`.

        Args:
            credentials: an object that provides an interface of one of the checkers.
            mind: passed to the realm; for a PB client, a reference for calls to the client.
            interfaces: passed to the realm; the avatar will provide one of them.

        Returns:
            A Deferred of ``(interface, avatar, logout)``. Call ``logout()`` once, when the user
            has gone. It fails with UnauthorizedLogin for wrong credentials, UnhandledCredentials
            for a kind that no checker takes, and any other exception of the checker or the realm.
        """
        checked = maybeDeferred(self.check, credentials)
        return checked.addCallback(self._checked, mind, interfaces)

    def _checked(
        self, avatar_id: Any, mind: object, interfaces: tuple[Any, ...]
    ) -> Deferred[LoginResult]:
        return maybeDeferred(self.request_avatar, avatar_id, mind, *interfaces)

    def check(self, credentials: object) -> Any:
        """Ask the checker for these credentials: the first of the two steps of a login.

        A server takes the steps one by one, unless a subclass overrides `login`.

        Returns:
            The avatar id, or an awaitable of it: the value that the checker returned.

        Raises:
            UnhandledCredentials: no checker takes credentials of this kind. An exception of the
                checker is passed on.
        """
        for interface, checker in self.checkers.items():
            if interface.providedBy(credentials):
                return checker.requestAvatarId(credentials)
        raise self._unhandled(credentials)

    def request_avatar(self, avatar_id: Any, mind: object, *interfaces: Any) -> Any:
        """Ask the realm for the avatar of a user: the second step, after `check`.

        Args:
            avatar_id: the result of `check`.
            mind, interfaces: see `login`.

        Returns:
            ``(interface, avatar, logout)``, or an awaitable of it: the value that the realm
            returned. An exception of the realm is passed on.
        """
        return self.realm.requestAvatar(avatar_id, mind, *interfaces)

    def _unhandled(self, credentials: object) -> UnhandledCredentials:
        kinds = ", ".join(map(_published_name, providedBy(credentials)))
        kinds = kinds or f"{type(credentials).__name__}, which is not credentials"
        error = UnhandledCredentials(f"No checker for {kinds}")
        error.add_note(f"this portal takes {_join_names(self.checkers) or 'none'}")
        return error


def _published_name(interface: Any) -> str:
    module, _, name = interface.__identifier__.rpartition(".")
    return f"{_PUBLISHED_MODULES.get(module, module)}.{name}"


def _join_names(interfaces: Iterable[Any]) -> str:
    return ", ".join(interface.__name__ for interface in interfaces)


def _check_realm(realm: Any) -> None:
    is_instance = not isinstance(realm, type) or IRealm.providedBy(realm)
    if is_instance and callable(getattr(realm, "requestAvatar", None)):
        return
    hint = ""
    if isinstance(realm, type) and hasattr(realm, "requestAvatar"):
        hint = f": write {realm.__name__}()"
    elif callable(realm):
        hint = ": write Portal(broker.realm(function), …)"
    raise _wrong_type(f"a realm is an object with requestAvatar, not {_described(realm)}{hint}")


def _check_checker(checker: Any, has_interfaces: bool) -> None:
    is_instance = not isinstance(checker, type) or ICredentialsChecker.providedBy(checker)
    names = ["requestAvatarId"] if has_interfaces else ["requestAvatarId", "credentialInterfaces"]
    if is_instance and all(hasattr(checker, name) for name in names):
        return
    hint = f": write {checker.__name__}()" if isinstance(checker, type) else ""
    wanted = " and ".join(names)
    raise _wrong_type(f"a checker is an object with {wanted}, not {_described(checker)}{hint}")


def _described(given: Any) -> str:
    if isinstance(given, type):
        return f"the class {given.__name__}"
    name = getattr(given, "__name__", None) if callable(given) else None
    return type(given).__name__ if name is None else f"the function {name}"


def _wrong_type(text: str) -> Exception:
    # Imported late, as above.
    from broker.config_error import WrongType

    return WrongType(text)
