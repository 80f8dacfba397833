"""The lobby: how many connections may wait for their login, and which is dropped when it is full.

Theory of operation. A full lobby takes in every newcomer and drops one of those that wait then, the
newcomer among them: one of the source that has the most, and of several such sources one whose
network has the most. So those who fill the lobby push out each other, and a client that comes from
elsewhere stays until it has logged in. Where all have the same number, chance decides.

A connection without a source, such as one through a UNIX socket, cannot be told from others like
it. Together they are safe up to half of the lobby, and the first to be dropped beyond that: neither
they nor the others can take the slot of the other kind.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar

from broker.core.policy import Policy
from broker.net.socket_addresses import network_of, source_of

__all__ = ["PendingConnections", "Slot", "TooManyPending"]


T = TypeVar("T")


class TooManyPending(Exception):
    """A connection was not let into the lobby.

    Attributes:
        limit: the name of the setting that it would have exceeded.
    """

    def __init__(self, waiting: int, limit: str):
        super().__init__(f"{waiting} connections waiting for login")
        self.limit = limit


class PendingConnections:
    """The connections of one server that have not logged in.

    Args:
        policy: ``max_waiting`` and ``max_waiting_each``.
        dice: returns a random number of 0 up to 1.
    """

    def __init__(self, policy: Policy, dice: Callable[[], float] = random.random):
        self._most = policy.max_waiting
        self._most_each = policy.max_waiting_each
        self._dice = dice
        self._by_source: dict[str, dict[Slot, None]] = {}
        self._by_network: Counter[str] = Counter()
        self._waiting = 0

    def __len__(self) -> int:
        return self._waiting

    def enter(self, address: Any, drop: Callable[[TooManyPending], object] | None = None) -> Slot:
        """Let a connection in; its slot must be left when it waits no longer.

        A source that has no host, such as a UNIX socket, counts only among all.

        Args:
            address: where it comes from.
            drop: called once if it has to make room for another; it has left its slot then.

        Raises:
            Refusal: too many wait already.
        """
        source = source_of(address)
        of_source = len(self._by_source.get(source, ()))
        if source and of_source >= self._most_each:
            raise TooManyPending(of_source, "max_waiting_each")
        slot = Slot(self, source, network_of(address), drop)
        self._add(slot)
        if self._waiting > self._most:
            refusal = TooManyPending(self._waiting - 1, "max_waiting")
            victim = self._victim()
            victim.leave()
            if victim is slot:
                raise refusal
            if victim.drop is not None:
                victim.drop(refusal)
        return slot

    def _victim(self) -> Slot:
        """Return who has to go, of more than may wait."""
        without_source = len(self._by_source.get("", ()))
        if without_source > self._most / 2 or without_source == self._waiting:
            sources = [""]
        else:
            sources = self._fullest()
        source = self._any_of(sources)
        return self._any_of(list(self._by_source[source]))

    def _fullest(self) -> list[str]:
        """Return the sources with the most, of the networks with the most."""
        sized = [(len(slots), source) for source, slots in self._by_source.items() if source]
        most, _ = max(sized)
        fullest = [source for size, source in sized if size == most]
        if len(fullest) == 1:
            return fullest
        networks = [self._by_network[next(iter(self._by_source[each])).network] for each in fullest]
        most = max(networks)
        return [source for source, size in zip(fullest, networks, strict=True) if size == most]

    def _any_of(self, among: list[T]) -> T:
        return among[min(int(self._dice() * len(among)), len(among) - 1)]

    def _add(self, slot: Slot) -> None:
        self._waiting += 1
        self._by_source.setdefault(slot.source, {})[slot] = None
        self._by_network[slot.network] += 1

    def _remove(self, slot: Slot) -> None:
        self._waiting -= 1
        slots = self._by_source[slot.source]
        del slots[slot]
        if not slots:
            del self._by_source[slot.source]
        self._by_network[slot.network] -= 1
        if not self._by_network[slot.network]:
            del self._by_network[slot.network]


class Slot:
    """Where one connection waits.

    Attributes:
        source, network: where it comes from; empty for a UNIX socket or a pipe.
        drop: called when it has to make room for another.
    """

    __slots__ = ("_pending", "drop", "network", "source")

    def __init__(
        self,
        pending: PendingConnections,
        source: str,
        network: str,
        drop: Callable[[TooManyPending], object] | None,
    ):
        self._pending: PendingConnections | None = pending
        self.source = source
        self.network = network
        self.drop = drop

    def leave(self, result: Any = None) -> None:
        """Wait no longer; leaving again does nothing.

        Args:
            result: of no matter, so that this can be the callback of a Deferred.
        """
        pending, self._pending = self._pending, None
        if pending is not None:
            pending._remove(self)
