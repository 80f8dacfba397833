"""Child processes: starting one, learning of its end, and a connection over its standard streams.

A `CommandTransport` is a `PipeTransport` whose other end is a process, and it ends when that does:
a child that has been told of the end, by the end of its input, and lives on, is told to terminate,
and then killed. Thus nothing outlives the connection.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from broker.background import run_in_thread
from broker.errors import ConnectError, ConnectionLost
from broker.net import forks
from broker.net.pipes.transport import PipePair, PipeTransport
from broker.net.socket_addresses import PipeAddress
from broker.net.transports import MakeProtocol

__all__ = ["Child", "CommandTransport", "connect_command"]


class Child:
    """A process that this one has started.

    Args:
        arguments: its command line, with its name for itself in the first place.
        executable: the program; looked for on PATH, and the first argument unless given.
        streams: the child's standard input, output and error: `subprocess.PIPE`, `DEVNULL`, None
            for this process's own, or a descriptor.
        options: more for `subprocess.Popen`.

    Attributes:
        pid: its number.
        pipes: our ends of those of its streams that are pipes, by the child's number for them.

    Raises:
        OSError: the program cannot be run.
    """

    def __init__(
        self,
        arguments: Sequence[str | bytes],
        executable: str | bytes | None = None,
        streams: Sequence[int | None] = (subprocess.PIPE, subprocess.PIPE, None),
        **options: Any,
    ):
        stdin, stdout, stderr = streams
        self._process = process = subprocess.Popen(  # noqa: S603 - what the application asked for
            arguments,
            bufsize=0,
            executable=executable,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            **options,
        )
        self.pid = process.pid
        self.pipes: dict[int, int] = {}
        for number, stream in enumerate((process.stdin, process.stdout, process.stderr)):
            if stream is not None:
                self.pipes[number] = os.dup(stream.fileno())
                stream.close()

    @property
    def returncode(self) -> int | None:
        """The exit status, the negative number of the signal that ended it, or None."""
        return self._process.returncode

    def watch(self, soon_threadsafe: Callable[..., object], on_exit: Callable[[], object]) -> None:
        """Have ``on_exit()`` called by way of ``soon_threadsafe`` when the child has ended."""

        def ended(outcome: object) -> None:
            on_exit()

        # A thread needs no event loop, and does not mind who else handles SIGCHLD.
        run_in_thread(self._process.wait, soon_threadsafe, ended, ended, name="child")

    def signal(self, number: int) -> None:
        """Send it a signal; nothing happens where it has ended."""
        with suppress(ProcessLookupError):
            self._process.send_signal(number)


class CommandTransport(PipeTransport):
    """A connection over the standard input and output of a child process.

    Args:
        make_protocol: called with the address, which is the command line; None refuses it.
        loop: the event loop.
        arguments: the command line.
        grace: seconds that the child has to end by itself once the connection is closed, and then
            once it was told to terminate.

    Raises:
        OSError: the program cannot be run.
    """

    __slots__ = (
        "_alarm",
        "_child",
        "_child_began",
        "_grace",
        "_has_ended",
        "_pipes_error",
        "_pipes_over",
        "_was_told",
    )

    def __init__(
        self,
        make_protocol: MakeProtocol,
        loop: asyncio.AbstractEventLoop,
        arguments: Sequence[str],
        grace: float,
    ):
        super().__init__(make_protocol, loop, PipeAddress(shlex.join(arguments)))
        self._grace = grace
        self._alarm: asyncio.TimerHandle | None = None
        self._child_began = False  # the ending, that is
        self._has_ended = False
        self._was_told = False
        self._pipes_over = False
        self._pipes_error: Exception | None = None
        self._child = Child(arguments)

    def start(self) -> None:
        """Make the connection."""
        child = self._child
        child.watch(self._loop.call_soon_threadsafe, self._child_ended)
        _ChildPipes(self._loop, self, child.pipes[1], child.pipes[0]).start()

    def abortConnection(self) -> None:
        """Cut the connection now, and terminate the child."""
        super().abortConnection()
        self._tell(signal.SIGTERM)

    def eof_received(self) -> bool:
        """Close our half too: the child has closed its own."""
        self._child_began = not self.disconnecting
        return super().eof_received()

    def pipes_ended(self, exc: Exception | None) -> None:
        """Wait for the child, before the end is reported."""
        self._pipes_over, self._pipes_error = True, exc
        self._child_began |= exc is not None
        if self._has_ended:
            self._loop.call_soon(self.connection_lost, exc)
        elif self._alarm is None:
            self._alarm = self._loop.call_later(self._grace, self._tell, signal.SIGTERM)

    def connection_lost(self, exc: Exception | None) -> None:
        """Report the end: the child has gone, and the pipes."""
        status = self._child.returncode
        if self._child_began and status and not self._was_told:
            self._reason = ConnectionLost(f"the command {_ending(status)}")
        super().connection_lost(exc)

    def _child_ended(self) -> None:
        self._has_ended = True
        if self._alarm is not None:
            self._alarm.cancel()
        if self._pipes_over:
            self.connection_lost(self._pipes_error)

    def _tell(self, number: int) -> None:
        """Send a signal, and a stronger one if that does not help."""
        if self._has_ended or forks.is_inherited(self):
            return
        self._was_told = True
        self._child.signal(number)
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = self._loop.call_later(self._grace, self._tell, signal.SIGKILL)


class _ChildPipes(PipePair):
    """The pipes of a CommandTransport, whose end is not yet the end of the connection."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        stream: CommandTransport,
        reading: int,
        writing: int,
    ):
        super().__init__(loop, stream, reading, writing)
        self._command = stream

    def ended(self, exc: Exception | None) -> None:
        """Both pipes are closed; the child may live."""
        self._command.pipes_ended(exc)


async def connect_command(
    make_protocol: MakeProtocol, arguments: Sequence[str], *, close_timeout: float = 5.0
) -> CommandTransport:
    """Run a command, and give the connection over its standard streams to a protocol.

    The child has our environment, folder and standard error.

    Args:
        make_protocol: called with the address, which is the command line.
        arguments: the command line; the first names the program, which is looked for on PATH.
        close_timeout: seconds that the child has to end by itself once the connection is closed;
            as many more after it was told to terminate.

    Raises:
        ConnectError: the program cannot be run, or ``make_protocol`` made none.
    """
    try:
        transport = CommandTransport(
            make_protocol, asyncio.get_running_loop(), arguments, close_timeout
        )
    except OSError as exc:
        why = os.strerror(exc.errno or 0)
        raise ConnectError(exc.errno, f"cannot run {arguments[0]!r}: {why}") from exc
    transport.start()
    if transport.protocol is None:
        transport.abortConnection()
        raise ConnectError(None, "no protocol was made for this connection")
    return transport


def _ending(status: int) -> str:
    if status > 0:
        return f"exited with status {status}"
    return f"was ended by signal {-status}"
