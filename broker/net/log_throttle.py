"""The ration: how many records of the log the peers of one server, or of one connection, may cause.

A peer that is refused causes a record, and may try again as fast as it likes. Beyond so many
records a second from one source, and from all of them, the rest is only counted. At the end of the
second one more record tells how many were left out. A peer that is shown the id of an error finds
it in the log also then: all errors that are left out in one second have the id of that record.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections import Counter
from types import TracebackType
from typing import Any

from broker.net.scheduler import Cancellable, Scheduler
from broker.net.socket_addresses import source_of
from broker.printable import printable
from broker.traces import Trace, handle_error, trace_of

__all__ = ["EACH", "LONGEST", "MOST", "MOST_BYTES", "OWN", "LogThrottle"]

EACH = 10
"""Records a second that one source may cause."""

MOST = 50
"""Records a second that all sources together may cause."""

OWN = 200
"""Records a second that one connection may cause once its peer has logged in."""

MOST_BYTES = 40_000
"""Bytes of text a second that all sources together may cause, and one connection by itself."""

LONGEST = 600
"""Bytes of a record without a traceback."""

# Sources that are told apart within a second.
_MOST_SOURCES = 1000


class LogThrottle:
    """The records that the peers of one server, or one connection, cause.

    Args:
        scheduler: the clock and its timers. Without one it is the system's clock, and what was left
            out is told before the next record, until :meth:`begin` brings a scheduler.
        each: records a second from one source: an IPv4 host, or an IPv6 network of 64 bits. All
            connections without an address, such as those of UNIX sockets, are one source.
        most: records a second in all.
    """

    __slots__ = (
        "_began",
        "_each",
        "_error_id",
        "_left_out",
        "_level",
        "_logged",
        "_logger",
        "_most",
        "_octets",
        "_scheduler",
        "_timer",
    )

    def __init__(self, scheduler: Scheduler | None = None, each: int = EACH, most: int = MOST):
        self._scheduler = scheduler
        self._each = each
        self._most = most
        self._began = float("-inf")
        self._octets = 0
        self._logged: Counter[str] = Counter()
        self._left_out: Counter[str] = Counter()
        # Of the errors that are left out, once a peer was shown it.
        self._error_id: str | None = None
        self._logger = logging.getLogger("broker")
        self._level = logging.INFO
        self._timer: Cancellable | None = None

    def begin(self, scheduler: Scheduler) -> None:
        """Take this scheduler, if there is none yet."""
        if self._scheduler is None:
            now = self._now()
            self._scheduler = scheduler
            self._began += scheduler.now() - now
            if self._left_out:
                self._set_timer()

    def log(self, logger: logging.Logger, level: int, address: Any, text: str, *args: Any) -> None:
        """Log what a peer did, as one printable line, or only count it.

        Args:
            logger, level: of the record.
            address: of the peer.
            text, args: the message, as for `logging`; cut at `LONGEST` bytes.
        """
        if logger.isEnabledFor(level):
            line = printable(text % args, LONGEST, is_ascii=False)
            if self._admits(logger, level, address, len(line.encode())):
                logger.log(level, "%s", line)

    def log_error(
        self,
        logger: logging.Logger,
        address: Any,
        message: str,
        error: BaseException,
        tb: TracebackType | None = None,
    ) -> None:
        """Log an error that a peer caused, with its traceback, or only count it.

        See :func:`broker.traces.log_error`. No traceback is made where it is only counted.
        """
        level = logging.ERROR
        if not logger.isEnabledFor(level) or not self._admits(logger, level, address, 0):
            return
        trace: Trace = trace_of(error, tb)
        self._octets += len(message) + len(trace.text.encode())
        handle_error(logger, level, message, error, tb, trace)

    def id_of_error(self, address: Any) -> str:
        """Return the id to show a peer for an error, which is logged at once or only counted.

        It is a new one if there is room for a record. Otherwise it is the id that the record about
        what was left out will have.
        """
        self._begin_second()
        if self._has_room(_source(address), 0):
            return secrets.token_hex(4)
        if self._error_id is None:
            self._error_id = secrets.token_hex(4)
        return self._error_id

    def settle(self) -> None:
        """Tell what was left out, and begin anew."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        self._logged.clear()
        self._octets = 0
        if not self._left_out:
            return
        number = self._left_out.total()
        ((source, most),) = self._left_out.most_common(1)
        left_out, self._left_out = self._left_out, Counter()
        records = "record" if number == 1 else "records"
        source = printable(source)
        error_id, self._error_id = self._error_id, None
        end = f"; the id of errors among them is {error_id}" if error_id else ""
        if len(left_out) == 1:
            self._logger.log(self._level, "%s: … %d %s left out%s", source, number, records, end)
        else:
            text = "… %d %s left out, most of them from %s (%d)%s"
            self._logger.log(self._level, text, number, records, source, most, end)
        self._level = logging.INFO

    def _now(self) -> float:
        return time.monotonic() if self._scheduler is None else self._scheduler.now()

    def _admits(self, logger: logging.Logger, level: int, address: Any, octets: int) -> bool:
        """Return whether a record may be logged now, and count it."""
        self._begin_second()
        source = _source(address)
        if self._has_room(source, octets):
            self._logged[source] += 1
            self._octets += octets
            return True
        if source not in self._left_out and len(self._left_out) >= _MOST_SOURCES:
            source = "others"
        self._left_out[source] += 1
        self._logger = logger
        self._level = max(self._level, level)
        self._set_timer()
        return False

    def _begin_second(self) -> None:
        """Begin anew if a second has passed."""
        now = self._now()
        if now - self._began >= 1.0:
            self.settle()
            self._began = now

    def _has_room(self, source: str, octets: int) -> bool:
        if self._logged.total() >= self._most or self._octets + octets > MOST_BYTES:
            return False
        return self._logged[source] < self._each

    def _set_timer(self) -> None:
        if self._timer is None and self._scheduler is not None:
            left = self._began + 1.0 - self._scheduler.now()
            self._timer = self._scheduler.later(max(0.0, left), self.settle)


def _source(address: Any) -> str:
    return source_of(address) or type(address).__name__
