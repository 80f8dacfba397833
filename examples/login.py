"""Log in, and get your own object: a perspective."""

import asyncio

import broker
from cred import InMemoryUsernamePasswordDatabaseDontUse, Portal, UsernamePassword


class User(broker.Avatar):
    def __init__(self, name, mind):
        self.name = name

    def perspective_greet(self):
        return f"good evening, {self.name}"


async def main():
    portal = Portal(broker.realm(User), [InMemoryUsernamePasswordDatabaseDontUse(alice="secret")])
    async with broker.serve(portal, "pb://127.0.0.1:0") as server:
        credentials = UsernamePassword("alice", "secret")
        async with broker.connect(server.addresses[0], credentials) as connection:
            print(await connection.avatar.callRemote("greet"))


asyncio.run(main())
