"""Topics: a client gets the last price first, and then each price as it is published."""

import asyncio

import broker


class Shop(broker.Root):
    def grants(self):
        return broker.Grants(subscribe=["prices.>"])

    def remote_topics(self):
        return topics.view(self)


topics = broker.Topics()


async def main():
    topics.publish("prices.tea", 3.20, keep=True)
    async with broker.serve(Shop(), "pb://127.0.0.1:0") as server:
        connection = await broker.connect(server.addresses[0])
        mine = connection.root.callRemote("topics").of(broker.TopicsContract)
        async for item in mine.subscribe("prices.*", since=broker.Since.RETAINED):
            print(item.topic, item.data)
            topics.publish("prices.tea", 3.45)
            if item.data == 3.45:
                return


asyncio.run(main())
