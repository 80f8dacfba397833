"""A market feed for a page: prices as a stream, and alerts as calls of the page.

Run it. Build the page in ``broker/web/client``: ``npm ci``, then ``npx esbuild --bundle
--format=esm FOLDER/dashboard.ts --outfile=FOLDER/dashboard.js``, where FOLDER is this one. Serve
this folder with ``python -m http.server 8080 --bind 127.0.0.1``. Open http://127.0.0.1:8080.

``pb describe ws://127.0.0.1:8787 --anonymous --typescript`` has written ``market.ts``.
"""

import asyncio
import random
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

import broker
import cred

SYMBOLS = {"ACME": 100.0, "INITECH": 40.0, "HOOLI": 250.0}


@dataclass
class Price:
    symbol: str
    value: float


class Screen(Protocol):
    """The page."""

    def alert(self, symbol: str, value: float) -> None:
        """Show that a price has passed its limit."""


class Market(Protocol):
    """The market."""

    async def symbols(self) -> list[str]:
        """Return what is traded."""

    def prices(self, every: float = 0.5) -> AsyncIterator[Price]:
        """Yield a price every so many seconds, without an end."""

    async def watch(self, symbol: str, screen: Screen, *, above: float) -> None:
        """Tell the page when the price of a symbol is above a limit, once."""


class TheMarket:
    def __init__(self) -> None:
        self.values = dict(SYMBOLS)
        self.watched: list[tuple[str, float, Screen]] = []

    async def symbols(self) -> list[str]:
        return list(self.values)

    async def prices(self, every: float = 0.5) -> AsyncIterator[Price]:
        while True:
            symbol = random.choice(list(self.values))
            self.values[symbol] *= random.uniform(0.99, 1.011)
            yield Price(symbol, round(self.values[symbol], 2))
            self.check(symbol)
            await asyncio.sleep(every)

    async def watch(self, symbol: str, screen: Screen, *, above: float) -> None:
        self.watched.append((symbol, above, screen))
        self.check(symbol)

    def check(self, symbol: str) -> None:
        value = self.values[symbol]
        due = [each for each in self.watched if each[0] == symbol and value > each[1]]
        for each in due:
            self.watched.remove(each)
            each[2].alert(symbol, round(value, 2))


async def main(address: str = "ws://127.0.0.1:8787") -> None:
    realm = broker.realm(lambda avatar_id, mind: broker.servant(Market)(TheMarket()))
    portal = cred.Portal(realm, [cred.AllowAnonymousAccess()])
    pages = ["http://127.0.0.1:8080"]
    async with broker.serve(portal, address, origins=pages) as server:
        print("open at", server.addresses[0])
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
