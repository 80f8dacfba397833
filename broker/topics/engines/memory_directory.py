"""The directory of one process: for tests of several nodes, and for programs with one node."""

from __future__ import annotations

from collections.abc import Callable

from broker.topics.directory import Holder

__all__ = ["MemoryDirectory", "MemoryNames"]


class MemoryNames:
    """What the nodes of a process share.

    Args:
        now: the clock, in seconds.

    Attributes:
        nodes: for each node its address, and the end of its lease.
        names: who has claimed each name; it counts only while the lease of that node holds.
    """

    def __init__(self, now: Callable[[], float]):
        self._now = now
        self._number = 0
        self.nodes: dict[str, tuple[str, float]] = {}
        self.names: dict[str, Holder] = {}

    def has_lease(self, node: str) -> bool:
        """Return whether the lease of a node holds."""
        end = self.nodes.get(node, ("", 0.0))[1]
        return end > self._now()

    def begin(self, node: str, address: str, seconds: float) -> None:
        """Begin or renew a lease, and forget the leases that have ended, with their names."""
        self.nodes = {key: value for key, value in self.nodes.items() if self.has_lease(key)}
        self.names = {key: one for key, one in self.names.items() if one.node in self.nodes}
        self.nodes[node] = address, self._now() + seconds

    def next_number(self) -> int:
        """Return the number of a new claim."""
        self._number += 1
        return self._number


class MemoryDirectory:
    """See `broker.topics.directory.Directory`."""

    def __init__(self, names: MemoryNames):
        self._all = names
        self._node = ""
        self._address = ""
        self._seconds = 0.0

    async def join(self, node: str, address: str, seconds: float) -> float:
        """Begin a lease."""
        await self.leave()
        self._node, self._address, self._seconds = node, address, seconds
        self._all.begin(node, address, seconds)
        return seconds

    async def renew(self) -> bool:
        """Renew the lease; False if it has ended."""
        if not self._all.has_lease(self._node):
            return False
        self._all.begin(self._node, self._address, self._seconds)
        return True

    async def claim(self, name: str) -> Holder:
        """Take a name that no node holds; return who holds it now."""
        found = await self.find(name)
        if found is None:
            found = Holder(self._node, self._address, self._all.next_number())
            self._all.names[name] = found
        return found

    async def find(self, name: str) -> Holder | None:
        """Return who holds a name."""
        found = self._all.names.get(name)
        return found if found is not None and self._all.has_lease(found.node) else None

    async def release(self, name: str, number: int) -> None:
        """Give up a name."""
        found = self._all.names.get(name)
        if found is not None and found.number == number:
            del self._all.names[name]

    async def leave(self) -> None:
        """End the lease."""
        self._all.nodes.pop(self._node, None)

    async def close(self) -> None:
        """Do nothing: there is no connection."""
