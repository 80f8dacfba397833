"""Handle errors: by their class if both ends know it, else as a RemoteError."""

import asyncio

import broker


@broker.register("bank.Overdrawn")
class Overdrawn(broker.Error):
    pass


class Account(broker.Root):
    def remote_withdraw(self, euros):
        if 100 // euros < 1:
            raise Overdrawn("this account has 100 euros")


async def main():
    async with broker.serve(Account(), "pb://127.0.0.1:0") as server:
        address = server.addresses[0]
        async with broker.connect(address) as connection:
            for name, euros in ("withdraw", 500), ("withdraw", 0), ("steal", 10):
                try:
                    await connection.root.callRemote(name, euros)
                except (Overdrawn, broker.RemoteError, broker.NoSuchMethod) as error:
                    print(f"{type(error).__name__}: {error}")


asyncio.run(main())
