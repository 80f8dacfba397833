"""Call the object that echo_server.py serves."""

import asyncio

import broker


async def main():
    async with broker.connect("pb://127.0.0.1:8787") as connection:
        print(await connection.root.callRemote("echo", "hello"))


asyncio.run(main())
