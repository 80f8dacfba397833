"""A link: the server is started again, and the same reference goes on."""

import asyncio

import broker


class Echo(broker.Root):
    def remote_echo(self, text):
        return text


async def main():
    server = await broker.serve(Echo(), "pb://127.0.0.1:0")
    address = server.addresses[0]
    async with broker.Link(address, retry=broker.Retry(first=0.1)) as link:
        print(await link.root.callRemote("echo", "before"))
        await server.close()
        server = await broker.serve(Echo(), address)
        print(await link.root.callRemote("echo", "after"))
    await server.close()


asyncio.run(main())
