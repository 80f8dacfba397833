"""One attempt to connect to one address: from the name of the host to the avatar."""

from __future__ import annotations

import asyncio
import builtins
import errno
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

from msgspec import Struct

from broker.connection.broker import Broker
from broker.connection.connection import Connection
from broker.core.calls.attached import ATTACHED
from broker.core.policy import Policy
from broker.defer import Deferred
from broker.errors import (
    ConfigError,
    ConnectionDone,
    PBConnectionLost,
    ProtocolError,
    TimeoutError,
    TLSError,
)
from broker.fixes import fixed_by
from broker.flavors.promise import Promise
from broker.flavors.reference import RemoteReference
from broker.interceptors import Interceptor, intercept_calls
from broker.login.client import Login
from broker.net.proxies.settings import Proxy
from broker.net.scheduler import Cancellable, expire_at
from broker.net.schemes import ConnectSettings, Location, Scheme, parse_address, scheme_of
from broker.net.tls.settings import TLS
from broker.net.transports import StreamTransport
from broker.observers import Observer, observe

__all__ = [
    "Behind",
    "Connecting",
    "Place",
    "Reach",
    "client_tls",
    "place_of",
    "reach",
    "ready",
    "when_ready",
]


class Place(Struct, frozen=True):
    """Where to connect to, and how.

    Attributes:
        location: the parsed address.
        scheme: that of the location.
        tls: the settings of TLS; None without TLS.
        proxy: the proxy to connect through, or None.
        policy: what is allowed.
        observers: are told of the connection.
        interceptors: run around the calls that are made.
    """

    location: Location
    scheme: Scheme[Any]
    tls: TLS | None
    proxy: Proxy | None
    policy: Policy
    observers: tuple[Observer, ...] = ()
    interceptors: tuple[Interceptor, ...] = ()


Reach: TypeAlias = "Callable[[Broker, Connecting], Awaitable[object]]"
"""Connects a Broker to the place of an attempt."""

Behind: TypeAlias = "Callable[[Connection, Promise[Any]], object]"
"""Makes calls on the promise of the avatar."""


class Connecting:
    """One attempt to connect.

    Args:
        place: where to.
        login: the login, or None.
        timeout: seconds for all steps.
        reach: connects the Broker.
        behind: called with the connection and the promise of its avatar, to make calls that leave
            behind the login; or None.

    Attributes:
        place, timeout: the arguments.
    """

    def __init__(
        self,
        place: Place,
        login: Login | None,
        timeout: float,
        reach: Reach,
        behind: Behind | None = None,
    ):
        self._behind = behind
        self.place = place
        self.timeout = timeout
        self._login = login
        self._reach = reach
        self._limit = asyncio.timeout(None)
        # The end by the clock of the loop, and its timer.
        self._ends = 0.0
        self._timer: Cancellable | None = None

    async def open(self) -> Connection:
        """Connect, and log in if there is a login; see `broker.connect` for the errors."""
        broker = Broker(True, policy=self.place.policy)
        if self.place.observers:
            observe(broker, self.place.observers)
        if self.place.interceptors:
            intercept_calls(broker, self.place.interceptors)
        self._ends = asyncio.get_running_loop().time() + self.timeout
        # The calls of the login, and what the loop does for this connection, have nothing of it.
        token = None if ATTACHED.get() is None else ATTACHED.set(None)
        try:
            async with self._limit:
                return await self._log_in(broker)
        except builtins.TimeoutError:
            if not self._limit.expired():
                raise
            raise self._too_late(broker) from None
        finally:
            if token is not None:
                ATTACHED.reset(token)
            if self._timer is not None:
                self._timer.cancel()

    def reached(self) -> None:
        """Note that the server has been reached.

        Until here the function of the scheme limits the time.
        """
        self._timer = expire_at(self._limit, self._ends)

    def _begin_login(self, login: Login, broker: Broker) -> Deferred[RemoteReference]:
        broker.setup_timeouts.add("login", self.place.policy.login_timeout)
        behind = None if self._behind is None else partial(self._behind, broker.connection)
        return login.begin(broker, behind)

    async def _log_in(self, broker: Broker) -> Connection:
        await self._reach(broker, self)
        try:
            if self._login is None:
                await ready(broker)
            else:
                # In the callback, so that the login is sent with the choice of the dialect.
                is_ready: Deferred[Broker] = Deferred()
                entered = is_ready.addCallback(partial(self._begin_login, self._login))
                when_ready(broker, partial(is_ready.callback, broker), is_ready.errback)
                broker.avatar = await entered
                broker.setup_timeouts.done("login")
        except BaseException as error:
            await _give_up(broker)
            if isinstance(error, PBConnectionLost):
                raise _plain_reason(broker, self.place.location, self.place.proxy) from error
            raise
        return broker.connection

    def _too_late(self, broker: Broker) -> TimeoutError:
        place = self.place
        step = "login" if broker.session.dialect is not None else "offer"
        hint = ""
        transport = broker.transport
        if isinstance(transport, StreamTransport) and transport.handshake:
            step = f"{transport.handshake} handshake"
        elif step == "offer" and place.scheme.as_tls(place.location) is not None:
            hint = ": is this a TLS port?"
        what = f"no connection to {place.location} in {self.timeout:g} s ({step}){hint}"
        return TimeoutError(errno.ETIMEDOUT, what)


