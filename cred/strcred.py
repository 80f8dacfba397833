"""Checkers by string: ``file:users.db``, ``sql:postgresql://host/users``, ``anonymous``.

The part before the first colon is the scheme, and the rest is its argument. Each scheme has an
object that provides `ICheckerFactory`. The schemes of this package are always there. A program adds
a scheme by an entry point of the group ``cred.checkers``, with the name of the scheme, which is the
factory or a class of it::

    [project.entry-points."cred.checkers"]
    ldap = "mycompany.ldap:LDAPCheckerFactory"

No entry point can replace a built-in scheme. A package is imported only when its scheme is used, or
when all schemes are listed.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final, Protocol

from zope.interface import Attribute, Interface

from cred.checkers import CredentialsChecker
from cred.octets import shown

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = [
    "CheckerFactory",
    "ICheckerFactory",
    "InvalidAuthArgumentString",
    "InvalidAuthType",
    "StrcredException",
    "UnsupportedInterfaces",
    "describe_scheme",
    "describe_schemes",
    "findCheckerFactories",
    "findCheckerFactory",
    "makeChecker",
    "make_supported_checker",
    "notSupportedWarning",
]

logger = logging.getLogger("broker.cred")

GROUP: Final = "cred.checkers"
# Also declared in pyproject.toml, for tools that list entry points; these need no metadata.
BUILT_IN: Final = {
    "anonymous": "cred.factories:AnonymousCheckerFactory",
    "cert": "cred.certificates:CertificateCheckerFactory",
    "file": "cred.factories:FileCheckerFactory",
    "jwt": "cred.tokens:TokenCheckerFactory",
    "memory": "cred.factories:InMemoryCheckerFactory",
    "sql": "cred.factories:SQLCheckerFactory",
}
PARTS: Final = (
    "authType",
    "authHelp",
    "argStringFormat",
    "credentialInterfaces",
    "generateChecker",
)

# Ends the help of a scheme that the application cannot use (published).
notSupportedWarning: Final = "WARNING: this application cannot use this scheme."


class ICheckerFactory(Interface):  # type: ignore[misc]
    """Makes a checker from the text that follows a scheme (published)."""

    authType = Attribute("The scheme: the name of this factory in a string.")
    authHelp = Attribute("What its checkers do and what the argument is, in as many lines.")
    argStringFormat = Attribute("The form of the argument, in one line.")
    credentialInterfaces = Attribute("The interfaces of the credentials that its checkers take.")

    def generateChecker(argstring: str) -> Any:
        """Return a checker, made from the argument, which may be empty.

        Raises:
            InvalidAuthArgumentString: the argument is wrong.
        """


class CheckerFactory(Protocol):
    """`ICheckerFactory` for type checkers: no declaration is needed to fit it."""

    @property
    def authType(self) -> str:
        """The scheme."""

    @property
    def authHelp(self) -> str:
        """The help: what its checkers do, and the argument, in any number of lines."""

    @property
    def argStringFormat(self) -> str:
        """The form of the argument, in one line."""

    @property
    def credentialInterfaces(self) -> Iterable[object]:
        """The interfaces of the credentials that its checkers take."""

    def generateChecker(self, argstring: str, /) -> CredentialsChecker:
        """Return a checker, made from the argument."""


class StrcredException(Exception):
    """A checker cannot be made from its string (published); the subclass tells why."""


class InvalidAuthType(StrcredException, ValueError):
    """The scheme does not exist, or cannot be loaded (published). The text names the known schemes.

    Also a ValueError.
    """


class InvalidAuthArgumentString(StrcredException, ValueError):
    """The argument is not valid for the scheme (published).

    Raised by factories. Also a ValueError. The text does not repeat the argument, which may have
    passwords.
    """


class UnsupportedInterfaces(StrcredException, ValueError):
    """The checker takes no credentials that the application can get (published).

    Also a ValueError.
    """


def findCheckerFactories() -> Iterator[CheckerFactory]:
    """Yield the factory of each scheme: the built-in ones, then the others by name.

    A factory that cannot be loaded is left out, with a warning in the log.
    """
    entries = _find_entries()
    for scheme in _list_schemes(entries):
        try:
            factory = _load(scheme, entries[scheme])
        except InvalidAuthType as error:
            logger.warning("%s", shown(error))
        else:
            yield factory


def findCheckerFactory(authType: str) -> CheckerFactory:
    """Return the factory of a scheme.

    Raises:
        InvalidAuthType: the scheme is unknown, is declared by two packages, or cannot be loaded.
    """
    entries = _find_entries()
    if authType not in entries:
        known = ", ".join(_list_schemes(entries))
        raise InvalidAuthType(f"there is no checker {authType!r}; known are {known}")
    return _load(authType, entries[authType])


def makeChecker(description: str) -> CredentialsChecker:
    """Return the checker that a string describes: ``scheme`` or ``scheme:argument``.

    Raises:
        InvalidAuthType: there is no such scheme; the text names the known schemes.
        InvalidAuthArgumentString: the argument is not what the scheme takes.
    """
    scheme, _, argument = description.partition(":")
    return findCheckerFactory(scheme).generateChecker(argument)


def make_supported_checker(description: str, interfaces: Iterable[object]) -> CredentialsChecker:
    """Return the checker that a string describes, for an application that can use it.

    Args:
        description: as for `makeChecker`.
        interfaces: the interfaces of the credentials that the application can get.

    Raises:
        UnsupportedInterfaces: the checker takes none of these.
        InvalidAuthType, InvalidAuthArgumentString: as `makeChecker`.
    """
    checker = makeChecker(description)
    wanted = list(interfaces)
    if not _takes_any(checker.credentialInterfaces, wanted):
        scheme = description.partition(":")[0]
        raise UnsupportedInterfaces(
            f"the checker {scheme!r} takes {_join_names(checker.credentialInterfaces)};"
            f" this application needs one for {_join_names(wanted)}"
        )
    return checker


def describe_schemes(interfaces: Iterable[object] | None = None) -> str:
    """Return the help that lists the schemes: a line for each, with the form of its argument.

    Args:
        interfaces: list only schemes for one of these kinds of credentials; None for all.
    """
    factories = list(findCheckerFactories())
    if interfaces is not None:
        wanted = list(interfaces)
        factories = [each for each in factories if _takes_any(each.credentialInterfaces, wanted)]
    width = max((len(factory.authType) for factory in factories), default=0)
    return "\n".join(f"{each.authType:{width}}  {each.argStringFormat}" for each in factories)


def describe_scheme(authType: str, interfaces: Iterable[object] | None = None) -> str:
    """Return the help of one scheme, in several lines.

    Args:
        authType: the scheme.
        interfaces: the kinds of credentials that the application can get; if the scheme is for
            none of them, the help ends with `notSupportedWarning`. None for all.

    Raises:
        InvalidAuthType: there is no such scheme.
    """
    factory = findCheckerFactory(authType)
    paragraphs = [f"{factory.authType}: {factory.argStringFormat}", factory.authHelp.strip()]
    if interfaces is not None and not _takes_any(factory.credentialInterfaces, interfaces):
        paragraphs.append(notSupportedWarning)
    return "\n\n".join(paragraphs)


def _find_entries() -> dict[str, list[EntryPoint]]:
    # Imported late: it takes a tenth of the import time, and clients need no schemes.
    from importlib.metadata import EntryPoint, entry_points

    entries = {name: [EntryPoint(name, value, GROUP)] for name, value in BUILT_IN.items()}
    for entry in entry_points(group=GROUP):
        if entry.name not in BUILT_IN:
            entries.setdefault(entry.name, []).append(entry)
    return entries


def _list_schemes(entries: Iterable[str]) -> list[str]:
    return [*BUILT_IN, *sorted(set(entries) - set(BUILT_IN))]


def _load(scheme: str, entries: list[EntryPoint]) -> CheckerFactory:
    values = sorted({entry.value for entry in entries})
    if len(values) > 1:
        # Which users can log in must not depend on the order of a search path.
        raise InvalidAuthType(
            f"the checker {scheme!r} is declared more than once, for {' and for '.join(values)}"
        )
    try:
        loaded = entries[0].load()
        factory: CheckerFactory = loaded() if isinstance(loaded, type) else loaded
    except Exception as error:
        raise InvalidAuthType(
            f"the checker {scheme!r}, {values[0]}, cannot be loaded:"
            f" {type(error).__name__}: {error}"
        ) from error
    missing = [part for part in PARTS if not hasattr(factory, part)]
    if missing:
        raise InvalidAuthType(
            f"the checker {scheme!r}, {values[0]}, is not a factory: it lacks {', '.join(missing)}"
        )
    if factory.authType != scheme:
        raise InvalidAuthType(
            f"the checker {scheme!r}, {values[0]}, calls itself {factory.authType!r}"
        )
    return factory


def _takes_any(taken: Iterable[Any], wanted: Iterable[Any]) -> bool:
    """Return whether a checker for `taken` is of use for credentials of the kinds `wanted`.

    A checker for an interface also takes credentials of interfaces that extend it.
    """
    kinds = list(taken)
    return any(interface.isOrExtends(kind) for interface in wanted for kind in kinds)


def _join_names(interfaces: Iterable[Any]) -> str:
    return ", ".join(interface.__name__ for interface in interfaces) or "none"
