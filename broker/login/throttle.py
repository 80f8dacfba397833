"""Limits failed logins: an account, source or connection with too many must wait.

Theory of operation. A failed login adds a mark to its account, its source and its connection. Marks
expire, see `broker.token_bucket`. If one of the three has too many marks, a login is refused before
anything is looked up or hashed, so that a flood costs little. The refusal tells when to try again,
in the same words whether the account exists or not. A stranger who guesses from many sources locks
the account for strangers only. Its owner can still log in from a source that has logged in before,
because the marks of these sources are counted separately.

Only wrong credentials add a mark. A store that is not available, or a realm that refuses, does not.
Logins that are checked at the same time are counted when they have failed. Their number is limited
by `cred.workers` and by the calls that may be in flight.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable
from typing import Final

from msgspec import Struct

from broker.errors import TooManyAttempts
from broker.token_bucket import MOST_KEYS, Rate, TokenBuckets
from cred.saslprep import LONGEST_NAME, saslprep_octets

__all__ = ["ACCOUNT", "CONNECTION", "SOURCE", "LoginSource", "LoginThrottle", "account_of"]

ACCOUNT: Final = Rate(10, 30.0)
"""The limit of one user name: ten wrong passwords, then one in 30 seconds."""

SOURCE: Final = Rate(30, 10.0)
"""The limit of one IPv4 address or IPv6 network of 64 bits, with any user names."""

CONNECTION: Final = Rate(6, 60.0)
"""The limit of one connection."""


class LoginSource(Struct, frozen=True):
    """The connection, address and account of a login, which have limits.

    Attributes:
        connection: identifies the connection.
        source: the peer's address or network; empty for UNIX sockets and pipes, to which only the
            other two limits apply.
        account: the user name, as `account_of` returns it; None for a login without a name, such as
            one by token.
    """

    connection: Hashable
    source: str
    account: bytes | None = None


class LoginThrottle:
    """Limits the failed logins of each account, each source and each connection.

    Pass one to `cred.Portal` as ``throttle`` to choose the limits; by default a server makes its
    own. Portals with the same users can share a throttle.

    Args:
        account, source, connection: how many logins may fail; None for any number.
        clock: returns the time in seconds; only differences count.
    """

    def __init__(
        self,
        *,
        account: Rate | None = ACCOUNT,
        source: Rate | None = SOURCE,
        connection: Rate | None = CONNECTION,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._buckets = {
            kind: TokenBuckets(rate, clock)
            for kind, rate in (
                ("account", account),
                ("source", source),
                ("connection", connection),
            )
            if rate is not None
        }
        # Accounts and the sources they have logged in from, in the order of the last login.
        self._known: dict[tuple[bytes, str], None] = {}

    def use_limits_of(self, other: LoginThrottle) -> None:
        """Use the limits of another throttle, and forget the failed logins that were counted.

        The sources from which accounts have logged in stay known.
        """
        self._buckets = other._buckets

    def check(self, attempt: LoginSource) -> None:
        """Return if this login may be tried now.

        Raises:
            TooManyAttempts: it may not; the text tells in how many seconds it may.
        """
        for buckets in self._buckets.values():
            if buckets.expires_at:
                break
        else:
            # No login has failed lately.
            return
        longest = 0.0
        for kind, key in self._keys(attempt):
            buckets = self._buckets[kind]
            # Most keys have no marks.
            if key in buckets.expires_at:
                longest = max(longest, buckets.wait(key))
        if longest > 0.0:
            seconds = math.ceil(longest)
            raise TooManyAttempts(f"try again in {seconds} s", after=float(seconds))

    def failed(self, attempt: LoginSource) -> None:
        """Note that the credentials were wrong."""
        for kind, key in self._keys(attempt):
            self._buckets[kind].mark(key)

    def succeeded(self, attempt: LoginSource) -> None:
        """Note that the credentials were right, and that the account logs in from this source."""
        if attempt.account is None:
            return
        known = (attempt.account, attempt.source)
        self._known.pop(known, None)
        while len(self._known) >= MOST_KEYS:
            del self._known[next(iter(self._known))]
        self._known[known] = None
        buckets = self._buckets.get("account")
        if buckets is not None and buckets.expires_at:
            buckets.clear(known)

    def _keys(self, attempt: LoginSource) -> list[tuple[str, Hashable]]:
        connection, source, account = attempt.connection, attempt.source, attempt.account
        keys: list[tuple[str, Hashable]] = [("connection", connection)]
        if source:
            keys.append(("source", source))
        if account is not None:
            known = (account, source)
            keys.append(("account", known if known in self._known else account))
        return [(kind, key) for kind, key in keys if kind in self._buckets]


def account_of(octets: bytes) -> bytes:
    """Return the user name by which an account is counted: the same for all its spellings.

    Args:
        octets: the user name in UTF-8.
    """
    try:
        return saslprep_octets(octets, LONGEST_NAME)
    except ValueError:
        return octets