async def reach(broker: Broker, connecting: Connecting) -> None:
    """Connect to the place of an attempt with the broker as the protocol."""

    def reached(address: Any) -> Broker:
        connecting.reached()
        return broker

    place, timeout = connecting.place, connecting.timeout
    policy = place.policy
    settings = ConnectSettings(
        place.tls,
        timeout,
        policy.handshake_timeout,
        policy.close_timeout,
        place.proxy,
        policy.max_pings,
        policy.ping_after,
    )
    await place.scheme.connect(place.location, reached, settings)


def place_of(
    address: object,
    tls: TLS | None,
    policy: Policy,
    proxy: str | None,
    observers: tuple[Observer, ...] = (),
    interceptors: tuple[Interceptor, ...] = (),
) -> Place:
    """Return the place of an address.

    Args:
        address: the address.
        tls: the settings for an address with TLS; see `client_tls`.
        policy: what is allowed.
        proxy: the URL of the proxy, or None; see `broker.connect`.
        observers: are told of each connection to the place.
        interceptors: run around the calls that are made.

    Raises:
        ConfigError: the address is not understood, or is public and without TLS; or the proxy
            cannot be used.
    """
    location = parse_address(address)
    scheme = scheme_of(location)
    scheme.check_client(location, policy.insecure_plaintext)
    own = tls if scheme.is_tls else None
    chosen = None if proxy is None else _proxy(proxy, location, scheme, policy)
    return Place(location, scheme, own, chosen, policy, observers, interceptors)


def client_tls(addresses: Sequence[str], tls: TLS | None) -> TLS | None:
    """Return the settings of TLS for some addresses; None if none of them has TLS.

    Raises:
        ConfigError: there are settings, and none of the addresses has TLS.
    """
    locations = [parse_address(address) for address in addresses]
    if not any(scheme_of(location).is_tls for location in locations):
        if tls is not None:
            after = f" pbs:// and wss:// addresses, not {locations[0]}"
            raise fixed_by(ConfigError, "", "no certificate", after)
        return None
    return TLS.client() if tls is None else tls


def ready(broker: Broker) -> Deferred[None]:
    """Return a Deferred that fires when calls can be made, or fails when the connection ends."""
    deferred: Deferred[None] = Deferred()
    when_ready(broker, lambda: deferred.callback(None), deferred.errback)
    return deferred


def when_ready(
    broker: Broker, function: Callable[[], object], fail: Callable[[Exception], object]
) -> None:
    """Call ``function()`` when calls can be made, or ``fail(error)`` when the connection ends."""

    def failed() -> None:
        fail(PBConnectionLost(broker.reason, may_have_run=False))

    broker.notifyOnConnect(function)
    broker.notifyOnFail(failed)
    if broker.disconnected:
        failed()


def _proxy(proxy: str, location: Location, scheme: Scheme[Any], policy: Policy) -> Proxy | None:
    # Imported here: most programs use no proxy.
    from broker.net.proxies.choice import choose

    target, plaintext = scheme.target(location), policy.insecure_plaintext
    return choose(proxy, target, is_tls=scheme.is_tls, plaintext=plaintext)


def _plain_reason(broker: Broker, location: Location, proxy: Proxy | None) -> BaseException:
    """Return the error for the caller of ``connect``, if the connection ended in the setup."""
    reason = broker.reason
    if isinstance(reason, TLSError | ProtocolError | PBConnectionLost):
        return reason
    if broker.session.dialect is None and isinstance(reason, ConnectionDone):
        # Some proxies accept first, and close if they cannot reach the server.
        also = "" if proxy is None else f", and can the proxy {proxy} reach it?"
        text = f"{location} closed the connection without an offer; does it speak"
        return PBConnectionLost(f"{text} Perspective Broker{also or '?'}", may_have_run=False)
    return PBConnectionLost(f"the connection to {location} ended: {reason}", may_have_run=False)


async def _give_up(broker: Broker) -> None:
    if not broker.disconnected:
        broker.port.abortConnection()
    await asyncio.shield(broker.closed)
