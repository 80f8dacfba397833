"""Servers of bad input, and what is raised and logged."""

# ruff: noqa: D102 - the docstrings of the tests describe the methods that a peer calls

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

import broker
import cred

__all__ = ["Opaque", "Server", "connect", "port_of", "refusal", "serving"]


class Server(broker.Root):
    """The methods that the tests of bad input call."""

    def remote_echo(self, value: Any) -> Any:
        return value

    def remote_pair(self, first: Any, second: Any) -> None:
        pass

    async def remote_async_pair(self, first: Any, second: Any) -> None:
        pass


class Opaque:
    """Defines nothing about being sent."""


@asynccontextmanager
async def serving(target: Any = None, **kw: Any) -> AsyncIterator[Any]:
    """Serve, with a second client that must be able to call before and after, on one connection."""
    target = Server() if target is None else target
    address = "pbs://127.0.0.1:0" if "tls" in kw else "pb://127.0.0.1:0"
    client_tls = kw.pop("client_tls", None)
    async with broker.serve(target, address, **kw) as server:
        credentials = (
            None if isinstance(target, broker.Root) else cred.UsernamePassword(b"alice", b"secret")
        )
        async with broker.connect(server.addresses[0], credentials, tls=client_tls) as bystander:
            yield server
            assert not bystander.is_closed
            if credentials is None:
                assert await bystander.root.callRemote("echo", "still here") == "still here"
            else:
                with pytest.raises(broker.NoSuchMethod):
                    await bystander.avatar.callRemote("nothing")


def port_of(server: Any) -> int:
    """Return the port that a server listens at."""
    return int(server.addresses[0].rpartition(":")[2])


async def refusal(awaitable: Any, kind: type[BaseException]) -> str:
    """Return the text of the error that an awaitable fails with, which is of exactly this class."""
    with pytest.raises(kind) as caught:
        await awaitable
    assert type(caught.value) is kind
    return str(caught.value).replace("\n", "\\n")


async def connect(*args: Any, **kw: Any) -> Any:
    """Connect, as a coroutine."""
    return await broker.connect(*args, **kw)
