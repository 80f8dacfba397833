"""Several processes that serve at the same ports, and the parent process that keeps them running.

Theory of operation. The parent is forked before any event loop exists. It holds each TCP port by a
socket that does not listen, and each child listens at the port with SO_REUSEPORT. The parent is the
service manager of its children: it hears when each is ready, and feeds its own manager's watchdog
while every child feeds it. It passes on the signals, and starts a child again that has ended. Each
child reads from a pipe to which only the parent could write: at its end the parent is gone, and the
child ends as by SIGTERM. Each child is a process group of its own: Ctrl-C at a terminal reaches the
parent only, which passes it on once.

With a socket for operators there is one process more, number 0, which asks all others. It gets no
signals with them, and ends after them. When an operator drains the server, it tells the parent.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TypeAlias

import click
from msgspec.structs import replace

from broker.background import start_thread
from broker.net.schemes import HostPort, WebPlace
from broker.net.sockets import bind_stream
from broker.server import Serve
from broker.service_manager import MORE_TIME, STOPPING_EVERY, ServiceManager

__all__ = ["DRAIN", "OPERATORS", "Processes", "Run"]

Run: TypeAlias = Callable[[tuple[str, ...], int], int]
"""Serves in one process, given the addresses and its number; returns the exit status."""

DRAIN = "PB_DRAIN=1"
"""What process 0 tells the parent when an operator drains the server."""

OPERATORS = 0
"""The number of the process for operators."""

logger = logging.getLogger("broker.server")

RESTART_AFTER = 1.0
"""Seconds until a child that has ended soon after its start is started again."""

_SOON = 10.0
_OPERATORS = "the process for operators"
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD)


class Child:
    """One process.

    Attributes:
        index: its number, from 1; 0 is that for operators.
        sock: hears its messages to a service manager.
        pid: of the process; 0 while none runs.
        started: when it was started, by ``time.monotonic``.
        heard: when it last fed the watchdog.
        is_ready: whether it serves.
        is_draining: whether an operator has drained the server, as it says.
    """

    def __init__(self, index: int, folder: Path):
        self.index = index
        self.path = folder / str(index)
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(str(self.path))
        self.sock.setblocking(False)
        self.pid = 0
        self.started = self.heard = 0.0
        self.is_ready = self.is_draining = False

    @property
    def is_worker(self) -> bool:
        """Whether it serves clients."""
        return self.index != OPERATORS

    def hear(self) -> None:
        """Take its messages."""
        with suppress(BlockingIOError):
            while True:
                lines = self.sock.recv(4096).decode("utf-8", "replace").split("\n")
                self.is_ready |= "READY=1" in lines
                self.is_draining |= DRAIN in lines and not self.is_worker
                self.heard = time.monotonic()


class Processes:
    """The parent of the processes of one server.

    Args:
        count: how many processes.
        serving: the server as it was checked; it is not opened.
        run: called in each child with the addresses and its number, from 1; returns the exit
            status.
        has_operators: whether there is one process more, with the number 0.
    """

    def __init__(self, count: int, serving: Serve, run: Run, *, has_operators: bool = False):
        serving.close()
        self._count = count
        self._locations = serving.locations
        self._run = run
        self._first = OPERATORS if has_operators else OPERATORS + 1
        self._manager = ServiceManager()
        self._children: list[Child] = []
        self._signals = 0
        self._asked_for_time = 0.0
        self._has_served = False
        self._pipe = (-1, -1)
        self._status = 0

    def run(self) -> int:
        """Run the processes until a signal; return the exit status.

        Raises:
            CannotListenError: a port cannot be used.
        """
        with ExitStack() as undo:
            addresses = tuple(str(each) for each in self._hold(undo))
            folder = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="pb-")))
            self._children = [Child(each, folder) for each in range(self._first, self._count + 1)]
            for child in self._children:
                undo.callback(child.sock.close)
            self._pipe = os.pipe()
            for number in self._pipe:
                undo.callback(os.close, number)
            with _wakes() as (waker, signals):
                for child in self._children:
                    self._start(child, addresses)
                self._watch(waker, signals, addresses)
            self._end_operators()
        return self._status

    def _hold(self, undo: ExitStack) -> Iterator[object]:
        """Yield the locations with their real ports, which this process holds."""
        for location in self._locations:
            if isinstance(location, HostPort | WebPlace) and location.port is not None:
                sockets = bind_stream(location.host, location.port, 0, reuse_port=True)
                for sock in sockets:
                    undo.callback(sock.close)
                port = sockets[0].getsockname()[1]
                yield replace(location, port=port)
            else:
                yield location

    def _start(self, child: Child, addresses: tuple[str, ...]) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        child.is_ready = False
        child.started = child.heard = time.monotonic()
        child.pid = os.fork()
        if not child.pid:
            status = 1
            try:
                self._become(child)
                status = self._run(addresses, child.index)
            except BaseException:
                logger.exception("process %d ended", child.index)
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)

    def _become(self, child: Child) -> None:
        """Make this forked process an ordinary one: it has the parent as its service manager."""
        signal.set_wakeup_fd(-1)
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.setpgid(0, 0)
        os.close(self._pipe[1])
        start_thread(partial(_end_with_parent, self._pipe[0]), "pb-parent")
        os.environ["NOTIFY_SOCKET"] = str(child.path)
        os.environ.pop("WATCHDOG_PID", None)
        if self._manager.watchdog:
            os.environ["WATCHDOG_USEC"] = str(int(self._manager.watchdog * 500_000))

    def _watch(self, waker: socket.socket, signals: list[int], addresses: tuple[str, ...]) -> None:
        beat = self._manager.watchdog / 2 or _SOON
        fed = time.monotonic()
        while any(child.pid for child in self._workers) or not self._signals:
            pause = RESTART_AFTER if not all(c.pid for c in self._children) else beat / 2
            select.select([waker, *(child.sock for child in self._children)], [], [], pause)
            with suppress(BlockingIOError):
                waker.recv(4096)
            for child in self._children:
                child.hear()
            for number in _taken(signals):
                self._signal(number)
            if not self._signals and any(child.is_draining for child in self._children):
                self._signals = 1
            self._tell_of_the_end()
            self._reap()
            if self._status:
                return
            self._announce(addresses)
            self._restart(addresses)
            if self._manager.watchdog and time.monotonic() - fed >= beat and self._all_alive():
                fed = time.monotonic()
                self._manager.send("WATCHDOG=1")

    def _signal(self, number: int) -> None:
        if number == signal.SIGCHLD:
            return
        if number == signal.SIGHUP:
            self._manager.reload(lambda: self._pass_on(number))
            return
        self._signals += 1
        self._pass_on(number)

    def _tell_of_the_end(self) -> None:
        """Tell the manager that the processes stop, and ask for the time that draining needs."""
        now = time.monotonic()
        if not self._signals or now - self._asked_for_time < STOPPING_EVERY:
            return
        if not self._asked_for_time:
            self._manager.send("STOPPING=1", "STATUS=draining")
        self._asked_for_time = now
        self._manager.send(MORE_TIME)

    @property
    def _workers(self) -> list[Child]:
        return [child for child in self._children if child.is_worker]

    def _pass_on(self, number: int) -> None:
        for child in self._workers:
            if child.pid:
                os.kill(child.pid, number)

    def _reap(self) -> None:
        for child in self._children:
            if not child.pid:
                continue
            pid, status = os.waitpid(child.pid, os.WNOHANG)
            if not pid:
                continue
            child.pid = 0
            code = os.waitstatus_to_exitcode(status)
            if not self._signals and not self._has_served and code:
                # It could not start, and has said why; the others could not either.
                self._signals += 1
                self._status = code if code > 0 else 1
                self._end_all()
                return
            if not self._signals:
                name = f"process {child.index} of {self._count}" if child.is_worker else _OPERATORS
                logger.warning("%s ended (%d)", name, code)

    def _end_all(self) -> None:
        self._end(signal.SIGKILL, self._children)

    def _end_operators(self) -> None:
        """End the process for operators: there is nothing to see any more."""
        self._end(signal.SIGTERM, [child for child in self._children if not child.is_worker])

    def _end(self, number: int, children: Sequence[Child]) -> None:
        for child in children:
            if child.pid:
                os.kill(child.pid, number)
        for child in children:
            if child.pid:
                os.waitpid(child.pid, 0)
                child.pid = 0

    def _restart(self, addresses: tuple[str, ...]) -> None:
        now = time.monotonic()
        for child in self._children:
            ran_long = now - child.started >= _SOON
            if not child.pid and not self._signals:
                if ran_long or now - child.started >= RESTART_AFTER:
                    self._start(child, addresses)
            elif child.pid and self._manager.watchdog:
                silent = now - child.heard
                if silent > self._manager.watchdog and child.is_ready:
                    logger.error("process %d does not answer: it is ended", child.index)
                    child.heard = now
                    os.kill(child.pid, signal.SIGABRT)

    def _all_alive(self) -> bool:
        limit = time.monotonic() - self._manager.watchdog
        return all(not child.is_ready or child.heard > limit for child in self._children)

    def _announce(self, addresses: tuple[str, ...]) -> None:
        if not self._has_served and all(child.is_ready for child in self._children):
            self._has_served = True
            self._manager.send("READY=1", f"STATUS=serving in {self._count} processes")
            click.echo(f"serving at {' '.join(addresses)}")
            sys.stdout.flush()


def _end_with_parent(number: int) -> None:
    """Wait for the end of a pipe to which only the parent could write; then end this process."""
    os.read(number, 1)
    os.kill(os.getpid(), signal.SIGTERM)


def _taken(signals: list[int]) -> Sequence[int]:
    taken = tuple(signals)
    del signals[: len(taken)]
    return taken


@contextmanager
def _wakes() -> Iterator[tuple[socket.socket, list[int]]]:
    """Let signals wake a ``select``: yield the socket, and the list of signals that have come."""
    came: list[int] = []
    receiver, sender = socket.socketpair()
    receiver.setblocking(False)
    sender.setblocking(False)
    old = {
        number: signal.signal(number, lambda number, frame: came.append(number))
        for number in _SIGNALS
    }
    before = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
    try:
        yield receiver, came
    finally:
        signal.set_wakeup_fd(before)
        for number, handler in old.items():
            signal.signal(number, handler)
        receiver.close()
        sender.close()
