"""Two-way notification: each client sends an object, and the server calls it."""

import asyncio

import broker


class Room(broker.Root):
    listeners = broker.Subscribers()

    def remote_join(self, listener):
        self.listeners.add(listener)

    def remote_say(self, text):
        self.listeners.send("heard", text)


class Listener(broker.Referenceable):
    def remote_heard(self, text):
        print("alice heard:", text)


async def main():
    async with broker.serve(Room(), "pb://127.0.0.1:0") as server:
        here = server.addresses[0]
        async with broker.connect(here) as alice, broker.connect(here) as bob:
            await alice.root.callRemote("join", Listener())
            await bob.root.callRemote("say", "hello, room")
            await alice.root.callRemote("say", "hello, bob")


asyncio.run(main())
