"""Time limits for the calls of a thread."""

from __future__ import annotations

import asyncio
import math
import socket
import time
from typing import Any

import pytest
from support.shop import DIALECTS, shop

import broker
from broker import blocking
from broker.core.calls.deadline import DEADLINE


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_call(dialect: str) -> None:
    """A call that takes longer ends with CallTimeout, and the peer has the deadline."""
    with shop(dialect) as (here, connection):
        with blocking.timeout(0.2):
            assert connection.root.callRemote("echo", 1) == 1
            with pytest.raises(broker.CallTimeout, match=r"^no answer in 0\.2 s$"):
                connection.root.callRemote("slow")
        if dialect == "msgpack/1":
            here.until("cancelled")
        assert connection.root.callRemote("echo", 2) == 2


def test_blocks_inside_each_other() -> None:
    """The limits of all blocks hold; the text names the one that has ended the call."""
    with shop() as (_, connection):
        for outer, inner in ((0.1, 50), (50, 0.1)):
            late = pytest.raises(broker.CallTimeout, match=r"in 0\.1 s")
            with blocking.timeout(outer), blocking.timeout(inner), late:
                connection.root.callRemote("slow")
        with blocking.timeout(50):
            with blocking.timeout(0.1), pytest.raises(broker.CallTimeout):
                connection.root.callRemote("slow")
            assert connection.root.callRemote("echo", 1) == 1
    assert DEADLINE.get() is None


@pytest.mark.parametrize("seconds", [0, -1])
def test_a_time_that_is_over(seconds: float) -> None:
    """With 0 or less each wait ends at once."""
    late = pytest.raises(broker.CallTimeout)
    with shop() as (_, connection), blocking.timeout(seconds), late:
        connection.root.callRemote("slow")


def test_other_waits() -> None:
    """The limit bounds run, and connecting, as well."""
    with shop() as (_, connection), blocking.timeout(0.1), pytest.raises(broker.CallTimeout):
        connection.run(asyncio.sleep(50))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"pb://127.0.0.1:{silent.getsockname()[1]}"
        with blocking.timeout(0.1), pytest.raises(broker.CallTimeout):
            blocking.connect(address)
        with pytest.raises(broker.errors.TimeoutError, match=r"in 0\.1 s"):
            blocking.connect(address, timeout=0.1)


def test_a_contracts_call_has_the_deadline() -> None:
    """A call that is posted to the loop sends the deadline of the block that it is in."""
    with shop() as (here, connection):
        with blocking.timeout(0.1):
            slow = connection.root.reference.callRemote("slow")
        # It is awaited outside the block: the peer has ended it.
        with pytest.raises(broker.CallTimeout):
            connection.run(slow)
        here.until("cancelled")


def test_no_limit() -> None:
    """An infinite limit is none."""
    with shop() as (_, connection), blocking.timeout(math.inf):
        assert connection.root.callRemote("echo", 1) == 1


@pytest.mark.parametrize("seconds", [None, "1", math.nan, True])
def test_what_is_not_a_number(seconds: Any) -> None:
    """Other values are a ConfigError."""
    with pytest.raises(broker.ConfigError, match="give a number of seconds"):
        blocking.timeout(seconds)


def test_an_error_in_the_block() -> None:
    """An error of the block is passed on, and ends the limit."""
    with pytest.raises(KeyError), blocking.timeout(1):
        raise KeyError
    assert DEADLINE.get() is None


async def test_the_clock(each_loop: Any) -> None:
    """The clock of the limits is that of the loops."""
    before = time.monotonic()
    await asyncio.sleep(0.01)
    assert before < asyncio.get_running_loop().time() <= time.monotonic() + 0.001
