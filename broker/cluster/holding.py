"""The names that this node holds: claims them, and notices when it has lost them."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeAlias

from broker.cluster.asking import answer_of, lease_within
from broker.cluster.exported import Exported, lost
from broker.cluster.membership import Membership
from broker.cluster.settings import check_name, check_target
from broker.errors import Disconnected, NameLost, NameTaken, ServerBusy
from broker.flavors.referenceable import Referenceable
from broker.topics.directory import Directory, Holder
from broker.traces import log_error

__all__ = ["MAKING_SECONDS", "Factory", "FactoryFailed", "Holding"]

logger = logging.getLogger("broker.cluster")

MAKING_SECONDS = 30.0
"""How long another node waits for an object that is being made."""

Factory: TypeAlias = Callable[[str], Referenceable | Awaitable[Referenceable]]


class FactoryFailed(Exception):
    """A factory has raised an error, or has made what cannot be exported.

    Attributes:
        error: what it raised.
    """

    def __init__(self, error: Exception):
        super().__init__()
        self.error = error


class Holding:
    """The names of one node, and its lease.

    Args:
        directory: of the names.
        lease: seconds.
        most: names that it may hold.
        tell_lost: is called with a name and its object when it is lost; or None.
        ended: is called when the lease has ended.

    Attributes:
        names: those that it holds, or is about to claim.
        membership: the lease.
    """

    def __init__(
        self,
        directory: Directory,
        lease: float,
        most: int,
        tell_lost: Callable[[str, Any], object] | None,
        ended: Callable[[], None],
    ):
        self.names: dict[str, Exported] = {}
        self.membership = Membership(directory, lease, self._has_joined, self._has_ended)
        self._directory = directory
        self._most = most
        self._tell_lost = tell_lost
        self._ended = ended
        self._is_closing = False
        self._tasks: set[asyncio.Task[None]] = set()

    def begin_making(self, name: str, factory: Factory) -> Exported:
        """Claim a name and make its object, in a task; the errors of `new`."""
        exported = self.new(name, None)
        self._spawn(self.make(exported, factory))
        return exported

    def begin_giving_up(self, name: str, number: int) -> None:
        """Release a claim that another node has seen and this node does not know, in a task.

        It may be left of an export whose answer from the directory came too late.
        """
        self._spawn(self._give_up(name, number))

    async def close(self) -> None:
        """Give up the lease, and with it all names."""
        self._is_closing = True
        for task in list(self._tasks):
            task.cancel()
        await self.membership.stop()
        for exported in list(self.names.values()):
            self.drop(exported)
        with contextlib.suppress(Exception):
            await answer_of(self._directory.leave())

    def new(self, name: str, target: Referenceable | None) -> Exported:
        """Note a name that is to be claimed; without its object if that is to be made.

        Raises:
            ValueError: it is not a name. NameTaken: this node has it. ServerBusy: it has too many.
        """
        check_name(name)
        known = self.names.get(name)
        if known is not None:
            text = "is withdrawing it" if known.is_over else "has it already"
            raise NameTaken(f"'{name}': this node {text}")
        if len(self.names) >= self._most:
            busy = ServerBusy(f"{self._most} names (max_exports)")
            busy.limit, busy.most = "max_exports", self._most
            busy.got = len(self.names) + 1
            raise busy
        exported = Exported(name, target, lambda: self.membership.holds)
        self.names[name] = exported
        return exported

    def drop(self, exported: Exported) -> None:
        """Forget a name."""
        exported.is_over = True
        if self.names.get(exported.name) is exported:
            del self.names[exported.name]
        if not exported.settled.done():
            exported.settled.set_exception(lost(exported.name))

    async def hold(self, exported: Exported) -> Holder:
        """Claim a name; return who holds it. ``exported.holder`` is set if that is this node."""
        while True:
            await self.membership.ready()
            node = self.membership.node
            holder = await answer_of(self._directory.claim(exported.name))
            if not self.membership.holds or node != self.membership.node:
                continue
            if holder.node == node:
                exported.holder = holder
            return holder

    async def make(self, exported: Exported, factory: Factory) -> None:
        """Claim a name, and make its object; tell those who wait."""
        made: Any = None
        try:
            async with lease_within(MAKING_SECONDS):
                holder = await self.hold(exported)
            if exported.holder is None:
                exported.settled.set_result(holder)
                self.drop(exported)
                return
            try:
                made = factory(exported.name)
                if inspect.isawaitable(made):
                    made = await made
                check_target(made)
            except Exception as error:  # noqa: BLE001 - those who wait get it
                raise FactoryFailed(error) from None
            exported.check(holder)
            exported.target = made
            exported.settled.set_result(holder)
        except BaseException as error:
            if not exported.settled.done():
                exported.settled.set_exception(error)
            exported.is_over = True
            with contextlib.suppress(Exception):
                if exported.holder is not None:
                    number = exported.holder.number
                    await answer_of(self._directory.release(exported.name, number))
            self.drop(exported)
            if isinstance(error, NameLost):
                self._report(exported.name, made)
            if not isinstance(error, Exception):
                raise

    async def _give_up(self, name: str, number: int) -> None:
        with contextlib.suppress(Disconnected):
            node = self.membership.node
            found = await answer_of(self._directory.find(name))
            if found is None or found.node != node or found.number != number:
                return
            if name not in self.names and node == self.membership.node:
                await answer_of(self._directory.release(name, number))

    def _has_joined(self) -> None:
        for exported in list(self.names.values()):
            if exported.settled.done() and not exported.is_over:
                self._spawn(self._hold_again(exported))

    async def _hold_again(self, exported: Exported) -> None:
        """Claim a name that was held under an earlier lease."""
        with contextlib.suppress(Disconnected):
            await self.hold(exported)
            if exported.holder is None and not exported.is_over:
                self.drop(exported)
                self._report(exported.name, exported.target)

    def _has_ended(self) -> None:
        """Stop to serve all names: others may claim them."""
        if self._is_closing:
            return
        for exported in list(self.names.values()):
            exported.holder = None
            if exported.is_made and exported.target is not None:
                self.drop(exported)
                self._report(exported.name, exported.target)
        self._ended()

    def _report(self, name: str, target: Any) -> None:
        logger.warning("this node has lost the name '%s'", name)
        if self._tell_lost is None or target is None:
            return
        try:
            self._tell_lost(name, target)
        except Exception as error:  # noqa: BLE001 - it is the program's
            log_error(logger, "the function for lost names has failed", error)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
