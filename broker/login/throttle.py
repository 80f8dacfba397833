"""The guard of a portal: who has failed to log in too often lately must wait.

Theory of operation. A failed login leaves a mark with the account it was for, with the source it
came from and with its connection, and marks fade: see `broker.token_bucket`. Whoever has too many
is told when to try again before anything is looked up or hashed, so that a flood costs little, and
in the same words whether the account exists or not. An account is thereby shut to a stranger who
guesses from everywhere; its owner is still let in from where they have logged in before, since
those marks are kept apart.

Only wrong credentials leave a mark: a store that is away, or a realm that refuses, is nobody's
guess. Logins that are being checked at the same time are counted once they have failed; there are
never more of these than `cred.workers` takes, or than calls may be in flight.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable
from typing import Any, Final, NamedTuple

from broker.errors import TooManyAttempts
from broker.token_bucket import MOST_KEYS, Rate, TokenBuckets
from cred.octets import to_octets
from cred.saslprep import LONGEST_NAME, saslprep_octets

__all__ = ["ACCOUNT", "CONNECTION", "SOURCE", "LoginSource", "LoginThrottle", "account_of"]

ACCOUNT: Final = Rate(10, 30.0)
"""Of one user name: ten wrong passwords, then one in 30 seconds."""

SOURCE: Final = Rate(30, 10.0)
"""Of one IPv4 address or IPv6 network of 64 bits, whatever the user names."""

CONNECTION: Final = Rate(6, 60.0)
"""Of one connection."""


class LoginSource(NamedTuple):
    """Where a login comes from.

    Attributes:
        connection: identifies the connection.
        source: the peer's address, or network; empty for UNIX sockets and pipes, which only the
            other two limits bind.
        account: the user name it is for, as `account_of` gives it; None where none is named, as
            with a token.
    """

    connection: Hashable
    source: str
    account: bytes | None = None


class LoginThrottle:
    """Limits the failed logins of each account, each source and each connection.

    Give one to `cred.Portal` as ``guard``, to choose the limits; without one a server makes its
    own. Portals that share their users can share their guard.

    Args:
        account, source, connection: what may fail before the next must wait; None for any number.
        clock: the time in seconds; only differences count.
    """

    def __init__(
        self,
        *,
        account: Rate | None = ACCOUNT,
        source: Rate | None = SOURCE,
        connection: Rate | None = CONNECTION,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._tallies = {
            kind: TokenBuckets(allowance, clock)
            for kind, allowance in (
                ("account", account),
                ("source", source),
                ("connection", connection),
            )
            if allowance is not None
        }
        # In the order of the last login: accounts, and whence they have been let in.
        self._known: dict[tuple[bytes, str], None] = {}

    def check(self, origin: LoginSource) -> None:
        """Do nothing where a login from there may be tried now.

        Raises:
            TooManyAttempts: it may not; the text says in how many seconds.
        """
        waits = (self._tallies[kind].wait(key) for kind, key in self._keys(origin))
        longest = max(waits, default=0.0)
        if longest > 0.0:
            seconds = math.ceil(longest)
            raise TooManyAttempts(f"try again in {seconds} s", after=float(seconds))

    def failed(self, origin: LoginSource) -> None:
        """Note that the credentials were wrong."""
        for kind, key in self._keys(origin):
            self._tallies[kind].mark(key)

    def succeeded(self, origin: LoginSource) -> None:
        """Note that the credentials were right; from there the account is known from now on."""
        if origin.account is None:
            return
        known = (origin.account, origin.source)
        self._known.pop(known, None)
        while len(self._known) >= MOST_KEYS:
            del self._known[next(iter(self._known))]
        self._known[known] = None
        if "account" in self._tallies:
            self._tallies["account"].clear(known)

    def _keys(self, origin: LoginSource) -> list[tuple[str, Hashable]]:
        connection, source, account = origin
        keys: list[tuple[str, Hashable]] = [("connection", connection)]
        if source:
            keys.append(("source", source))
        if account is not None:
            known = (account, source)
            keys.append(("account", known if known in self._known else account))
        return [(kind, key) for kind, key in keys if kind in self._tallies]


def account_of(username: Any) -> bytes:
    """Return the user name by which an account is counted: one for all ways to write it."""
    octets = to_octets(username)
    try:
        return saslprep_octets(octets, LONGEST_NAME)
    except ValueError:
        return octets
