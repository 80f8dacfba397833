"""The audit log: one line of JSON for each login, on the logger ``broker.audit``.

Nothing is written until the program gives that logger a handler and the level INFO. A line has the
user, the address, the mechanism, the result and the reason. It never has a password, a proof or a
token in it.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, TypeAlias

from broker.errors import Error
from broker.failure import Failure
from broker.net.socket_addresses import source_of
from broker.printable import text_of_error, text_of_value
from broker.token_bucket import MOST_KEYS, Rate, TokenBuckets
from cred.error import LoginFailed

__all__ = ["REFUSALS", "REFUSALS_IN_ALL", "Audit", "why"]

logger = logging.getLogger("broker.audit")

REFUSALS: Final = Rate(100, 0.125)
"""Lines about refused logins from one source: 100, then 8 a second; the others are counted."""

REFUSALS_IN_ALL: Final = Rate(400, 0.02)
"""Lines about refused logins from all sources together: 400, then 50 a second."""

_LONGEST_USER: Final = 64
_LONGEST_REASON: Final = 120

Line: TypeAlias = dict[str, object]


class Audit:
    """Writes the lines of one server.

    ::

        {"time": "2026-11-25T21:04:05.123Z", "result": "refused", "user": "alice",
         "from": "198.51.100.7:53122", "how": "password", "reason": "wrong password"}

    ``result`` is ``accepted``, ``refused``, or ``failed`` if the server could not decide. ``user``
    is the user who logged in, or the name that a refused client gave, at most 64 characters. It is
    null for a guest, and if the client gave no name. ``reason`` is there unless the login was
    accepted. ``suppressed`` is the number of lines of the same source that were left out before
    this one, if any; see `REFUSALS`.

    Args:
        wall: returns the time, in seconds since 1970.
        clock: returns the time in seconds; only differences count.
    """

    def __init__(
        self,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._wall = wall
        self._buckets = TokenBuckets(REFUSALS, clock)
        self._all = TokenBuckets(REFUSALS_IN_ALL, clock)
        self._suppressed: Counter[str] = Counter()

    def accepted(self, address: object, mechanism: str, user: object) -> None:
        """Write the line of a login that was accepted."""
        if logger.isEnabledFor(logging.INFO):
            self._write(self._line("accepted", address, mechanism, user))

    def refused(self, address: object, mechanism: str, user: object, failure: Failure) -> bool:
        """Write the line of a login that was refused or failed, or count it if there are many.

        Returns:
            Whether the line says all, so that other records of the refusal are for debugging: the
            log is written, and it is not an error of the application.
        """
        if not logger.isEnabledFor(logging.INFO):
            return False
        result, reason = why(failure.value)
        source = source_of(address) or str(address)
        if self._buckets.wait(source) or self._all.wait(""):
            if source not in self._suppressed and len(self._suppressed) >= MOST_KEYS:
                source = ""
            self._suppressed[source] += 1
            return result == "refused"
        self._buckets.mark(source)
        self._all.mark("")
        line = self._line(result, address, mechanism, user)
        line["reason"] = reason
        suppressed = self._suppressed.pop(source, 0) + self._suppressed.pop("", 0)
        if suppressed:
            line["suppressed"] = suppressed
        self._write(line)
        return result == "refused"

    def _line(self, result: str, address: object, mechanism: str, user: object) -> Line:
        now = datetime.fromtimestamp(self._wall(), UTC)
        return {
            "time": now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "result": result,
            "user": _text(user),
            "from": str(address),
            "how": mechanism,
        }

    def _write(self, line: Line) -> None:
        facts: Line = {"event": "login", "result": line["result"], "user": line["user"]}
        facts |= {"peer": line["from"], "mechanism": line["how"]}
        facts |= {name: line[name] for name in ("reason", "suppressed") if name in line}
        # Imported here: most programs do not log each login.
        import json

        logger.info("%s", json.dumps(line), extra={"facts": facts})


def why(error: object) -> tuple[str, str]:
    """Return the result and the reason; the text of an error only if peers may read it."""
    if isinstance(error, LoginFailed | Error):
        reason = getattr(error, "reason", "") or text_of_error(error, _LONGEST_REASON + 3)
        return "refused", str(reason)[:_LONGEST_REASON]
    return "failed", type(error).__name__


def _text(user: object) -> str | None:
    if user is None:
        return None
    if isinstance(user, bytes):
        user = user[: 4 * _LONGEST_USER].decode("utf-8", "replace")
    return text_of_value(user, _LONGEST_USER + 3)[:_LONGEST_USER]
