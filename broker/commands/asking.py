"""One question of a command to a server, and the exit status if it fails."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import TypeVar

import click

from broker.client import connect
from broker.commands.identity import Identity
from broker.commands.waiting import OutOfTime
from broker.commands.wording import LONGEST_TEXT, in_words, shown
from broker.connection.connection import Connection
from broker.core.policy import PUBLISHED, STRICT
from broker.errors import (
    CallTimeout,
    ConfigError,
    Disconnected,
    ProtocolError,
    RemoteError,
    TLSError,
)
from broker.flavors.reference import RemoteReference
from broker.login.mechanisms.mechanism import login_asked_for
from broker.printable import text_of_error
from broker.timeouts import timeout as call_timeout
from cred.error import LoginFailed

__all__ = ["question", "statuses"]

T = TypeVar("T")

RAISED, WRONG_USE, NOT_REACHED, NOT_LET_IN, TOO_LATE, INTERRUPTED = 1, 2, 3, 4, 5, 130

# The exit status for each error; any other error came from the remote method.
_STATUSES: tuple[tuple[type[BaseException], int], ...] = (
    (ConfigError, WRONG_USE),
    (LoginFailed, NOT_LET_IN),
    (CallTimeout, TOO_LATE),
    (Disconnected, NOT_REACHED),
    (TLSError, NOT_REACHED),
    (ProtocolError, NOT_REACHED),
)
_CLOSING = 1.0


@contextlib.contextmanager
def statuses(command: str, timeout: float) -> Iterator[None]:
    """Print an error of the block, and end the process with its exit status.

    Args:
        command: its name, for the texts.
        timeout: the time limit of the command, in seconds.
    """
    try:
        yield
    except (click.ClickException, BrokenPipeError):
        # BrokenPipeError: the reader of the output has ended.
        raise
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except OutOfTime:
        click.echo(f"pb {command}: not done in {timeout:g} s", err=True)
        sys.exit(TOO_LATE)
    except Exception as exc:  # noqa: BLE001 - a method may raise any exception
        status = next((number for kind, number in _STATUSES if isinstance(exc, kind)), RAISED)
        click.echo(_told(exc) if status == RAISED else f"pb {command}: {in_words(exc)}", err=True)
        sys.exit(status)


def question(
    address: str,
    identity: Identity,
    timeout: float,
    insecure_plaintext: bool,
    ask: Callable[[RemoteReference], Awaitable[T]],
) -> Callable[[], T]:
    """Return a function that connects, asks the root or the avatar, and returns the answer.

    The password is asked for now, before the time limit begins.

    Args:
        address, identity: the server, and the client's settings.
        timeout: the time limit in seconds, for connecting and the answer.
        insecure_plaintext: allow ``pb://`` to another machine.
        ask: asks the object.

    Raises:
        UsageError, ConfigError: the options are wrong.
    """
    # The output is bounded, so the answer may share as much as under the published policy.
    policy = STRICT.but(insecure_plaintext=insecure_plaintext, limits=PUBLISHED.limits)
    credentials = identity.credentials()
    connecting = partial(
        connect, address, credentials, tls=identity.tls(), policy=policy, timeout=timeout
    )
    return lambda: asyncio.run(_ask(connecting, credentials is not None, timeout, ask))


async def _ask(
    connecting: Callable[[], Awaitable[Connection]],
    is_login: bool,
    timeout: float,
    ask: Callable[[RemoteReference], Awaitable[T]],
) -> T:
    async with call_timeout(timeout):
        connection = await connecting()
        try:
            return await ask(connection.avatar if is_login else connection.root)
        except LoginFailed as exc:
            if is_login or connection.broker.session.logins is None:
                raise
            # A server that offers logins runs no call before a login.
            raise login_asked_for() from exc
        finally:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_CLOSING):
                    await connection.close()


def _told(exc: Exception) -> str:
    """Return the class, if known here, and the text of an exception from a remote method."""
    text = shown(text_of_error(exc, LONGEST_TEXT))
    # Its text contains the type.
    return text if type(exc) is RemoteError else f"{type(exc).__name__}: {text}"
