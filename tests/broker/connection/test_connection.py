"""The handle of a connection: what waits for its end."""

from __future__ import annotations

import asyncio

from support.memory import BrokerPair


async def test_who_stops_waiting_for_the_end_changes_nothing() -> None:
    """A wait that is cancelled ends nothing, also the only one: who waits later waits still."""
    pair = BrokerPair()

    connection = pair.client.connection
    given_up = asyncio.ensure_future(connection.wait_closed())
    await asyncio.sleep(0)
    given_up.cancel()
    await asyncio.wait([given_up])
    assert given_up.cancelled()
    goes_on = asyncio.ensure_future(connection.wait_closed())
    await asyncio.sleep(0)
    assert not goes_on.done()
    pair.cut()
    await goes_on
    await connection.wait_closed()
