"""Child processes: starts one, watches for its end, and connects over its standard streams.

`ChildPipes` are the source of a stream to a child process. When the connection ends, the input of
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
from contextlib import ExitStack, suppress
from typing import Any

from broker.background import run_in_thread
from broker.errors import ConnectError, ConnectionLost
from broker.net import forks
from broker.net.filters import Filter
from broker.net.pipes.transport import PipePair, Receiver
from broker.net.socket_addresses import PipeAddress
from broker.net.tls.transport import new_transport
from broker.net.transports import MakeProtocol, StreamTransport

__all__ = ["Child", "ChildPipes", "connect_command"]


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


class ChildPipes(PipePair):
    """The standard input and output of a child process, as the source of one stream.

    Args:
        loop: the event loop.
        receiver: gets the data and the events.
        arguments: the command line, which is the address.
        grace: seconds that the child has to exit by itself after the connection is closed, and
            again after it was told to terminate.

    Attributes:
        child: the child process.

    Raises:
        OSError: the program cannot be run.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        receiver: Receiver,
        arguments: Sequence[str],
        grace: float,
    ):
        self.child = child = Child(arguments)
        address = PipeAddress(shlex.join(arguments))
        super().__init__(loop, receiver, child.pipes[1], child.pipes[0], address)
        self._grace = grace
        self._alarm: asyncio.TimerHandle | None = None
        self._child_closed_first = False
        self._has_exited = False
        self._was_signalled = False
        self._are_closed = False
        self._error: Exception | None = None
        forks.watch(self)

    def start(self) -> None:
        """Make the connection, and watch the child."""
        self.child.watch(self._loop.call_soon_threadsafe, self._child_exited)
        super().start()

    def abort(self) -> None:
        """Close both pipes now, and terminate the child."""
        super().abort()
        self._signal_child(signal.SIGTERM)

    def ended(self, exc: Exception | None) -> None:
        """Wait for the end of the child, and end it if it does not exit: both pipes are closed."""
        self._are_closed, self._error = True, exc
        self._child_closed_first |= exc is not None
        if self._has_exited:
            self._loop.call_soon(self._report)
        elif self._alarm is None:
            self._alarm = self._loop.call_later(self._grace, self._signal_child, signal.SIGTERM)

    def on_forked(self) -> None:
        """Signal nothing: the command is not a child of this process, which was forked."""
        self._has_exited = True

    def _reading_ended(self, exc: OSError | None) -> None:
        # This end has not closed its own pipe: then it would not read any more.
        self._child_closed_first = True
        super()._reading_ended(exc)

    def _child_exited(self) -> None:
        self._has_exited = True
        if self._alarm is not None:
            self._alarm.cancel()
        if self._are_closed:
            self._report()

    def _report(self) -> None:
        """Report the end: the child has exited, and the pipes are closed."""
        status, error = self.child.returncode, self._error
        if self._child_closed_first and status and not self._was_signalled:
            error = ConnectionLost(f"the command {_ending(status)}")
        self._receiver.connection_lost(error)

    def _signal_child(self, number: int) -> None:
        """Send a signal, and a stronger one later if the child still runs."""
        if self._has_exited:
            return
        self._was_signalled = True
        self.child.signal(number)
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = self._loop.call_later(self._grace, self._signal_child, signal.SIGKILL)


async def connect_command(
    make_protocol: MakeProtocol,
    arguments: Sequence[str],
    *,
    filters: Sequence[Filter] = (),
    handshake_timeout: float = 10.0,
    close_timeout: float = 5.0,
) -> StreamTransport:
    """Run a command, and give the connection over its standard streams to a protocol.

    The child inherits the environment, working directory and standard error of this process.

    Args:
        make_protocol: called with the address, which is the command line.
        arguments: the command line; the first one is the program, which is looked for on PATH.
        filters, handshake_timeout: see `StreamTransport`.
        close_timeout: seconds that the child has to exit by itself after the connection is closed,
            and again after it was told to terminate.

    Raises:
        ConnectError: the program cannot be run, or ``make_protocol`` returned None.
    """
    loop = asyncio.get_running_loop()
    transport = new_transport(
        make_protocol,
        loop,
        filters=filters,
        handshake_timeout=handshake_timeout,
        close_timeout=close_timeout,
    )
    try:
        pipes = ChildPipes(loop, transport.receiver, arguments, close_timeout)
    except OSError as exc:
        why = os.strerror(exc.errno or 0)
        raise ConnectError(exc.errno, f"cannot run {arguments[0]!r}: {why}") from exc
    pipes.start()
    with ExitStack() as undo:
        undo.callback(transport.abortConnection)
        if transport.protocol is None:
            raise ConnectError(None, "no protocol was made for this connection")
        await transport.wait_secured()
        undo.pop_all()
    return transport


def _ending(status: int) -> str:
    if status > 0:
        return f"exited with status {status}"
    return f"was ended by signal {-status}"
