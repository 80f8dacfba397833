"""Finds the object that ``pb serve MODULE:NAME`` serves, with or without checkers.

The program can have the object in an async context manager, which prepares what the object needs:
an object, or a function with ``contextlib.asynccontextmanager``.
"""

from __future__ import annotations

import inspect
import os
import sys
import traceback
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib import import_module
from types import ModuleType
from typing import Any, TypeAlias, TypeGuard

import click

from broker.commands.config_file import ConfigFile
from broker.commands.tracing import traceback_of
from broker.errors import CannotListenError, ConfigError
from broker.flavors.avatar import Avatar
from broker.flavors.referenceable import Root
from broker.interfaces import IPBRoot
from broker.login.portal_logins import PortalLogins
from broker.login.realm import realm
from broker.login.throttle import LoginThrottle
from cred.checkers import AllowAnonymousAccess, CredentialsChecker
from cred.portal import Portal, Realm

__all__ = [
    "Served",
    "WrongTarget",
    "assumed",
    "entered",
    "is_manager",
    "load",
    "served",
    "show_cause",
]


Served: TypeAlias = Root | Portal | PortalLogins
"""What a server serves."""


class WrongTarget(Exception):
    """There is no such object, or it cannot be served; the text names it."""


def load(name: str, config: ConfigFile | None = None) -> object:
    """Return the object that ``MODULE:NAME`` names.

    The current directory is searched too, and the folder of the configuration file.

    Raises:
        WrongTarget: there is no such object.
    """
    module_name, _, path = name.partition(":")
    if not module_name or not path:
        raise WrongTarget(
            f"{name} is not MODULE:NAME; write echo:Echo for the class Echo of echo.py"
        )
    for folder in (os.getcwd() if config is None else config.folder, os.getcwd()):
        if folder not in sys.path:
            sys.path.insert(0, folder)
    found: object = _import(module_name)
    for part in path.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise WrongTarget(f"the module {module_name} has no {path}") from None
    return found


def served(
    found: object,
    checkers: Sequence[CredentialsChecker],
    name: str,
    throttle: LoginThrottle | None = None,
) -> Served:
    """Return the object to serve.

    Without checkers it is a Root or a Portal, or a class of one, which is called. With checkers it
    is served by a Portal: a realm; a function or an Avatar class, called at each login with the
    avatar id and the mind, and returning the avatar; or a Root, which is the avatar of all users.

    Args:
        found: the result of `load`.
        checkers: as ``cred.strcred`` makes them.
        name: its name in an error.
        throttle: limits failed logins; None for the default limits, or those of its own portal.

    Raises:
        WrongTarget: it is not one of these, or there is no login to limit.
    """
    made = _made(found, name) if _is_made_first(found) else found
    if not checkers:
        if throttle is not None:
            raise WrongTarget(
                "--allow-failures limits logins by --checker; for your own Portal, pass the"
                " limits as throttle="
            )
        public: Served = _public(made, name)
        return public
    return Portal(_realm(made, name), checkers, throttle=throttle)


def is_manager(found: object) -> bool:
    """Return whether the result of `load` is, or makes, an async context manager.

    A class is not one: with checkers it makes the avatars.
    """
    if isinstance(found, AbstractAsyncContextManager):
        return True
    # What contextlib.asynccontextmanager makes of a function.
    return inspect.isasyncgenfunction(getattr(found, "__wrapped__", None))


def assumed(found: object, checkers: Sequence[CredentialsChecker]) -> object:
    """Return the result of `load`; for a context manager an object that it could give.

    It has a login, so that no setting for users is refused before the real one is known.
    """
    if not is_manager(found):
        return found
    if checkers:
        return Root()
    return Portal(realm(lambda avatar_id, mind: Avatar()), [AllowAnonymousAccess()])


@asynccontextmanager
async def entered(found: Any, name: str) -> AsyncIterator[object]:
    """Enter the context manager of a program; gives what `served` takes.

    Args:
        found: the result of `load`, for which `is_manager` is true.
        name: its name in an error.

    Raises:
        WrongTarget: it cannot be entered.
        CannotListenError, ConfigError: as the program raises them.
    """
    try:
        manager = found if isinstance(found, AbstractAsyncContextManager) else found()
        inner = await manager.__aenter__()
    except (CannotListenError, ConfigError):
        raise
    except Exception as exc:
        raise WrongTarget(f"{name} raised {_told(exc)} when it was entered") from exc
    try:
        yield inner
    except BaseException as exc:
        if not await manager.__aexit__(type(exc), exc, exc.__traceback__):
            raise
    else:
        await manager.__aexit__(None, None, None)


def show_cause(error: Exception) -> None:
    """Show the traceback of an exception in the application's code, if that is the cause."""
    cause = error.__cause__
    if isinstance(error, WrongTarget) and cause is not None:
        click.echo(traceback_of(cause), err=True)


def _public(made: object, name: str) -> Any:
    if isinstance(made, Portal | PortalLogins) or IPBRoot(made, None) is not None:
        return made
    if _is_realm(made) or callable(made):
        raise WrongTarget(
            f"{name} makes avatars for users who log in: set --checker (--checker anonymous"
            " accepts every client)"
        )
    raise WrongTarget(f"{name} is of type {type(made).__name__}, not a Root or a Portal")


def _realm(made: object, name: str) -> Realm:
    if isinstance(made, Portal | PortalLogins):
        raise WrongTarget(f"{name} is a Portal and has its own checkers: omit --checker")
    if _is_realm(made):
        return made
    if isinstance(made, Root):
        return realm(lambda avatar_id, mind: made)
    if callable(made):
        return realm(made)
    raise WrongTarget(
        f"{name} is of type {type(made).__name__}; with --checker it must be a Root, a realm, or a"
        " function or Avatar class that is called with the avatar id and the mind"
    )


def _is_made_first(found: object) -> TypeGuard[type]:
    return isinstance(found, type) and (issubclass(found, (Root, Portal)) or _is_realm(found))


def _is_realm(found: object) -> TypeGuard[Realm]:
    return callable(getattr(found, "requestAvatar", None))


def _made(found: type, name: str) -> object:
    try:
        return found()
    except Exception as exc:
        raise WrongTarget(f"{name}() raised {_told(exc)}") from exc


def _import(module_name: str) -> ModuleType:
    try:
        return import_module(module_name)
    except Exception as exc:
        missing = exc.name if isinstance(exc, ModuleNotFoundError) else None
        if missing is not None and f"{module_name}.".startswith(f"{missing}."):
            raise WrongTarget(
                f"there is no module {missing}, neither in this folder nor on Python's path"
            ) from None
        raise WrongTarget(f"{module_name} cannot be imported: {_told(exc)}") from exc


def _told(exc: Exception) -> str:
    """Return an exception that the application raised in one line, with its place."""
    if isinstance(exc, SyntaxError):
        return f"{exc.filename}, line {exc.lineno}: {exc.msg}"
    last = traceback.extract_tb(exc.__traceback__)[-1]
    where = "" if last.filename == __file__ else f"{last.filename}, line {last.lineno}: "
    return f"{where}{type(exc).__name__}: {exc}"
