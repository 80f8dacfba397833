"""The lobby: how many connections may wait for their login, in all and from one place.

From half of what it holds on, it refuses newcomers at random, more and more of them: a crowd that
fills it cannot keep everybody else out, since whoever tries again may be lucky.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

from broker.core.policy import Policy
from broker.net.addresses import source_of

__all__ = ["Lobby", "Place", "Refusal"]


class Refusal(Exception):
    """A connection was not let into the lobby.

    Attributes:
        limit: the name of the setting that it would have exceeded.
    """

    def __init__(self, waiting: int, limit: str):
        super().__init__(f"{waiting} connections waiting for login")
        self.limit = limit


class Lobby:
    """The connections of one server that have not logged in.

    Args:
        policy: ``max_waiting`` and ``max_waiting_each``.
        dice: returns a random number of 0 up to 1.
    """

    def __init__(self, policy: Policy, dice: Callable[[], float] = random.random):
        self._most = policy.max_waiting
        self._most_each = policy.max_waiting_each
        self._dice = dice
        self._by_source: Counter[str] = Counter()
        self._waiting = 0

    def __len__(self) -> int:
        return self._waiting

    def enter(self, address: Any) -> Place:
        """Let a connection in; its place must be left when it waits no longer.

        A source that has no host, such as a UNIX socket, counts only among all.

        Raises:
            Refusal: too many wait already.
        """
        source = source_of(address)
        waiting, most = self._waiting, self._most
        if source and self._by_source[source] >= self._most_each:
            raise Refusal(self._by_source[source], "max_waiting_each")
        if waiting >= most or self._dice() < 2 * waiting / most - 1:
            raise Refusal(waiting, "max_waiting")
        self._waiting += 1
        self._by_source[source] += 1
        return Place(self, source)

    def _leave(self, source: str) -> None:
        self._waiting -= 1
        self._by_source[source] -= 1
        if not self._by_source[source]:
            del self._by_source[source]


class Place:
    """Where one connection waits."""

    __slots__ = ("_lobby", "_source")

    def __init__(self, lobby: Lobby, source: str):
        self._lobby: Lobby | None = lobby
        self._source = source

    def leave(self, result: Any = None) -> None:
        """Wait no longer; leaving again does nothing.

        Args:
            result: of no matter, so that this can be the callback of a Deferred.
        """
        lobby, self._lobby = self._lobby, None
        if lobby is not None:
            lobby._leave(self._source)
