"""Child processes with the published API: `spawnProcess`, and its protocol and transport."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import Context
from functools import partial
from typing import TYPE_CHECKING, Any

from broker.failure import Failure
from broker.net.pipes.children import Child
from broker.net.pipes.transport import PipeReader, PipeWriter
from broker.net.producers import ProducerSlot
from broker.net.scheduler import Scheduler, TwistedScheduler
from broker.net.socket_addresses import PipeAddress
from broker.net.transport_port import LINGER_TIME, TransportPort
from broker.net.transports import HIGH_WATER
from broker.printable import repr_of
from broker.reactor.engine.protocol_bases import BaseProtocol
from broker.reactor.error import ProcessDone, ProcessExitedAlready, ProcessTerminated
from broker.reactor.typed import Environment
from broker.traces import log_error

if TYPE_CHECKING:
    from cryptography import x509

    from broker.reactor.engine.mainloop import Mainloop

__all__ = ["ProcessProtocol", "ProcessTransport", "spawn_process", "start_child"]

logger = logging.getLogger("broker.reactor")

PIPES: Mapping[int, int | str] = {0: "w", 1: "r", 2: "r"}


class ProcessProtocol(BaseProtocol):
    """Base of protocols for a child process (published).

    Attributes:
        transport: the ProcessTransport, from `makeConnection` on.
    """

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """Handle bytes that the child has written to one of its descriptors (published)."""
        if childFD == 1:
            self.outReceived(data)
        elif childFD == 2:
            self.errReceived(data)

    def outReceived(self, data: bytes) -> None:
        """Handle bytes from standard output (published)."""

    def errReceived(self, data: bytes) -> None:
        """Handle bytes from standard error (published)."""

    def childConnectionLost(self, childFD: int) -> None:
        """Handle the end of one pipe, closed by either side (published)."""
        lost = (self.inConnectionLost, self.outConnectionLost, self.errConnectionLost)
        if childFD in PIPES:
            lost[childFD]()

    def inConnectionLost(self) -> None:
        """Handle the end of standard input (published)."""

    def outConnectionLost(self) -> None:
        """Handle the end of standard output (published)."""

    def errConnectionLost(self) -> None:
        """Handle the end of standard error (published)."""

    def processExited(self, reason: Failure) -> None:
        """Handle the end of the child; its last output may still arrive (published).

        The reason's value is ProcessDone, or ProcessTerminated.
        """

    def processEnded(self, reason: Failure) -> None:
        """The child has ended and all pipes are closed; called last, same reason (published)."""


class ProcessTransport(TransportPort):
    """A child process, as its protocol sees it (published).

    Of the state that a connection asks for, it knows only the unsent bytes.

    Attributes:
        pid: its process id; None once it has ended.
        proto: the ProcessProtocol.
        disconnecting: `loseConnection` was called.
        on_drained: called when few bytes are unsent after many were; or None.
    """

    is_unsent_exact = is_reading = is_private = True
    is_closing = is_secure = reads_ahead = False
    peer_certificate = proxy_address = None
    on_drained: Callable[[], object] | None = None

    def __init__(self, reactor: Mainloop, protocol: Any, child: Child, executable: str | bytes):
        self.reactor = reactor
        self.proto = protocol
        self.pid: int | None = child.pid
        self._scheduler = _Scheduler(reactor)
        self.disconnecting = False
        self._child = child
        self._address = PipeAddress(os.fsdecode(executable))
        self._reason: Failure | None = None
        self._producers = ProducerSlot(self)
        self._writer: PipeWriter | None = None
        self._readers: dict[int, PipeReader] = {}
        for number, fd in child.pipes.items():
            if number == 0:
                lost = partial(self._lost, 0)
                self._writer = PipeWriter(fd, lost, self._producers.pause, self._drained)
            else:
                received = partial(self._tell, "childDataReceived", number)
                self._readers[number] = PipeReader(fd, received, partial(self._lost, number))
        self._open = set(child.pipes)

    def start(self) -> None:
        """Give this transport to the protocol, and start the pipes when the reactor runs."""
        self._tell("makeConnection", self)
        self.reactor.with_loop(self._begin)
        self._child.watch(self.reactor.callFromThread, self._exited)

    # Called by the protocol.

    @property
    def scheduler(self) -> Scheduler:
        """Time and turns of the loop, as a Broker uses them."""
        return self._scheduler

    @property
    def unsent(self) -> int:
        """Bytes for the child's standard input that the kernel has not taken yet."""
        return 0 if self._writer is None else self._writer.unsent

    @property
    def most_unsent(self) -> int:
        """The same: `unsent` is exact."""
        return self.unsent

    @property
    def peer_address(self) -> PipeAddress:
        """The address of the other end: the program."""
        return self._address

    def getPeer(self) -> PipeAddress:
        """Return the address of the other end: the program."""
        return self._address

    getHost = getPeer

    def write(self, data: bytes) -> None:
        """Write to the child's standard input; drop it once that is closed (published)."""
        if self._writer is not None:
            self._writer.write(data)

    def writeSequence(self, seq: Iterable[bytes]) -> None:
        """Write the pieces (published)."""
        self.write(b"".join(seq))

    def writeToChild(self, childFD: int, data: bytes) -> None:
        """Write to a descriptor of the child (published).

        Raises:
            KeyError: the child does not read that descriptor from a pipe.
        """
        if childFD != 0 or self._writer is None:
            raise KeyError(childFD)
        self.write(data)

    def closeStdin(self) -> None:
        """Close the child's standard input, once all bytes are written (published)."""
        self.closeChildFD(0)

    def closeStdout(self) -> None:
        """Stop reading the child's standard output (published)."""
        self.closeChildFD(1)

    def closeStderr(self) -> None:
        """Stop reading the child's standard error (published)."""
        self.closeChildFD(2)

    def closeChildFD(self, descriptor: int) -> None:
        """Close this end of one pipe; does nothing if it is closed (published)."""
        if descriptor == 0 and self._writer is not None:
            self._writer.close()
        elif descriptor in self._readers and descriptor in self._open:
            self._readers[descriptor].close()
            self.scheduler.soon(self._lost, descriptor, None)

    def loseConnection(self) -> None:
        """Close all pipes, the child's input once all bytes are written (published).

        The process is not told to end; most programs end when their input does.
        """
        self.disconnecting = True
        for number in PIPES:
            self.closeChildFD(number)

    def leave(self, *, at_once: bool = False) -> None:
        """Close all pipes; with ``at_once`` the child has `LINGER_TIME` seconds to read."""
        self.loseConnection()
        if at_once:
            self.scheduler.timeout(LINGER_TIME, self.abortConnection)

    def abortConnection(self) -> None:
        """Close all pipes now; unsent bytes are lost."""
        self.disconnecting = True
        if self._writer is not None and not self._writer.is_closed:
            self._writer.abort()
            self.scheduler.soon(self._lost, 0, None)
        self.loseConnection()

    def signalProcess(self, signalID: str | int) -> None:
        """Send a signal, by its number or its name without ``SIG`` (published).

        Raises:
            ProcessExitedAlready: the process has ended.
            ValueError: no signal has that name.
        """
        if isinstance(signalID, str):
            found = signal.Signals.__members__.get(f"SIG{signalID}")
            if found is None:
                raise ValueError(f"no signal is called {signalID!r}; write TERM, KILL, INT, HUP …")
            signalID = found
        if self.pid is None or self._child.returncode is not None:
            raise ProcessExitedAlready
        self._child.signal(signalID)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Let ``producer`` write to the child's standard input (published).

        Raises:
            RuntimeError: a producer is registered already.
        """
        if self._writer is None or self._writer.is_closed:
            producer.stopProducing()
            return
        self._producers.register(producer, is_push=streaming)
        self._writer.set_limit(HIGH_WATER if streaming else 0)

    def unregisterProducer(self) -> None:
        """Forget the producer (published)."""
        self._producers.unregister()
        if self._writer is not None:
            self._writer.set_limit(HIGH_WATER)

    def pause_reading(self) -> None:
        """Deliver no data until `resume_reading`."""
        for reader in self._readers.values():
            reader.pause()

    def resume_reading(self) -> None:
        """Deliver again."""
        for reader in self._readers.values():
            reader.resume()

    def pauseProducing(self) -> None:
        """Deliver no data until ``resumeProducing`` (published)."""
        self.pause_reading()

    def resumeProducing(self) -> None:
        """Deliver again (published)."""
        self.resume_reading()

    def unsent_in_kernel(self) -> int | None:
        """Return None: the kernel does not tell it of pipes."""
        return None

    def watch_peer(self, silence: float, wait: float) -> None:
        """Do nothing: a program cannot be gone without the end of its pipes."""

    def when_secured(self, callback: Callable[[], object]) -> None:
        """Call ``callback()`` now: there is no handshake."""
        callback()

    def verified_chain(self) -> tuple[x509.Certificate, ...]:
        """Return an empty chain: there are no certificates."""
        return ()

    def channel_binding(self) -> bytes | None:
        """Return None: there is no channel binding."""
        return None

    def stopProducing(self) -> None:
        """Close all pipes, as `loseConnection` does (published)."""
        self.loseConnection()

    def abandon(self) -> None:
        """Close all pipes: the reactor stops. The process keeps running."""
        if self._writer is not None:
            self._writer.abort()
        for reader in self._readers.values():
            reader.close()
        for number in sorted(self._open):
            self._lost(number, None)
        self.reactor.release(self)

    # Called by the pipes.

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        self.reactor.hold(self)
        if self._writer is not None:
            self._writer.start(loop)
        for reader in self._readers.values():
            reader.start(loop)

    def _drained(self) -> None:
        if self.on_drained is not None:
            self.on_drained()
        self._producers.resume()

    def _lost(self, number: int, exc: OSError | None) -> None:
        if number not in self._open:
            return
        self._open.discard(number)
        if number == 0:
            self._producers.stop()
        self._tell("childConnectionLost", number)
        self._finish()

    def _exited(self) -> None:
        self.pid = None
        self._reason = Failure(_ending(self._child.returncode or 0))
        self._tell("processExited", self._reason)
        self._finish()

    def _finish(self) -> None:
        if self._reason is not None and not self._open:
            self.reactor.release(self)
            self._tell("processEnded", self._reason)

    def _tell(self, name: str, *args: object) -> None:
        try:
            getattr(self.proto, name)(*args)
        except Exception as exc:  # noqa: BLE001 - the protocol must still be told of the end
            log_error(logger, f"{name} of {repr_of(self.proto, 200)} raised", exc)

    def __repr__(self) -> str:
        state = "ended" if self.pid is None else f"pid {self.pid}"
        return f"<ProcessTransport {self._address}: {state}>"


def spawn_process(
    reactor: Mainloop,
    processProtocol: object,
    executable: str | bytes,
    args: Sequence[str | bytes] = (),
    env: Environment | None = {},  # noqa: B006 - as published, and never changed
    path: str | bytes | None = None,
    uid: int | None = None,
    gid: int | None = None,
    usePTY: bool | int = 0,
    childFDs: Mapping[int, int | str] | None = None,
) -> ProcessTransport:
    """Run a program, and give its standard streams to a protocol, as `reactor.spawnProcess` does.

    The program is started at once; its events are delivered while the reactor runs.

    Args:
        reactor: the owner of the loop.
        processProtocol: a ProcessProtocol.
        executable: the program, looked for on the PATH of ``env``.
        args: its command line, which begins with the name that it has for itself.
        env: its environment; default empty, and None for that of this process.
        path: its working directory.
        uid, gid: its user and group; for root only.
        usePTY: must be false.
        childFDs: its descriptors 0, 1 and 2: ``"w"`` is a pipe that this process writes to, ``"r"``
            one that it reads, a number is a descriptor of this process. A descriptor that is not
            named is the null device.

    Raises:
        OSError: the program cannot be run.
        ValueError: a terminal, or another descriptor, is asked for.
    """
    if usePTY:
        raise ValueError("spawnProcess gives no terminal to a process: usePTY must be false")
    child = start_child(executable, args, env, path, uid, gid, childFDs)
    transport = ProcessTransport(reactor, processProtocol, child, executable)
    transport.start()
    return transport


def start_child(
    executable: str | bytes,
    args: Sequence[str | bytes],
    env: Environment | None,
    path: str | bytes | None,
    uid: int | None,
    gid: int | None,
    childFDs: Mapping[int, int | str] | None,
    set_up: Callable[[], object] | None = None,
) -> Child:
    """Start a program; ``set_up()`` is called in its process just before it begins.

    The other arguments, and the errors raised, are those of `spawn_process`.
    """
    return Child(
        list(args) or [executable],
        executable,
        _streams(PIPES if childFDs is None else childFDs),
        env=env,
        cwd=path,
        user=uid,
        group=gid,
        preexec_fn=set_up,
    )


class _Scheduler(TwistedScheduler):
    """The scheduler of a Reactor, whose loop need not run yet."""

    __slots__ = ()

    def create_task(  # type: ignore[override]
        self, coro: Any, context: Context | None = None
    ) -> asyncio.Task[Any]:
        """Start a coroutine as a task of the loop, which runs when a message is received."""
        return asyncio.get_running_loop().create_task(coro, context=context)


def _streams(wanted: Mapping[int, int | str]) -> list[int | None]:
    if not wanted.keys() <= PIPES.keys():
        raise ValueError("spawnProcess gives a process the descriptors 0, 1 and 2, and no others")
    streams: list[int | None] = []
    for number, mode in PIPES.items():
        value = wanted.get(number, subprocess.DEVNULL)
        if value == mode:
            value = subprocess.PIPE
        if isinstance(value, str):
            raise ValueError(f"descriptor {number} of a process can be {mode!r}, not {value!r}")
        streams.append(value)
    return streams


def _ending(status: int) -> ProcessDone | ProcessTerminated:
    if status == 0:
        return ProcessDone(0)
    if status < 0:
        return ProcessTerminated(None, -status, -status)
    return ProcessTerminated(status, None, status << 8)
