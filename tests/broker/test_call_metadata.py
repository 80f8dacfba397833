"""Metadata of calls, from the caller to the record of the call at the callee."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from support.ticket_office import DIALECTS

import broker
from broker.core.calls.attached import ATTACHED
from broker.core.calls.incoming_call import IncomingCall
from broker.core.calls.method_runner import MethodRunner
from cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from cred.credentials import UsernamePassword
from cred.portal import Portal


class Echo(broker.Root):
    """Returns what it gets."""

    def __init__(self) -> None:
        self.heard: list[object] = []

    def remote_echo(self, value: object, **kw: object) -> object:
        """Return the value."""
        self.heard.append(value)
        return value

    async def remote_attached(self) -> object:
        """Return whether the code of this method attaches anything."""
        return ATTACHED.get() is not None

    async def remote_call(self, other: Any) -> object:
        """Call an object of the caller."""
        return await other.callRemote("echo", 1)


class Avatar(Echo, broker.Avatar):
    """An avatar with the same methods."""

    perspective_echo = Echo.remote_echo


@pytest.fixture
def metas(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, Any]]]:
    """The name and the metadata of each call that takes the general path."""
    seen: list[tuple[str, Any]] = []
    run = MethodRunner.run

    def noted(self: MethodRunner, call: IncomingCall, *args: Any) -> Any:
        seen.append((call.name, call.meta))
        return run(self, call, *args)

    monkeypatch.setattr(MethodRunner, "run", noted)
    yield seen


async def connected(
    stack: AsyncExitStack, root: object, dialect: str = "msgpack/1", **kw: Any
) -> broker.Connection:
    """Return a connection to a new server."""
    policy = broker.STRICT.but(dialects=(dialect,))
    server = await stack.enter_async_context(broker.serve(root, "pb://127.0.0.1:0", policy=policy))
    return await stack.enter_async_context(broker.connect(server.addresses[0], policy=policy, **kw))


VALUES = [1, "text", b"bytes", (1, b"2"), {1: b"2"}, [None, {"a": [1.5]}], {1, 2}]


@pytest.mark.parametrize("value", VALUES, ids=repr)
async def test_values_of_each_kind(value: object, metas: list[tuple[str, Any]]) -> None:
    """Metadata comes with a plain call and with a graph, with and without an answer."""
    async with AsyncExitStack() as stack:
        root = (await connected(stack, echo := Echo())).root
        with broker.metadata(tenant="a"):
            assert await root.callRemote("echo", value) == value
            async with broker.timeout(5):
                assert await root.callRemote("echo", value, key=value) == value
            with broker.metadata(tenant="b", user_name="é"), broker.credit(items=1):
                assert await root.callRemote("echo", value) == value
            root.send("echo", value)
            root.callRemote("echo", value, pbanswer=False)
        assert await root.callRemote("echo", {0}) == {0}
        assert echo.heard == [value] * 5 + [{0}]
        first = {"x-tenant": "a"}
        own = {"x-tenant": "b", "x-user-name": "é", "credit": "1,2147483647"}
        assert [meta for _, meta in metas] == [first, first, own, first, first, None]


@pytest.mark.parametrize("dialect", DIALECTS[1:])
async def test_dialects_without_metadata(
    dialect: str, metas: list[tuple[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    """The calls are made without it, and one DEBUG record a connection says so."""
    caplog.set_level(logging.DEBUG, "broker.connection")
    async with AsyncExitStack() as stack:
        root = (await connected(stack, Echo(), dialect)).root
        with broker.metadata(tenant="a"):
            for value in VALUES[:4] * 2:
                assert await root.callRemote("echo", value) == value
            root.send("echo", 1)
        assert {meta for _, meta in metas} <= {None}
    texts = [record.getMessage() for record in caplog.records]
    assert texts.count(f"metadata is not sent in '{dialect}'") == 1


async def test_methods_do_not_inherit_it(metas: list[tuple[str, Any]]) -> None:
    """Neither from their caller, nor from the code that makes the server or the connection."""
    with broker.metadata(outer="1"):
        async with AsyncExitStack() as stack:
            root = (await connected(stack, Echo())).root
            for _ in range(2):
                assert await root.callRemote("attached") is False
                assert await root.callRemote("call", Echo()) == 1
            assert [meta for name, meta in metas if name == "echo"] == []
            assert ("attached", {"x-outer": "1"}) in metas


async def test_logins_send_none(metas: list[tuple[str, Any]]) -> None:
    """The calls of a login have none, and those after it have it."""
    checker = InMemoryUsernamePasswordDatabaseDontUse(alice=b"secret")
    portal = Portal(broker.realm(lambda *_: Avatar()), [checker])
    with broker.metadata(tenant="a"):
        async with AsyncExitStack() as stack:
            credentials = UsernamePassword(b"alice", b"secret")
            connection = await connected(stack, portal, credentials=credentials)
            assert {meta for _, meta in metas} <= {None}
            assert await connection.avatar.callRemote("echo", 1) == 1
            assert metas[-1] == ("echo", {"x-tenant": "a"})


@pytest.mark.parametrize("name", ["Tenant", "1a", "_a", "a-b", "", "n" * 63, "é", "a\n"])
def test_names(name: str) -> None:
    """A name that has no key on the wire is refused, and nothing is attached."""
    with pytest.raises(broker.ConfigError, match="a letter of a-z"), broker.metadata(**{name: "a"}):
        pass
    assert ATTACHED.get() is None


def test_values() -> None:
    """Text of at most 512 characters, at most 8 entries in all blocks."""
    with pytest.raises(broker.ConfigError, match=r"metadata\(a=…\): give a str, not int$"):
        broker.metadata(a=1).__enter__()  # type: ignore[arg-type]
    with pytest.raises(broker.TooLarge, match=r"^metadata 'a' of 513 characters \(512\)$"):
        broker.metadata(a="é" * 513).__enter__()
    with broker.metadata(**{f"n{n}": "" for n in range(7)}), broker.metadata(n0="", n8=""):
        with broker.metadata(n8="again"):
            pass
        with pytest.raises(broker.TooLarge, match=r"^9 entries of metadata \(8\)$"):
            broker.metadata(n9="").__enter__()


async def test_more_than_fits() -> None:
    """The call fails, and the connection goes on."""
    async with AsyncExitStack() as stack:
        root = (await connected(stack, Echo())).root
        with broker.metadata(**{f"n{n}": "" for n in range(8)}):
            assert await root.callRemote("echo", 1) == 1
            with (
                broker.credit(items=1),
                pytest.raises(broker.TooLarge, match=r"^9 entries of metadata \(8\)$"),
            ):
                await root.callRemote("echo", 1)
        assert await root.callRemote("echo", 1) == 1
