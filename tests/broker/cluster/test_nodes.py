"""The connections of nodes: who may ask a node, and who is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from support.clusters import Certificates, Room, files_of

import broker
from broker.cluster.nodes import is_of_a_node
from broker.errors import ConfigError, Disconnected, TLSError, WrongArguments
from broker.net.tls.issuing import make_client, make_server
from broker.topics.directory import Holder
from cred.error import Unauthorized


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """The certificates of the nodes."""
    return Certificates(tmp_path_factory.mktemp("certificates"))


@asynccontextmanager
async def node(
    certificates: Certificates, engine: broker.MemoryEngine | None = None
) -> AsyncIterator[broker.Cluster]:
    """Run a node that holds one name."""
    engine = broker.MemoryEngine() if engine is None else engine
    async with broker.Cluster(engine, **certificates.node) as made:
        await made.export("a", Room())
        yield made


def as_client(certificates: dict[str, Any]) -> broker.TLS:
    """The settings of a client."""
    return broker.TLS.client(**certificates)


async def test_a_stranger(certificates: Certificates) -> None:
    """Who shows no certificate gets no connection."""
    async with node(certificates) as one:
        with pytest.raises((TLSError, Disconnected)):
            async with broker.connect(
                one.address, tls=broker.TLS.client(ca=certificates.ca), timeout=5.0
            ) as connection:
                await connection.root.callRemote("find", "a", 1)


async def test_another_authority(certificates: Certificates, tmp_path: Path) -> None:
    """The certificate of a node that another authority has signed is refused, both ways."""
    others = Certificates(tmp_path, "others")
    engine = broker.MemoryEngine()
    async with node(certificates, engine) as one:
        with pytest.raises((TLSError, Disconnected)):
            async with broker.connect(
                one.address, tls=as_client({**others.node, "ca": certificates.ca}), timeout=5.0
            ) as connection:
                await connection.root.callRemote("find", "a", 1)
        async with broker.Cluster(engine, **others.node) as stranger:
            # It may write into the directory; nobody calls it, and it can call nobody.
            await stranger.export("b", Room())
            with pytest.raises(TLSError):
                await one.reference("b", timeout=2.0)
            with pytest.raises((TLSError, Disconnected)):
                await stranger.reference("a", timeout=2.0)


async def test_a_client_of_the_same_authority(certificates: Certificates, tmp_path: Path) -> None:
    """A certificate for clients only, of the same authority, is not that of a node."""
    pair = files_of(tmp_path, "client", make_client(certificates.authority, "alice"))
    async with node(certificates) as one:
        tls = as_client({**pair, "ca": certificates.ca})
        async with broker.connect(one.address, tls=tls) as connection:
            with pytest.raises(Unauthorized, match="only a node may ask"):
                await connection.root.callRemote("find", "a", one.number("a"))


@pytest.mark.parametrize(
    "args",
    [("a b", 1), ("a.*", 1), (b"a", 1), ("a" * 65, 1), ("a", "1"), ("a", True), ("a", 1.0)],
)
async def test_other_questions(certificates: Certificates, args: tuple[Any, ...]) -> None:
    """What is not a name and a number is refused."""
    async with node(certificates) as one:
        tls = as_client(certificates.node)
        async with broker.connect(one.address, tls=tls) as connection:
            with pytest.raises(WrongArguments):
                await connection.root.callRemote("find", *args)


async def test_other_numbers(certificates: Certificates) -> None:
    """The number of another claim gets nothing, and takes nothing from who holds the name."""
    async with node(certificates) as one:
        number = one.number("a")
        assert number is not None
        async with broker.connect(one.address, tls=as_client(certificates.node)) as connection:
            for name, other in (("a", number + 1), ("a", 0), ("b", number), ("b", 1 << 62)):
                with pytest.raises(broker.NameLost):
                    await connection.root.callRemote("find", name, other)
            room = await connection.root.callRemote("find", "a", number)
            assert await room.callRemote("say", "hello") == 1
        assert await (await one.reference("a")).callRemote("say", "hello") == 2


async def test_an_address_without_tls(certificates: Certificates) -> None:
    """An address that has come into the directory without TLS is not used."""
    async with node(certificates) as one:
        with pytest.raises(ConfigError, match="an address of a node without TLS"):
            await one._nodes.reach("a", Holder("x", "pb://127.0.0.1:1", 1), 1.0)


async def test_one_connection_for_each_node(certificates: Certificates) -> None:
    """References to one node, also those asked for at once, share one connection."""
    engine = broker.MemoryEngine()
    async with node(certificates, engine) as one:
        async with broker.Cluster(engine, **certificates.node) as other:
            found = await asyncio.gather(*(other.reference("a") for _ in range(20)))
            assert len({each.broker for each in found}) == 1
            assert len(other._nodes) == 1
            found[0].broker.transport.abortConnection()
            with pytest.raises(Disconnected):
                await found[0].callRemote("say", "hello")
            again = await other.reference("a")
            assert await again.callRemote("say", "hello") == 1
            assert len(other._nodes) == 1
        assert one.is_member


def test_certificates_of_nodes(certificates: Certificates, tmp_path: Path) -> None:
    """A node has a certificate for servers and for clients; another is refused at the start."""
    server = make_server(certificates.authority, ["localhost"])
    assert not is_of_a_node(server.certificate)
    assert not is_of_a_node(make_client(certificates.authority, "alice").certificate)
    assert not is_of_a_node(certificates.authority.certificate)
    assert not is_of_a_node(None)
    pair = files_of(tmp_path, "server", server)
    with pytest.raises(ConfigError, match="pb cert node"):
        broker.Cluster(broker.MemoryEngine(), **pair, ca=certificates.ca)
