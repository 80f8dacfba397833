"""Tells systemd, or another service manager, the state of a server: the protocol of sd_notify.

Theory of operation. The manager names a socket in ``NOTIFY_SOCKET``, and each message is a datagram
of lines ``NAME=value``. If the manager wants to be told regularly that the program is alive,
``WATCHDOG_USEC`` has the time. The messages for that come from a timer of the event loop: a program
whose loop is blocked sends none, and the manager restarts it.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from broker.printable import printable

__all__ = ["MORE_TIME", "STATUS_EVERY", "STOPPING_EVERY", "ServiceManager"]

STATUS_EVERY = 10.0
"""Seconds between two messages of the status, if it has changed."""

STOPPING_EVERY = 10.0
"""Seconds between two requests for more time while a server drains."""

_MICRO = 1_000_000
_LONGEST_STATUS = 200

MORE_TIME = f"EXTEND_TIMEOUT_USEC={int(2 * STOPPING_EVERY * _MICRO)}"
"""The request for more time."""


class ServiceManager:
    """The connection to a service manager.

    Without a manager every method does nothing.

    Args:
        environment: of the process, default ``os.environ``: ``NOTIFY_SOCKET``, and
            ``WATCHDOG_USEC`` with ``WATCHDOG_PID``.

    Attributes:
        path: the manager's socket; empty without a manager.
        watchdog: seconds in which the manager wants one message at least; 0.0 for no watchdog.
    """

    def __init__(self, environment: Mapping[str, str] | None = None):
        given = os.environ if environment is None else environment
        path = given.get("NOTIFY_SOCKET", "")
        self.path = path if path[:1] in ("/", "@") else ""
        self.watchdog = 0.0
        owner = given.get("WATCHDOG_PID") or str(os.getpid())
        micro = given.get("WATCHDOG_USEC", "")
        if self.path and owner == str(os.getpid()) and micro.isascii() and micro.isdigit():
            self.watchdog = int(micro) / _MICRO
        self._status: Callable[[], str] | None = None
        self._told = ""
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def begin(self, status: Callable[[], str]) -> None:
        """Say that the program is ready; from now on send its status, and feed the watchdog.

        Args:
            status: returns a line about the state for people, without secrets.

        Raises:
            RuntimeError: no event loop is running.
        """
        if not self.path:
            return
        self._status = status
        self._told = self._line()
        self.send("READY=1", f"STATUS={self._told}")
        self._every("status", STATUS_EVERY, self._send_status)
        if self.watchdog:
            self.send("WATCHDOG=1")
            self._every("watchdog", self.watchdog / 2, lambda: self.send("WATCHDOG=1"))

    def reload(self, read: Callable[[], object]) -> None:
        """Say that the program reads its configuration again, call ``read``, and say that it did.

        Raises:
            Exception: that of ``read``, after the manager was told.
        """
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000 if self.path else 0
        self.send("RELOADING=1", f"MONOTONIC_USEC={now}")
        try:
            read()
        finally:
            self.send("READY=1")

    def stopping(self) -> None:
        """Say that the program stops, and until `end` ask for the time that draining needs."""
        if not self.path or "stopping" in self._timers:
            return
        self.send("STOPPING=1", MORE_TIME)
        self._every("stopping", STOPPING_EVERY, lambda: self.send(MORE_TIME))

    def end(self) -> None:
        """Send nothing any more."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _every(self, name: str, seconds: float, act: Callable[[], object]) -> None:
        loop = asyncio.get_running_loop()

        def run() -> None:
            act()
            self._timers[name] = loop.call_later(seconds, run)

        self._timers[name] = loop.call_later(seconds, run)

    def _line(self) -> str:
        return "" if self._status is None else printable(self._status(), _LONGEST_STATUS)

    def _send_status(self) -> None:
        line = self._line()
        if line != self._told:
            self._told = line
            self.send(f"STATUS={line}")

    def send(self, *lines: str) -> None:
        """Send a message of these lines."""
        if not self.path:
            return
        address = "\0" + self.path[1:] if self.path[0] == "@" else self.path
        # A manager that is gone, or does not read, must not end or block the program.
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.sendto("\n".join(lines).encode(), address)
