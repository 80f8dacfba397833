"""Calls that run at most once: malformed keys, huge numbers, many keys."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.once_house import ALICE, BOB, KEY, Shop, house, once, outcome, portal

import broker
from broker.once_calls import OnceKeys, call_with_meta

MALFORMED = [
    "",
    "x",
    f"{KEY}.1",
    f"{KEY}.0.0",
    f"{KEY}.-1.0",
    f"{KEY}.01.0",
    f"{KEY}.1.00",
    f"{KEY}.1.0.0",
    f"{KEY}.1.0\n",
    f" {KEY}.1.0",
    f"{KEY}.١.0",
    f"{KEY}.1.{1 << 63}",
    f"{KEY}.{1 << 63}.0",
    f"{KEY}.{'9' * 480}.0",
    f"{KEY[1:]}.1.0",
    f"{KEY}A.1.0",
    f"{KEY[1:]}=.1.0",
    f"{KEY[1:]}+.1.0",
]


@pytest.mark.parametrize("key", MALFORMED, ids=range(len(MALFORMED)))
async def test_malformed_keys(key: str) -> None:
    """The call is refused and does not run; nothing is kept; the connection goes on."""
    shop = Shop()
    async with house(shop) as home, home.connected() as connection:
        with pytest.raises(broker.WrongArguments, match=r"^the key of once is malformed$"):
            await once(connection.root, key, "buy", "a")
        assert (shop.sold, home.kept.count) == ({}, 0)
        assert await connection.root.callRemote("ping") == "pong"


async def test_huge_counters() -> None:
    """The largest numbers are legal; an acknowledgement beyond the call loses it."""
    shop, last = Shop(), (1 << 63) - 1
    async with house(shop) as home, home.connected() as connection:
        root = connection.root
        await once(root, f"{KEY}.{last}.{last - 1}", "buy", "a")
        await once(root, f"{KEY}.{last}.0", "buy", "a")
        for number in (1, last - 1, last):
            with pytest.raises(broker.ResultLost):
                await once(root, f"{KEY}.{number}.{last}", "buy", "a")
        other = KEY.lower()
        with pytest.raises(broker.ResultLost):
            await once(root, f"{other}.1.1", "buy", "a")
        with pytest.raises(broker.ResultLost):
            await once(root, f"{other}.1.{last}", "buy", "a")
        assert shop.sold == {"a": 1}
        assert home.kept.count == 1
        assert home.kept.size == 0


async def test_acknowledged_calls_that_run() -> None:
    """They count until they end: a client cannot have more of them by acknowledging them."""
    shop = Shop()
    async with house(shop, broker.Replies(most=100)) as home:
        begun = 0
        for number in range(1, 40):
            async with home.connected() as connection:
                call = once(connection.root, f"{KEY}.{number}.{number - 1}", "slow", number)
                await connection.root.callRemote("ping")
            begun += "replies.most" not in await outcome(call)
        assert sum(shop.sold.values()) == 9
        shop.gate.set()
        while home.kept._running:
            await asyncio.sleep(0)
        # The last call was not acknowledged.
        assert home.kept.count <= 2


async def test_eight_metas_at_their_limits() -> None:
    """A key works beside other metadata."""
    shop = Shop()
    async with house(shop) as home, home.connected() as connection:
        meta = {f"{n}{'k' * 63}": "v" * 512 for n in range(7)}
        for _ in range(2):
            got = await call_with_meta(
                connection.root, {**meta, "once": f"{KEY}.1.0"}, "buy", ("a",)
            )
            assert got == {"sold": "a", "number": 1}
        with pytest.raises(broker.TooLarge, match=r"^9 entries of metadata \(8\)$"):
            await call_with_meta(
                connection.root, {**meta, "x": "", "once": f"{KEY}.1.0"}, "buy", ("a",)
            )


async def test_ten_thousand_keys() -> None:
    """A client with so many keys is refused at its share; a bystander is served all the while."""
    shop = Shop()
    async with (
        house(portal(shop)) as home,
        home.connected(credentials=BOB) as bystander,
        home.connected(credentials=ALICE) as connection,
    ):
        keys, refused = OnceKeys(b"n" * 16), 0
        for _ in range(100):
            calls = [
                call_with_meta(connection.avatar, keys.meta(keys.begin()), "much", (10,))
                for _ in range(100)
            ]
            for call in calls:
                refused += "replies.most" in await outcome(call)
            assert await bystander.avatar.callRemote("ping") == "pong"
            assert await once(bystander.avatar, f"{KEY}.1.0", "much", 1) == "x"
        assert refused == 10_000 - 999
        assert home.kept.count == 1002


async def test_calls_without_an_answer() -> None:
    """They have no reply to keep, so a key is ignored."""
    shop = Shop()
    async with house(shop) as home, home.connected() as connection:
        for _ in range(2):
            calls: Any = connection.broker.calls
            kw: dict[str, Any] = {"pbanswer": False}
            calls.make_call(None, b"root", "buy", ("a",), kw, meta={"once": f"{KEY}.1.0"})
        await connection.root.callRemote("ping")
        assert (shop.sold, home.kept.count) == ({"a": 2}, 0)
