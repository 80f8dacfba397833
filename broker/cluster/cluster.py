"""Cluster: this node's names, and the references to the names of all nodes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any

from broker.backoff import jittered_delay
from broker.cluster.asking import answer_of, lease_within
from broker.cluster.exported import lost as lost_error
from broker.cluster.holding import MAKING_SECONDS, Factory, FactoryFailed, Holding
from broker.cluster.nodes import Door, Nodes, is_of_a_node
from broker.cluster.settings import check_address, check_name, check_target
from broker.core.policy import STRICT, Policy
from broker.errors import (
    CallTimeout,
    ConfigError,
    Disconnected,
    NameLost,
    NameTaken,
    NoSuchObject,
    WrongType,
)
from broker.flavors.reference import RemoteReference
from broker.flavors.referenceable import Referenceable
from broker.net.tls.pem import CertificateSource, KeySource, read_certificates
from broker.net.tls.settings import TLS
from broker.running_server import Server
from broker.server import serve
from broker.topics.directory import HasDirectory, Holder

__all__ = ["Cluster"]

_SHORTEST_LEASE = 0.5
_CONNECT_SECONDS = 5.0


class Cluster:
    """This process as one node of several, which call each other's objects by name.

    ::

        cluster = broker.Cluster(engine, "pbs://10.0.0.5:8790",
                                 certificate="node.pem", key="node.key", ca="nodes-ca.pem")
        async with cluster:
            await cluster.export("rooms.lobby", room)
            lobby = await cluster.reference("rooms.lobby")
            await lobby.callRemote("say", "hello")

    The servers of the engine keep a directory of names; the calls go from node to node. A node
    holds its names while it renews its lease. All methods are called in one loop.

    Args:
        engine: keeps the directory: a `MemoryEngine`, `NatsEngine` or `PostgresEngine`. It may be
            the engine of `Topics` as well.
        address: where other nodes connect; port 0 takes a free one.
        certificate, key: of this node, for servers and for clients; ``pb cert node`` makes them.
        ca: the authority that signs the certificates of all nodes.
        advertise: where other nodes reach this one, if that is not ``address``.
        lease: seconds after which the names of a node that has died are free; at least 0.5.
        max_exports: names that this node may hold.
        lost: is called with a name and its object when this node has lost the name.
        policy: of the connections between nodes.

    Raises:
        ConfigError: an address is not of TLS, a number is too small, or a certificate cannot be
            used.
        WrongType: a ConfigError and a TypeError: the engine keeps no directory.
    """

    def __init__(
        self,
        engine: HasDirectory,
        address: str = "pbs://127.0.0.1:0",
        *,
        certificate: CertificateSource,
        key: KeySource,
        ca: CertificateSource,
        advertise: str | None = None,
        lease: float = 10.0,
        max_exports: int = 10_000,
        lost: Callable[[str, Any], object] | None = None,
        policy: Policy = STRICT,
    ):
        if not callable(getattr(engine, "directory", None)):
            raise WrongType(f"an engine with a directory is needed, not {type(engine).__name__}")
        if not lease >= _SHORTEST_LEASE:
            raise ConfigError(f"Cluster(lease={lease}): it is at least {_SHORTEST_LEASE} seconds")
        if not max_exports >= 1:
            raise ConfigError(f"Cluster(max_exports={max_exports}): it must be positive")
        self._address, self._advertise = address, advertise
        check_address(address, is_reached=advertise is None)
        if advertise is not None:
            check_address(advertise, is_reached=True)
        if not is_of_a_node(read_certificates(certificate, "certificate")[0]):
            raise ConfigError(
                "the certificate of a node is for servers and for clients: make one with"
                " pb cert node"
            )
        self._tls = TLS.server(certificate, key, client_ca=ca)
        self._policy, self._lease = policy, lease
        self._nodes = Nodes(TLS.client(ca=ca, certificate=certificate, key=key), policy)
        self._directory = engine.directory()
        self._held = Holding(self._directory, lease, max_exports, lost, self._has_ended)
        self._server: Server | None = None

    def __repr__(self) -> str:
        state = "" if self.is_member else ", without a lease"
        return f"<Cluster at {self.address}, {len(self._held.names)} names{state}>"

    @property
    def address(self) -> str:
        """Where other nodes reach this one."""
        if self._advertise is None and self._server is not None:
            return self._server.addresses[0]
        return self._advertise or self._address

    @property
    def is_member(self) -> bool:
        """Whether this node has its lease, so that its names can be called."""
        return self._held.membership.holds

    async def __aenter__(self) -> Cluster:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def start(self, timeout: float = 10.0) -> None:
        """Listen, and get a lease.

        Raises:
            Disconnected: the node got no lease in time; it is closed again.
            CannotListenError: the port is in use.
        """
        self._server = await serve(
            Door(self._find), self._address, tls=self._tls, policy=self._policy
        )
        try:
            self._held.membership.start(self.address)
            await self._member(timeout)
        except BaseException:
            await self.close(drain=0)
            raise

    async def close(self, drain: float = 5.0) -> None:
        """Let running calls of other nodes end, give up all names, and close the connections."""
        if self._server is not None:
            await self._server.close(drain=drain)
        await self._held.close()
        await self._nodes.close()
        with contextlib.suppress(Exception):
            await self._directory.close()

    async def export(self, name: str, target: Referenceable, *, timeout: float = 10.0) -> int:
        """Let every node call an object by a name, until `withdraw`.

        If this node loses its lease, it claims the name again as soon as it has one.

        Args:
            name: tokens of ``A-Z a-z 0-9 _ -``, joined by dots.
            target: a Referenceable, such as ``broker.servant(Contract)(object)``.
            timeout: seconds.

        Returns:
            The number of the claim, which is larger than that of each earlier claim of the name. A
            store that refuses writes with a smaller number than it has seen is safe from a node
            that has lost the name and does not know it yet.

        Raises:
            ValueError: it is not a name. WrongType: it is not a Referenceable.
            NameTaken: another node has the name, or this one.
            ServerBusy: this node holds too many names.
            Disconnected: the directory did not answer in time.
        """
        check_target(target)
        exported = self._held.new(name, target)
        try:
            async with lease_within(timeout):
                holder = await self._held.hold(exported)
            if exported.holder is None:
                raise NameTaken(f"the node at {holder.address} has '{name}'")
        except BaseException:
            self._held.drop(exported)
            raise
        exported.settled.set_result(holder)
        return holder.number

    async def activate(
        self, name: str, factory: Factory, *, timeout: float | None = None
    ) -> RemoteReference:
        """Return a reference to the object of a name, which is made here if no node has it.

        Of several nodes that ask at once, one makes the object. If that node dies, the next one
        that asks makes it anew, when the lease has ended.

        Args:
            name: as of `export`.
            factory: is called with the name, and returns the object, or an awaitable of it.
            timeout: seconds; default twice the lease.

        Raises:
            ValueError, ServerBusy: as of `export`. WrongType: the factory made something else.
            Disconnected, NameLost, CallTimeout: as of `reference`. The errors of the factory.
        """

        async def attempt() -> RemoteReference:
            exported = self._held.names.get(name)
            if exported is None:
                exported = self._held.begin_making(name, factory)
            elif exported.is_over:
                raise lost_error(name)
            holder = await asyncio.shield(exported.settled)
            return await self._reach(name, exported.holder or holder)

        try:
            return await self._repeated(name, attempt, timeout)
        except FactoryFailed as failed:
            raise failed.error from None

    async def reference(self, name: str, *, timeout: float | None = None) -> RemoteReference:
        """Return a reference to the object of a name, at whichever node it is.

        Its calls fail when that node ends, or loses the name: with `Disconnected` or `NameLost`.
        Ask for a new reference then.

        Args:
            name: as of `export`.
            timeout: seconds in which a node or a directory that does not answer is tried again;
                default twice the lease.

        Raises:
            ValueError: it is not a name.
            NoSuchObject: no node has it.
            Disconnected: the node, or the directory, cannot be reached.
            NameLost: the node does not hold the name any more.
            CallTimeout: the node did not answer in time. TLSError: the certificates do not fit.
        """

        async def attempt() -> RemoteReference:
            holder = await answer_of(self._directory.find(name))
            if holder is None:
                raise NoSuchObject(f"no node has '{name}'")
            return await self._reach(name, holder)

        return await self._repeated(name, attempt, timeout)

    async def withdraw(self, name: str) -> None:
        """Give up a name; calls to its object by other nodes fail from now on.

        Raises:
            NoSuchObject: this node does not hold it.
            Disconnected: the directory does not answer; call it again.
        """
        exported = self._held.names.get(name)
        if exported is None:
            raise NoSuchObject(f"this node does not hold '{name}'")
        exported.is_over = True
        if exported.holder is not None:
            await answer_of(self._directory.release(name, exported.holder.number))
        self._held.drop(exported)

    def number(self, name: str) -> int | None:
        """Return the number of this node's claim of a name; None if it does not hold it now."""
        exported = self._held.names.get(name)
        if exported is None or exported.holder is None or not self.is_member:
            return None
        return None if exported.is_over else exported.holder.number

    def _has_ended(self) -> None:
        """End the connections of other nodes: they may have references to further objects."""
        if self._server is not None and not self._server.is_closing:
            for accepted in list(self._server.accepted.values()):
                self._server.kick(number=accepted.number, reason="this node has lost its lease")

    # Reaching names.

    async def _find(self, name: str, number: int) -> Referenceable:
        """Return what another node calls under a name; wait until it is made."""
        exported = self._held.names.get(name)
        if exported is None:
            self._held.begin_giving_up(name, number)
            raise lost_error(name)
        try:
            async with asyncio.timeout(MAKING_SECONDS):
                await asyncio.shield(exported.settled)
        except Exception:  # noqa: BLE001 - that of the factory is for those who asked here
            raise lost_error(name) from None
        return exported.facet(number)

    async def _reach(self, name: str, holder: Holder) -> RemoteReference:
        return await self._nodes.reach(name, holder, _CONNECT_SECONDS)

    async def _repeated(
        self,
        name: str,
        attempt: Callable[[], Coroutine[Any, Any, RemoteReference]],
        seconds: float | None,
    ) -> RemoteReference:
        """Return what an attempt returns; try again while the name may be moving."""
        check_name(name)
        loop = asyncio.get_running_loop()
        seconds = 2 * self._lease if seconds is None else seconds
        end = loop.time() + seconds
        failures = 0
        error: Exception = CallTimeout(f"no answer about '{name}' in {seconds:g} s")
        while True:
            try:
                async with asyncio.timeout_at(end):
                    return await attempt()
            except (Disconnected, NameLost, CallTimeout) as failed:
                error = failed
            except TimeoutError:
                raise error from None
            failures += 1
            delay = jittered_delay(failures, first=0.05, factor=2.0, most=1.0)
            if loop.time() + delay >= end:
                raise error
            await asyncio.sleep(delay)

    async def _member(self, seconds: float) -> None:
        async with lease_within(seconds):
            await self._held.membership.ready()
