"""The connections to other nodes, and the object by which other nodes reach this one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from broker.client import connect
from broker.connection.connection import Connection
from broker.connection.peer import current_call
from broker.core.calls.dispatch import Route
from broker.core.policy import Policy
from broker.errors import ConfigError, WrongArguments
from broker.flavors.reference import RemoteReference
from broker.flavors.referenceable import Referenceable, Root
from broker.net.tls.settings import TLS
from broker.timeouts import timeout
from broker.topics.directory import Holder
from broker.topics.names import is_topic
from cred.error import Unauthorized

__all__ = ["Door", "Nodes", "is_of_a_node"]

_PURPOSES = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)


def is_of_a_node(certificate: x509.Certificate | None) -> bool:
    """Return whether a certificate says that it is for servers and for clients."""
    if certificate is None:
        return False
    try:
        found = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return False
    return all(purpose in found for purpose in _PURPOSES)


class Door(Root):
    """What another node can call first.

    Args:
        find: returns the object of a name, under a claim.
    """

    def __init__(self, find: Callable[[str, int], Awaitable[Referenceable]]):
        self._find = find

    def route(self) -> Route:
        """Return the route of this object, whose errors are about the call itself."""
        return super().route()._replace(is_ours=True)

    async def remote_find(self, name: object, number: object) -> Referenceable:
        """Return the object of a name; the caller shows the certificate of a node.

        Raises:
            Unauthorized: it has another certificate.
            WrongArguments: it is not a name and a number.
            NameLost: the claim of that number does not count.
        """
        if not is_of_a_node(current_call().peer.certificate):
            raise Unauthorized("only a node may ask: this certificate is not for nodes")
        if not isinstance(name, str) or not is_topic(name) or type(number) is not int:
            raise WrongArguments("find: not a name and a number")
        return await self._find(name, number)


class Nodes:
    """The connections to other nodes; one to each, made when it is needed.

    Args:
        tls: with the certificate of this node.
        policy: of the connections.
    """

    def __init__(self, tls: TLS, policy: Policy):
        self._tls = tls
        self._policy = policy
        self._connections: dict[str, asyncio.Task[Connection]] = {}

    def __len__(self) -> int:
        return len(self._connections)

    async def reach(self, name: str, holder: Holder, seconds: float) -> RemoteReference:
        """Return a reference to the object of a name, at the node that holds it.

        Raises:
            NameLost: that node does not hold it any more.
            Disconnected, TLSError, CallTimeout: the node cannot be reached.
        """
        connection = await self._connection(holder, seconds)
        async with timeout(seconds):
            found: RemoteReference = await connection.root.callRemote("find", name, holder.number)
        return found

    async def close(self) -> None:
        """Close all connections."""
        tasks, self._connections = list(self._connections.values()), {}
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(Exception, asyncio.CancelledError):
                await (await task).close()

    async def _connection(self, holder: Holder, seconds: float) -> Connection:
        task = self._connections.get(holder.node)
        if task is None or _is_over(task):
            self._connections = {
                node: one for node, one in self._connections.items() if not _is_over(one)
            }
            task = asyncio.get_running_loop().create_task(self._connect(holder.address, seconds))
            # Without this, asyncio logs an exception that no task has waited for.
            task.add_done_callback(_is_over)
            self._connections[holder.node] = task
        return await asyncio.shield(task)

    async def _connect(self, address: str, seconds: float) -> Connection:
        if not address.startswith("pbs://"):
            raise ConfigError("the directory has an address of a node without TLS")
        return await connect(address, tls=self._tls, policy=self._policy, timeout=seconds)


def _is_over(task: asyncio.Task[Connection]) -> bool:
    """Return whether an attempt has failed, or its connection has ended."""
    if not task.done():
        return False
    return task.cancelled() or task.exception() is not None or task.result().is_closed
