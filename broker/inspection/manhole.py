"""``broker.Manhole``: lets an operator run Python inside the running server."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import CodeType

from broker.connection.broker import Broker
from broker.connection.peer import Peer, current_call
from broker.errors import Error
from broker.flavors.reference import RemoteReference
from broker.flavors.referenceable import Referenceable
from broker.inspection.lines import FAULTS, Lines, told
from broker.inspection.notes import note
from broker.inspection.outputs import CURRENT, Output, install
from broker.net.socket_addresses import UNIXAddress
from broker.printable import printable
from cred.error import Unauthorized

__all__ = ["LONGEST", "SHOWN", "Manhole"]

LONGEST = 65_536
"""The most characters of the source of one call."""

SHOWN = 200
"""The most characters of a line in the log."""


class _Session(Lines):
    """The namespace of one connection, and its lines that run.

    Attributes:
        running: the tasks of the lines.
        interrupted: those of them that `Manhole.remote_interrupt` has cancelled.
    """

    def __init__(self, names: dict[str, object]):
        super().__init__(names)
        self.running: set[asyncio.Task[object]] = set()
        self.interrupted: set[asyncio.Task[object]] = set()


class Manhole(Referenceable):
    """A Python prompt inside this process, for operators: ``pb shell ADDRESS --server``.

    Who can call it can do everything that this process can do. Give it to a group only::

        class Member(broker.Avatar):
            @broker.allow("operators")
            def perspective_manhole(self):
                return broker.Manhole({"server": self.server})

    Each connection has a namespace of its own. Each line is an INFO record of ``broker.server`` and
    a line of the audit log, with the operator, cut at 200 characters. A line that does not await
    blocks the whole server while it runs.

    Calls are refused unless the connection uses TLS or a UNIX socket. A caller that has logged in
    must be in a group; one that has not logged in must come through a UNIX socket.

    Args:
        names: the names that the lines have at first.
        group: the group that the caller must be in, if any group will not do.
    """

    def __init__(self, names: Mapping[str, object] | None = None, *, group: str | None = None):
        self._names = dict(names or {})
        self._group = group
        self._sessions: dict[Broker, _Session] = {}

    async def remote_run(
        self, source: str, console: RemoteReference | None = None
    ) -> tuple[str, str]:
        """Run a statement.

        An await in it ends when this call is cancelled, or by `remote_interrupt`.

        Args:
            source: one statement of Python, of one or several lines. ``await`` may stand outside of
                functions.
            console: gets ``write(text)``, one way, for what the statement prints. None to have that
                in the result.

        Returns:
            The state and a text: ``("more", "")`` if the source is incomplete; ``"done"`` with the
            values of expressions; ``"error"`` with those and a traceback, which begins at the
            statement; ``"interrupted"``. What is printed and the text have at most 64 KiB together.

        Raises:
            Unauthorized: the caller may not use it.
            Error: an argument has a wrong type, or the source is too long.
        """
        session = self._session()
        if not isinstance(source, str) or len(source) > LONGEST:
            raise Error(f"run: source is a str of at most {LONGEST} characters")
        if not isinstance(console, RemoteReference | None):
            raise Error("run: console is a reference, or None")
        send = None if console is None else lambda text: console.send("write", text)
        output = Output(send, session.names)
        try:
            code = session.compiled(source)
        except FAULTS as error:
            _note(source)
            output.keep(told(error))
            return "error", output.kept()
        if code is None:
            return "more", ""
        _note(source)
        install()
        # The variable of this task, and of the tasks that the code makes.
        CURRENT.set(output)
        state = await _run(session, code, output)
        output.flush()
        return state, output.kept()

    def remote_complete(self, text: str) -> list[str]:
        """Return what the end of a line can become, at most 200 names.

        Raises:
            Unauthorized: the caller may not use it.
            Error: the text is not a str.
        """
        session = self._session()
        if not isinstance(text, str):
            raise Error("complete: text is a str")
        return session.complete(text[-LONGEST:])

    def remote_interrupt(self) -> int:
        """Cancel the lines of this connection that await something; return how many.

        For dialects that cannot cancel a call.

        Raises:
            Unauthorized: the caller may not use it.
        """
        session = self._session()
        for task in session.running:
            session.interrupted.add(task)
            task.cancel()
        return len(session.running)

    def _session(self) -> _Session:
        call = current_call()
        broker = call.connection.broker
        self._check(call.peer, broker)
        session = self._sessions.get(broker)
        if session is None:
            session = self._sessions[broker] = _Session(self._names)
            broker.closed.addCallback(self._forget, broker)
        return session

    def _forget(self, result: object, broker: Broker) -> None:
        self._sessions.pop(broker, None)

    def _check(self, peer: Peer, broker: Broker) -> None:
        """Check the caller.

        Raises:
            Unauthorized: it may not use this.
        """
        is_here = isinstance(peer.address, UNIXAddress) and peer.proxy is None
        if not is_here and not broker.port.is_secure:
            raise Unauthorized("the manhole needs TLS, or a UNIX socket")
        has_logged_in = peer.mechanism is not None or peer.avatar_id is not None
        if self._group is not None:
            is_member = self._group in peer.groups
        else:
            is_member = bool(peer.groups) if has_logged_in else is_here
        if not is_member:
            raise Unauthorized("the manhole is for a group of operators")


async def _run(session: _Session, code: CodeType, output: Output) -> str:
    """Run the code; return the state."""
    task = asyncio.current_task()
    if task is None:
        raise Error("the manhole needs an event loop of asyncio")
    session.running.add(task)
    try:
        await session.run(code)
    except BaseException as error:
        if isinstance(error, asyncio.CancelledError) and task.cancelling():
            if task not in session.interrupted:
                raise
            task.uncancel()
            return "interrupted"
        # SystemExit too: a line does not end the server.
        output.keep(told(error))
        return "error"
    finally:
        session.running.discard(task)
        session.interrupted.discard(task)
        output.flush()
    return "done"


def _note(source: str) -> None:
    note("manhole", {"line": printable(source, SHOWN, is_ascii=False)})
