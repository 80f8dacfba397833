"""Topics: prices are published under names, and a client follows those that it may see."""

import asyncio

import broker
from cred import InMemoryUsernamePasswordDatabaseDontUse, Portal, UsernamePassword

topics = broker.Topics()


class User(broker.Avatar):
    def grants(self):
        return broker.Grants(subscribe=["prices.>"])

    def perspective_topics(self):
        return topics.view(self)


@broker.realm
def enter(avatar_id, mind):
    return User()


async def main():
    portal = Portal(enter, [InMemoryUsernamePasswordDatabaseDontUse(alice="a")])
    topics.publish("prices.tea", 3.20, keep=True)
    async with broker.serve(portal, "pb://127.0.0.1:0") as server:
        here, credentials = server.addresses[0], UsernamePassword("alice", "a")
        async with broker.connect(here, credentials) as connection:
            mine = connection.avatar.callRemote("topics").of(broker.TopicsContract)
            async for item in mine.subscribe("prices.*", since=broker.Since.RETAINED):
                print(item.topic, item.data)
                if item.data > 3.4:
                    break
                topics.publish("prices.tea", item.data + 0.25)
    await topics.close()


asyncio.run(main())
