"""The interface of a directory: which node holds a name, for as long as the node has a lease.

Theory of operation. A node has one lease, and renews it. A name belongs to a node, and counts only
while the lease of the node holds. So a node renews one thing, however many names it holds, and all
its names are free when its lease ends. A lease that has ended cannot be renewed: the node joins
anew, under another id, and owns none of its former names. Each claim gets a number, larger than
all before it, which tells a later holder from an earlier one.
"""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

__all__ = ["Directory", "HasDirectory", "Holder"]


class Holder(Struct, frozen=True):
    """The node that holds a name.

    Attributes:
        node: its id.
        address: where other nodes reach it.
        number: of its claim.
    """

    node: str
    address: str
    number: int


class Directory(Protocol):
    """The directory as one node uses it.

    A method that cannot reach the directory raises a ConnectionError, a TimeoutError, or an error
    of its client, within a bounded time. The change may have been
    made then.
    """

    async def join(self, node: str, address: str, seconds: float) -> float:
        """Begin a lease, and end the one that this directory has begun before.

        Args:
            node: an id that no lease had before.
            address: where other nodes reach it.
            seconds: the length of the lease, unless the directory has one for all nodes.

        Returns:
            The length of the lease.
        """
        ...

    async def renew(self) -> bool:
        """Renew the lease; False if it has ended."""
        ...

    async def claim(self, name: str) -> Holder:
        """Take a name that no node with a lease holds; return who holds it now."""
        ...

    async def find(self, name: str) -> Holder | None:
        """Return who holds a name; None if no node with a lease does."""
        ...

    async def release(self, name: str, number: int) -> None:
        """Give up a name, if the claim of that number still has it."""
        ...

    async def leave(self) -> None:
        """End the lease, so that others can claim its names at once."""
        ...

    async def close(self) -> None:
        """End the connection to the directory."""
        ...


class HasDirectory(Protocol):
    """An engine whose servers keep a directory."""

    def directory(self) -> Directory:
        """Return the directory for one more node."""
        ...
