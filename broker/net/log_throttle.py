"""Limits how many log records the peers of one server, or of one connection, may cause.

A refused peer causes a record, and may try again as fast as it likes. Over a limit a second for one
source, and for all sources, records are only counted. At the end of the second one more record says
how many were left out. A peer that is shown the id of an error finds it in the log in this case
too: all errors that are left out in one second have the id of that record.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections import Counter
from collections.abc import Mapping
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
"""Records a second that one connection may cause after its peer has logged in."""

MOST_BYTES = 40_000
"""Bytes of text a second that all sources together may cause, or one connection on its own."""

LONGEST = 600
"""Bytes of a record without a traceback."""

# Sources that are counted separately within a second.
_MOST_SOURCES = 1000


class LogThrottle:
    """Limits the log records that the peers of one server, or one connection, cause.

    Args:
        scheduler: the clock and its timers. Without one, the system's clock is used. The number of
            records that were left out is then logged before the next record, until :meth:`begin`
            sets a scheduler.
        each: records a second from one source: an IPv4 host, or an IPv6 network of 64 bits. All
            connections without an address, such as those of UNIX sockets, are one source.
        most: records a second from all sources.
    """

    __slots__ = (
        "_began",
        "_each",
        "_error_id",
        "_left_out",
        "_level",
        "_logged",
        "_logged_bytes",
        "_logger",
        "_most",
        "_scheduler",
        "_timer",
    )

    def __init__(self, scheduler: Scheduler | None = None, each: int = EACH, most: int = MOST):
        self._scheduler = scheduler
        self._each = each
        self._most = most
        self._began = float("-inf")
        self._logged_bytes = 0
        self._logged: Counter[str] = Counter()
        self._left_out: Counter[str] = Counter()
        # The id of all errors that are left out, once it was shown to a peer.
        self._error_id: str | None = None
        self._logger = logging.getLogger("broker")
        self._level = logging.INFO
        self._timer: Cancellable | None = None

    def begin(self, scheduler: Scheduler) -> None:
        """Use this scheduler if none was set before."""
        if self._scheduler is None:
            now = self._now()
            self._scheduler = scheduler
            self._began += scheduler.now() - now
            if self._left_out:
                self._set_timer()

    def log(
        self,
        logger: logging.Logger,
        level: int,
        address: Any,
        text: str,
        *args: Any,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        """Log an action of a peer as one printable line, or only count it.

        Args:
            logger, level: of the record.
            address: of the peer.
            text, args: the message, as for `logging`; cut at `LONGEST` bytes.
            facts: the attribute ``facts`` of the record, for programs that read the log; without
                text of a peer that is not bounded.
        """
        if logger.isEnabledFor(level):
            line = printable(text % args, LONGEST, is_ascii=False)
            if self._admits(logger, level, address, len(line.encode())):
                logger.log(level, "%s", line, extra={"facts": facts})

    def log_error(
        self,
        logger: logging.Logger,
        address: Any,
        message: str,
        error: BaseException,
        tb: TracebackType | None = None,
    ) -> None:
        """Log an error that a peer caused, with its traceback, or only count it.

        See :func:`broker.traces.log_error`. An error that is only counted has no traceback made.
        """
        level = logging.ERROR
        if not logger.isEnabledFor(level) or not self._admits(logger, level, address, 0):
            return
        trace: Trace = trace_of(error, tb)
        self._logged_bytes += len(message) + len(trace.text.encode())
        handle_error(logger, level, message, error, tb, trace)

    def id_of_error(self, address: Any) -> str:
        """Return the id to show a peer for an error, which is logged at once or only counted.

        The id is new if a record may be logged now. Otherwise it is the id in the later record that
        says how many were left out.
        """
        self._begin_second()
        if self._may_log(_source(address), 0):
            return secrets.token_hex(4)
        if self._error_id is None:
            self._error_id = secrets.token_hex(4)
        return self._error_id

    def settle(self) -> None:
        """Log how many records were left out, and reset the counters."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        self._logged.clear()
        self._logged_bytes = 0
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

    def _admits(self, logger: logging.Logger, level: int, address: Any, size: int) -> bool:
        """Return whether a record may be logged now, and count it."""
        self._begin_second()
        source = _source(address)
        if self._may_log(source, size):
            self._logged[source] += 1
            self._logged_bytes += size
            return True
        if source not in self._left_out and len(self._left_out) >= _MOST_SOURCES:
            source = "others"
        self._left_out[source] += 1
        self._logger = logger
        self._level = max(self._level, level)
        self._set_timer()
        return False

    def _begin_second(self) -> None:
        """Reset the counters if a second has passed."""
        now = self._now()
        if now - self._began >= 1.0:
            self.settle()
            self._began = now

    def _may_log(self, source: str, size: int) -> bool:
        if self._logged.total() >= self._most or self._logged_bytes + size > MOST_BYTES:
            return False
        return self._logged[source] < self._each

    def _set_timer(self) -> None:
        if self._timer is None and self._scheduler is not None:
            left = self._began + 1.0 - self._scheduler.now()
            self._timer = self._scheduler.later(max(0.0, left), self.settle)


def _source(address: Any) -> str:
    return source_of(address) or type(address).__name__
