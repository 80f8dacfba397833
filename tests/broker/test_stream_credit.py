"""The first credit of the streams that calls return."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from support.ticket_office import DIALECTS

import broker
from broker.core.calls.attached import ATTACHED, Attached


class Maker(broker.Root):
    """Counts what it makes."""

    def __init__(self) -> None:
        self.made = 0

    async def remote_rows(self) -> AsyncIterator[int]:
        """Make numbers without an end."""
        while True:
            self.made += 1
            yield self.made

    def remote_made(self) -> int:
        """Return how many were made."""
        return self.made


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(("given", "ahead"), [({"items": 1}, 2), ({"window": 1}, 2), ({}, 257)])
async def test_what_is_made_ahead(dialect: str, given: Any, ahead: int) -> None:
    """No more than the caller has asked for, in msgpack/1; and none is lost."""
    policy = broker.STRICT.but(dialects=(dialect,))
    async with (
        broker.serve(Maker(), "pb://127.0.0.1:0", policy=policy) as server,
        broker.connect(server.addresses[0], policy=policy) as connection,
    ):
        root = connection.root
        with broker.credit(**given):
            call = root.callRemote("rows")
        stream = broker.stream_of(await call)
        if dialect == "msgpack/1":
            for number in range(1, 6):
                for _ in range(3):
                    made = await root.callRemote("made")
                assert made <= number - 1 + ahead
                assert await anext(stream) == number
        assert [await anext(stream) for _ in range(1000)][-1] in (1000, 1005)
        await stream.stop()


@pytest.mark.parametrize("given", [{"items": 0}, {"window": -1}, {"items": True}, {"window": "1"}])
def test_what_is_no_credit(given: Any) -> None:
    """It is refused, and nothing is changed."""
    with (
        pytest.raises(broker.ConfigError, match=r"give an int of at least 1$"),
        broker.credit(**given),
    ):
        pass
    assert ATTACHED.get() is None


def test_the_block() -> None:
    """It holds inside only; an inner block replaces an outer one."""
    with broker.credit(items=5):
        assert ATTACHED.get() == Attached((5, (1 << 31) - 1))
        with broker.credit(window=1 << 40):
            assert ATTACHED.get() == Attached(((1 << 31) - 1, (1 << 31) - 1))
        assert ATTACHED.get() == Attached((5, (1 << 31) - 1))
    assert ATTACHED.get() is None
