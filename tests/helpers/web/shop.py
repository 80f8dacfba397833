"""A shop whose customers come by links: a server, or ``python -m web.shop ADDRESS``."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import broker
from cred import AllowAnonymousAccess, InMemoryUsernamePasswordDatabaseDontUse, Portal

__all__ = ["Shop", "portal"]


class Counter(broker.Referenceable):
    """An object that a method of the shop returns."""

    def __init__(self, shop: Shop, name: str):
        self.shop = shop
        self.name = name

    def remote_where(self) -> str:
        """Return the name of the shop, and of this object."""
        return f"{self.shop.name} {self.name}"

    async def remote_buy(self, count: int, reached: Any = None) -> int:
        """Sell; see `Customer.perspective_buy`."""
        return await self.shop.buy(count, reached)


class Shop:
    """The state of a server.

    Attributes:
        name: what its objects tell.
        sold: how much was sold.
        runs: how often ``buy`` was called.
        logins: how many customers came.
        release: ends the calls that hang.
        cut: the connection of a customer is cut while its call runs, so many times.
    """

    def __init__(self, name: str = "shop"):
        self.name = name
        self.sold = self.runs = self.logins = self.cut = 0
        self.release = asyncio.Event()
        self.customers: list[Customer] = []

    def customer(self, avatar_id: Any, mind: Any) -> Customer:
        """Return the avatar of a customer."""
        self.logins += 1
        made = Customer(self, mind)
        self.customers.append(made)
        return made

    async def buy(self, count: int, reached: Any) -> int:
        """Sell, and tell that the call has run before its answer is sent."""
        self.runs += 1
        self.sold += count
        if reached is not None:
            await reached.callRemote("reached")
        if self.cut:
            self.cut -= 1
            for each in self.customers:
                each.mind.broker.port.abortConnection()
        return self.sold


class Customer(broker.Avatar):
    """The avatar."""

    def __init__(self, shop: Shop, mind: Any):
        self.shop = shop
        self.mind = mind

    def logout(self) -> None:
        """Forget it."""
        self.shop.customers.remove(self)

    def perspective_echo(self, value: Any) -> Any:
        """Return the value."""
        return value

    def perspective_where(self) -> str:
        """Return the name of the shop."""
        return self.shop.name

    def perspective_counter(self, name: str) -> Counter:
        """Return an object."""
        return Counter(self.shop, name)

    async def perspective_buy(self, count: int, reached: Any = None) -> int:
        """Sell."""
        return await self.shop.buy(count, reached)

    async def perspective_hang(self, reached: Any) -> str:
        """Tell that the call runs, and return when the shop releases it."""
        await reached.callRemote("reached")
        await self.shop.release.wait()
        return self.shop.name


def portal(shop: Shop) -> Portal:
    """Return a portal for guests, and for bob."""
    users = InMemoryUsernamePasswordDatabaseDontUse()
    users.addUser("bob", "builder")
    return Portal(broker.realm(shop.customer), [users, AllowAnonymousAccess()])


async def main(address: str) -> None:
    """Serve until the process is killed."""
    async with broker.serve(portal(Shop()), address, replies=broker.Replies()) as server:
        print(server.addresses[0], flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
