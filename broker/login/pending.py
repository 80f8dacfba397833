"""Limits how many connections wait for a login, and chooses which to drop when there are too many.

Theory of operation. There are ``max_waiting`` slots. When all are taken and a new connection comes,
one of the waiting connections is dropped, perhaps the new one itself. It is one of the source that
has the most; among several such sources, one whose network has the most. So the connections of an
attacker push out each other, and a client from another source stays until it has logged in. If all
sources have the same number, one is chosen at random.

A connection without a source, such as one through a UNIX socket, cannot be told from others like
it. Together these have half of the slots: up to that number they are not dropped, and beyond it
they are the first to be dropped. So neither kind can take the slots of the other.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TypeVar

from msgspec import Struct

from broker.core.policy import Policy
from broker.limit_errors import limit_error
from broker.net.socket_addresses import network_of, source_of

__all__ = ["PendingConnections", "Slot", "TooManyPending"]


T = TypeVar("T")


class TooManyPending(Exception):
    """Too many connections wait for a login.

    Attributes:
        limit: the name of the setting that the connection would have exceeded.
        most: the value of that setting.
        got: the number of connections that waited.
    """

    limit = ""
    most: float | None = None
    got: float | None = None


class PendingConnections:
    """The connections of one server that have not logged in.

    Args:
        policy: ``max_waiting`` and ``max_waiting_each``.
        dice: returns a random number of 0 up to 1.
    """

    def __init__(self, policy: Policy, dice: Callable[[], float] = random.random):
        self.use_policy(policy)
        self._dice = dice
        self._by_source: dict[str, dict[Slot, None]] = {}
        self._by_network: dict[str, int] = {}
        self._waiting = 0

    def __len__(self) -> int:
        return self._waiting

    def use_policy(self, policy: Policy) -> None:
        """Use the ``max_waiting`` and ``max_waiting_each`` of a policy for new connections."""
        self._most = policy.max_waiting
        self._most_each = policy.max_waiting_each

    def enter(
        self, address: object, drop: Callable[[TooManyPending], object] | None = None
    ) -> Slot:
        """Add a connection; call `Slot.leave` when it has logged in or ended.

        A connection without a host, such as one through a UNIX socket, counts for ``max_waiting``
        only.

        Args:
            address: the peer's address.
            drop: called once if the connection is dropped for another; it has left its slot then.

        Raises:
            TooManyPending: too many connections wait already.
        """
        source = source_of(address)
        of_source = len(self._by_source.get(source, ()))
        if source and of_source >= self._most_each:
            raise limit_error(TooManyPending, "max_waiting_each", self._most_each, of_source)
        slot = Slot(self, source, network_of(source), drop)
        self._add(slot)
        if self._waiting > self._most:
            waiting = self._waiting - 1
            refusal = limit_error(TooManyPending, "max_waiting", self._most, waiting)
            victim = self._victim()
            drop_victim = victim.drop
            victim.leave()
            if victim is slot:
                raise refusal
            if drop_victim is not None:
                drop_victim(refusal)
        return slot

    def _victim(self) -> Slot:
        """Return the connection to drop."""
        without_source = len(self._by_source.get("", ()))
        if without_source > self._most / 2 or without_source == self._waiting:
            sources = [""]
        else:
            sources = self._fullest()
        source = self._any_of(sources)
        return self._any_of(list(self._by_source[source]))

    def _fullest(self) -> list[str]:
        """Return the sources with the most, or of several those with the fullest network."""
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
        self._by_network[slot.network] = self._by_network.get(slot.network, 0) + 1

    def _remove(self, slot: Slot) -> None:
        self._waiting -= 1
        slots = self._by_source[slot.source]
        del slots[slot]
        if not slots:
            del self._by_source[slot.source]
        self._by_network[slot.network] -= 1
        if not self._by_network[slot.network]:
            del self._by_network[slot.network]


class Slot(Struct, eq=False):
    """One connection that waits for a login.

    Attributes:
        source, network: where it comes from; empty for a UNIX socket or a pipe.
        drop: called if the connection is dropped for another; None afterwards.
    """

    _pending: PendingConnections | None
    source: str
    network: str
    drop: Callable[[TooManyPending], object] | None

    def leave(self, result: object = None) -> None:
        """Give the slot back; a second call does nothing.

        Args:
            result: ignored; so this can be the callback of a Deferred.
        """
        pending, self._pending = self._pending, None
        # The connection may last long; the slot need not hold its objects.
        self.drop = None
        if pending is not None:
            pending._remove(self)
