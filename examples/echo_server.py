"""Serve one object to every client: start this first, then echo_client.py."""

import asyncio

import broker


class Echo(broker.Root):
    def remote_echo(self, text):
        return text


async def main():
    async with broker.serve(Echo(), "pb://127.0.0.1:8787") as server:
        print("serving at", *server.addresses, flush=True)
        await server.serve_forever()


asyncio.run(main())
