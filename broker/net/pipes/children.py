"""Child processes: starts one, watches for its end, and connects over its standard streams.

A `CommandTransport` is a `PipeTransport` to a child process. When the connection ends, the input of
the child ends. A child that does not exit then is told to terminate, and later killed. So the child
does not outlive the connection, and the connection ends when the child does.
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
    """A process that this process has started.

    Args:
        arguments: its command line; the first one is the name that the child has for itself.
        executable: the program, which is looked for on PATH; default the first argument.
        streams: the child's standard input, output and error: `subprocess.PIPE`, `DEVNULL`, None
            for this process's own, or a descriptor.
        options: further arguments of `subprocess.Popen`.

    Attributes:
        pid: its process id.
        pipes: this end of each of its streams that is a pipe, by the child's descriptor number.

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
        """Have ``on_exit()`` called by ``soon_threadsafe`` when the child has ended."""

        def ended(outcome: object) -> None:
            on_exit()

        # A thread needs no event loop, and does not conflict with other handlers of SIGCHLD.
        run_in_thread(self._process.wait, soon_threadsafe, ended, ended, name="child")

    def signal(self, number: int) -> None:
        """Send a signal to the child; does nothing if it has ended."""
        with suppress(ProcessLookupError):
            self._process.send_signal(number)


class CommandTransport(PipeTransport):
    """A connection over the standard input and output of a child process.

    Args:
        make_protocol: called with the address, which is the command line; it returns None to refuse
            the connection.
        loop: the event loop.
        arguments: the command line.
        grace: seconds that the child has to exit by itself after the connection is closed, and
            again after it was told to terminate.

    Raises:
        OSError: the program cannot be run.
    """

    __slots__ = (
        "_alarm",
        "_child",
        "_child_closed_first",
        "_grace",
        "_has_ended",
        "_pipes_error",
        "_pipes_over",
        "_was_signalled",
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
        self._child_closed_first = False
        self._has_ended = False
        self._was_signalled = False
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
        self._signal_child(signal.SIGTERM)

    def eof_received(self) -> bool:
        """Close this end too: the child has closed its own."""
        self._child_closed_first = not self.disconnecting
        return super().eof_received()

    def pipes_ended(self, exc: Exception | None) -> None:
        """Wait for the end of the child before the end of the connection is reported."""
        self._pipes_over, self._pipes_error = True, exc
        self._child_closed_first |= exc is not None
        if self._has_ended:
            self._loop.call_soon(self.connection_lost, exc)
        elif self._alarm is None:
            self._alarm = self._loop.call_later(self._grace, self._signal_child, signal.SIGTERM)

    def connection_lost(self, exc: Exception | None) -> None:
        """Report the end: the child has exited, and the pipes are closed."""
        status = self._child.returncode
        if self._child_closed_first and status and not self._was_signalled:
            self._reason = ConnectionLost(f"the command {_ending(status)}")
        super().connection_lost(exc)

    def _child_ended(self) -> None:
        self._has_ended = True
        if self._alarm is not None:
            self._alarm.cancel()
        if self._pipes_over:
            self.connection_lost(self._pipes_error)

    def _signal_child(self, number: int) -> None:
        """Send a signal, and a stronger one later if the child still runs."""
        if self._has_ended or forks.is_inherited(self):
            return
        self._was_signalled = True
        self._child.signal(number)
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = self._loop.call_later(self._grace, self._signal_child, signal.SIGKILL)


class _ChildPipes(PipePair):
    """The pipes of a CommandTransport; the connection ends later than they do."""

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
        """Tell the transport that both pipes are closed; the child may still run."""
        self._command.pipes_ended(exc)


async def connect_command(
    make_protocol: MakeProtocol, arguments: Sequence[str], *, close_timeout: float = 5.0
) -> CommandTransport:
    """Run a command, and give the connection over its standard streams to a protocol.

    The child inherits the environment, working directory and standard error of this process.

    Args:
        make_protocol: called with the address, which is the command line.
        arguments: the command line; the first one is the program, which is looked for on PATH.
        close_timeout: seconds that the child has to exit by itself after the connection is closed,
            and again after it was told to terminate.

    Raises:
        ConnectError: the program cannot be run, or ``make_protocol`` returned None.
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
