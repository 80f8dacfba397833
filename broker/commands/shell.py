"""The command ``shell``: a Python prompt with the objects of a server, or inside the server.

Theory of operation. The prompt has the main thread, so that Ctrl-C and the editing of lines work as
in Python. The connection has a thread with an event loop, so that pings are answered between two
lines. Each line runs in that loop, and the main thread waits for it.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from pathlib import Path
from types import CodeType
from typing import Any, TypeVar

import click

from broker.background import start_thread
from broker.commands.asking import Question, question, statuses
from broker.commands.inspecting import Operated, operator_options
from broker.commands.profiles import ClientCommand
from broker.commands.prompt import Prompt, harmless
from broker.commands.waiting import NAME
from broker.errors import Disconnected, Error, NoSuchMethod
from broker.flavors.reference import RemoteReference
from broker.flavors.referenceable import Referenceable
from broker.inspection.lines import FAULTS, Lines, told
from broker.printable import text_of_error

__all__ = ["shell"]

T = TypeVar("T")

_METHOD = "manhole"
_COMPLETING = 2.0
_LEAVING = 2.0


@click.command(cls=ClientCommand)
@operator_options
@click.option(
    "--server",
    "is_inside",
    is_flag=True,
    help="Run the lines inside the server, if it gives operators a manhole.",
)
def shell(operated: Operated, is_inside: bool) -> None:
    """Type Python with the objects of the server at ADDRESS.

    The name root is the root of the server, or avatar the avatar after a login; connection is the
    connection. Calls are awaited at the prompt: await root.callRemote("echo", 1). No code runs at
    the server.

    With --server the lines run inside the server, which can do everything that the server can. It
    needs pb serve --admin SOCKET --manhole and that socket as ADDRESS, or a login as a user whose
    avatar has the method perspective_manhole. Each line is in the audit log of the server. A line
    without await blocks the whole server while it runs.

    Tab completes names, Ctrl-C interrupts an await, Ctrl-D or exit() leaves. The exit status is 0;
    1 if the server has no manhole; 3 to 5 and 130 as for pb call.
    """
    with statuses("shell", operated.timeout):
        ask: Callable[[RemoteReference], Any] = _manhole_of if is_inside else _itself
        session = _Session()
        asking: Question[RemoteReference, None] = question(
            operated.address,
            operated.identity,
            operated.timeout,
            operated.insecure_plaintext,
            ask,
            session.serve,
        )
        with session.begun(asking) as reference:
            name = "avatar" if operated.identity.is_login else "root"
            evaluator: _Inside | _Here = (
                _Inside(session, reference) if is_inside else _Here(session, reference, name)
            )
            if sys.stdin.isatty():
                place = "inside the server" if is_inside else f"{name} is the server's object"
                click.echo(f"{operated.address}: {place}. Ctrl-D leaves.")
            Prompt(evaluator, _history(is_inside)).run()


async def _itself(reference: RemoteReference) -> RemoteReference:
    return reference


async def _manhole_of(reference: RemoteReference) -> RemoteReference:
    """Return the manhole that the root or the avatar gives.

    Raises:
        NoSuchMethod: it gives none.
    """
    try:
        found = await reference.callRemote(_METHOD)
    except NoSuchMethod:
        raise NoSuchMethod(
            "this server gives no manhole here: give the address of pb serve --admin SOCKET"
            " --manhole, or log in as a user whose avatar has perspective_manhole"
        ) from None
    if not isinstance(found, RemoteReference):
        raise Error("the server's manhole is not an object")
    return found


def _history(is_inside: bool) -> Path:
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "pb" / f"shell-{'server' if is_inside else 'client'}.history"


class _Session:
    """The thread of the connection, seen from the main thread."""

    def __init__(self) -> None:
        self._opened: Future[tuple[asyncio.AbstractEventLoop, RemoteReference]] = Future()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended = asyncio.Event()
        self._thread: threading.Thread | None = None
        self._asking: Question[RemoteReference, None] | None = None
        self._error: BaseException | None = None

    def begun(self, asking: Question[RemoteReference, None]) -> _Session:
        """Connect in a thread of its own; use the result in a ``with`` statement."""
        self._asking = asking
        self._thread = start_thread(self._work, NAME)
        return self

    def __enter__(self) -> RemoteReference:
        try:
            self._loop, reference = self._opened.result()
        except BaseException:
            self._stop()
            raise
        return reference

    def __exit__(self, *exc: object) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._ended.set)
        if self._thread is not None:
            self._thread.join(_LEAVING)

    async def serve(self, reference: RemoteReference) -> None:
        """Keep the connection open until the end of the prompt; in the thread of the connection."""
        self._opened.set_result((asyncio.get_running_loop(), reference))
        await self._ended.wait()

    def do(self, work: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        """Run a coroutine in the loop of the connection; Ctrl-C cancels it.

        Raises:
            KeyboardInterrupt: Ctrl-C was pressed, and the coroutine was cancelled.
        """
        if self._loop is None:
            raise RuntimeError("the session has not begun")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(timeout)
        except KeyboardInterrupt:
            future.cancel()
            raise
        except CancelledError:
            raise KeyboardInterrupt from None

    def _work(self) -> None:
        try:
            if self._asking is not None:
                self._asking()
        except BaseException as exc:  # noqa: BLE001 - raised in the main thread
            if not self._opened.done():
                self._opened.set_exception(exc)

    def _stop(self) -> None:
        if self._asking is not None:
            self._asking.stop()


class _Here:
    """Runs lines in this process, with the objects of the server.

    Args:
        session: the connection.
        reference: the server's object.
        name: its name.
    """

    def __init__(self, session: _Session, reference: RemoteReference, name: str):
        self._session = session
        broker: Any = reference.broker
        self._lines = Lines({name: reference, "connection": broker.connection})

    def run(self, source: str) -> bool:
        """Run a statement; see `Evaluator`."""
        try:
            code = self._lines.compiled(source)
        except FAULTS as error:
            _print_error(told(error))
            return True
        if code is not None:
            self._session.do(self._run(code))
        return code is not None

    def complete(self, text: str) -> Sequence[str]:
        """Return completions."""
        return self._lines.complete(text)

    async def _run(self, code: CodeType) -> None:
        try:
            await self._lines.run(code)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - SystemExit too must not end the loop
            _print_error(told(error))


class _Inside:
    """Runs lines inside the server.

    Args:
        session: the connection.
        manhole: of the server.
    """

    def __init__(self, session: _Session, manhole: RemoteReference):
        self._session = session
        self._manhole = manhole
        self._console = _Console()
        self._lost: Disconnected | None = None

    def run(self, source: str) -> bool:
        """Run a statement; see `Evaluator`.

        Raises:
            Disconnected: the connection has ended.
        """
        is_complete = self._session.do(self._run(source))
        if self._lost is not None:
            raise self._lost
        return is_complete

    def complete(self, text: str) -> Sequence[str]:
        """Return completions; none if the server takes too long."""
        with suppress(Exception, KeyboardInterrupt):
            found = self._session.do(self._complete(text), _COMPLETING)
            return [each for each in found if isinstance(each, str) and each.isprintable()]
        return ()

    async def _run(self, source: str) -> bool:
        """Return False if the statement needs more lines."""
        try:
            state, text = await self._manhole.callRemote("run", source, self._console)
        except asyncio.CancelledError:
            broker: Any = self._manhole.broker
            if broker.connection.dialect != "msgpack/1":
                # PB's dialects cannot cancel a call.
                self._manhole.send("interrupt")
            raise
        except Disconnected as error:
            self._lost = error
            return True
        except Exception as error:  # noqa: BLE001 - a refusal: the prompt goes on
            state, text = "error", f"{type(error).__name__}: {text_of_error(error)}\n"
        if state == "error":
            _print_error(str(text))
        else:
            click.echo(harmless(str(text)), nl=False)
        return bool(state != "more")

    async def _complete(self, text: str) -> Any:
        return await self._manhole.callRemote("complete", text)


class _Console(Referenceable):
    """Prints what lines print at the server."""

    def remote_write(self, text: str) -> None:
        """Print it."""
        if isinstance(text, str):
            click.echo(harmless(text), nl=False)


def _print_error(text: str) -> None:
    sys.stdout.flush()
    click.echo(harmless(text), nl=False, err=True)
