"""Types at both ends: a contract, an object that fits it, and calls that a type checker knows."""

import asyncio
from typing import Protocol

import broker


class Till(Protocol):
    async def price(self, seats: int, *, row: str = "A") -> float: ...


class Office:
    async def price(self, seats: int, *, row: str = "A") -> float:
        return seats * (12.5 if row == "A" else 10.0)


async def main():
    async with broker.serve(broker.servant(Till)(Office()), "pb://127.0.0.1:0") as server:
        connection = await broker.connect(server.addresses[0])
        till = connection.root.of(Till)
        print(await till.price(3, row="B"))
        try:
            await till.price("three")
        except broker.WrongArguments as error:
            print(error)
        await connection.close()


asyncio.run(main())
