"""One question of a command to a server, and the exit status if it fails."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Generic, TypeVar, cast

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
from broker.link.link import Link
from broker.login.mechanisms.mechanism import login_asked_for
from broker.printable import text_of_error
from broker.retry import Retry
from broker.timeouts import timeout as call_timeout
from cred.error import LoginFailed

__all__ = ["RAISED", "Question", "question", "statuses", "the_answer"]

T = TypeVar("T")
R = TypeVar("R")

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
_EARLIER = 0.1


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


class Question(Generic[T, R]):
    """A question that was not asked yet: call it, in any thread, to get the answer.

    Args:
        connecting: makes the connection, or the link.
        is_login: whether it logs in, so that the avatar is asked.
        timeout: the time limit in seconds, for connecting and the answer.
        ask: asks the object.
        use: uses the answer while the connection is open; this may take any time.
    """

    def __init__(
        self,
        connecting: Callable[[], Awaitable[Connection | Link]],
        is_login: bool,
        timeout: float,
        ask: Callable[[RemoteReference], Awaitable[T]],
        use: Callable[[T], Awaitable[R]],
    ):
        self._connecting = connecting
        self._is_login = is_login
        self._timeout = timeout
        self._ask = ask
        self._use = use
        self._lock = threading.Lock()
        self._stop: Callable[[], object] | None = None
        self._is_stopped = False

    def __call__(self) -> R:
        """Connect, ask, use the answer and disconnect; return the result of the use."""
        return asyncio.run(self._run())

    def stop(self) -> None:
        """End it from another thread: cancel the call, stop the stream, and disconnect."""
        with self._lock:
            self._is_stopped = True
            stop = self._stop
        if stop is not None:
            # The loop may have been closed a moment ago.
            with contextlib.suppress(RuntimeError):
                stop()

    async def _run(self) -> R:
        task = asyncio.current_task()
        if task is not None:
            with self._lock:
                if self._is_stopped:
                    task.cancel()
                loop = asyncio.get_running_loop()
                self._stop = partial(loop.call_soon_threadsafe, task.cancel)
        connection: Connection | Link | None = None
        try:
            async with call_timeout(self._timeout):
                connection = await self._connecting()
                answer = await self._answer(connection)
            return await self._use(answer)
        finally:
            if connection is not None:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_CLOSING):
                        await connection.close()

    async def _answer(self, asked: Connection | Link) -> T:
        try:
            target = asked.avatar if self._is_login else asked.root
            # A LinkedReference has the same methods for calls.
            return await self._ask(cast("RemoteReference", target))
        except LoginFailed as exc:
            connection = asked.connection if isinstance(asked, Link) else asked
            logins = None if connection is None else connection.broker.session.logins
            if self._is_login or logins is None:
                raise
            # A server that offers logins runs no call before a login.
            raise login_asked_for() from exc


def question(
    address: str,
    identity: Identity,
    timeout: float,
    insecure_plaintext: bool,
    ask: Callable[[RemoteReference], Awaitable[T]],
    use: Callable[[T], Awaitable[R]],
    *,
    is_retried: bool = False,
) -> Question[T, R]:
    """Return a question, which connects, and asks the root or the avatar.

    The password is asked for now, before the time limit begins.

    Args:
        address, identity: the server, and the client's settings.
        timeout: the time limit in seconds, for connecting and the answer.
        insecure_plaintext: allow ``pb://`` to another machine.
        ask: asks the object.
        use: uses the answer while the connection is open, without a time limit.
        is_retried: try to connect until the time limit, and ask again after a lost connection if
            the call has surely not run.

    Raises:
        UsageError, ConfigError: the options are wrong.
    """
    # The output is bounded, so the answer may share as much as under the published policy.
    policy = STRICT.but(insecure_plaintext=insecure_plaintext, limits=PUBLISHED.limits)
    credentials = identity.credentials()
    tls, proxy = identity.tls(), identity.proxy
    if not is_retried:
        connecting: Callable[[], Awaitable[Connection | Link]] = partial(
            connect, address, credentials, tls=tls, policy=policy, timeout=timeout, proxy=proxy
        )
    else:
        # A little earlier than the time limit, so that the last error is told.
        retry = Retry(give_up_after=max(0.0, timeout - _EARLIER))
        link = Link(
            address,
            credentials,
            tls=tls,
            policy=policy,
            timeout=timeout,
            proxy=proxy,
            retry=retry,
            patience=timeout,
        )
        connecting = link.__aenter__
    return Question(connecting, credentials is not None, timeout, ask, use)


async def the_answer(answer: T) -> T:
    """Return the answer itself: the ``use`` of a `question` that needs none."""
    return answer


def _told(exc: Exception) -> str:
    """Return the class, if known here, and the text of an exception from a remote method."""
    text = shown(text_of_error(exc, LONGEST_TEXT))
    # Its text contains the type.
    return text if type(exc) is RemoteError else f"{type(exc).__name__}: {text}"
