"""The client's side: ``connect``."""

from __future__ import annotations

import asyncio
import builtins
import errno
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from broker.connection.broker import Broker
from broker.connection.connection import Connection
from broker.core.calls.attached import ATTACHED
from broker.core.policy import STRICT, Policy
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
from broker.flavors.reference import RemoteReference
from broker.given import check_given
from broker.login.client import Login
from broker.net.proxies.settings import Proxy
from broker.net.scheduler import Cancellable, expire_at
from broker.net.schemes import ConnectSettings, Location, Scheme, parse_address, scheme_of
from broker.net.tls.settings import TLS
from broker.observers import Observer, checked_observers, observe
from broker.opening import Opening

__all__ = ["Connect", "connect"]


class Connect(Opening[Connection]):
    """A connection to be made: ``await`` it, or use it in ``async with``.

    A Connect that is never awaited causes a RuntimeWarning, as a coroutine does.
    """

    makes = "connection"

    def __init__(
        self,
        address: str,
        credentials: Any,
        *,
        mind: Any,
        tls: TLS | None,
        policy: Policy,
        timeout: float,
        proxy: str | None = None,
        observers: tuple[Observer, ...] = (),
    ):
        self._observers = observers
        self._location = parse_address(address)
        self._address = address
        self._scheme = scheme_of(self._location)
        check_given(policy, tls)
        self._login = None if credentials is None else Login(credentials, mind)
        if type(timeout) not in (int, float) or not timeout > 0:
            raise ConfigError(f"timeout={timeout!r}: give a number of seconds, more than 0")
        self._tls = _client_tls(self._location, self._scheme, tls, policy)
        self._proxy = None if proxy is None else _proxy(proxy, self._location, self._scheme, policy)
        self._policy = policy
        self._timeout = timeout
        # The running attempts: the timeout of each, its end by the clock of the loop, its timer.
        self._limits: dict[Broker, tuple[asyncio.Timeout, float]] = {}
        self._timers: dict[Broker, Cancellable] = {}
        self._is_awaited = False

    def _call(self) -> str:
        return f"connect('{self._address}')"

    def _description(self) -> str:
        return f"to {self._location}"

    async def _close(self, opened: Connection, error: BaseException | None) -> None:
        await opened.close()

    async def _open(self) -> Connection:
        broker = Broker(True, policy=self._policy)
        if self._observers:
            observe(broker, self._observers)
        limit = asyncio.timeout(None)
        # The calls of the login, and what the loop does for this connection, have nothing of it.
        token = None if ATTACHED.get() is None else ATTACHED.set(None)
        self._limits[broker] = limit, asyncio.get_running_loop().time() + self._timeout
        try:
            async with limit:
                return await self._log_in(broker)
        except builtins.TimeoutError:
            if not limit.expired():
                raise
            raise self._too_late(broker) from None
        finally:
            if token is not None:
                ATTACHED.reset(token)
            del self._limits[broker]
            timer = self._timers.pop(broker, None)
            if timer is not None:
                timer.cancel()

    def _reached(self, broker: Broker) -> Broker:
        # Until here the function of the scheme limits the time.
        limit, ends = self._limits[broker]
        self._timers[broker] = expire_at(limit, ends)
        return broker

    def _begin_login(
        self, broker: Broker, login: Login, entered: Deferred[RemoteReference]
    ) -> None:
        broker.setup_timeouts.add("login", self._policy.login_timeout)
        login.begin(broker).addCallbacks(entered.callback, entered.errback)

    async def _log_in(self, broker: Broker) -> Connection:
        await self._reach(broker)
        try:
            if self._login is None:
                await ready(broker)
            else:
                # In the callback, so that the login is sent with the choice of the dialect.
                entered: Deferred[RemoteReference] = Deferred()
                begin = partial(self._begin_login, broker, self._login, entered)
                when_ready(broker, begin, entered.errback)
                broker.avatar = await entered
                broker.setup_timeouts.done("login")
        except BaseException as error:
            await _give_up(broker)
            if isinstance(error, PBConnectionLost):
                raise _plain_reason(broker, self._location, self._proxy) from error
            raise
        return broker.connection

    def _too_late(self, broker: Broker) -> TimeoutError:
        step = "login" if broker.session.dialect is not None else "offer"
        hint = ""
        if self._tls is not None and not broker.port.is_secure:
            step = "TLS handshake"
        elif step == "offer" and self._scheme.as_tls(self._location) is not None:
            hint = ": is this a TLS port?"
        what = f"no connection to {self._location} in {self._timeout:g} s ({step}){hint}"
        return TimeoutError(errno.ETIMEDOUT, what)

    async def _reach(self, broker: Broker) -> None:
        """Connect to the address with the broker as the protocol."""

        def reached(address: Any) -> Broker:
            return self._reached(broker)

        policy = self._policy
        settings = ConnectSettings(
            self._tls, self._timeout, policy.handshake_timeout, policy.close_timeout, self._proxy
        )
        await self._scheme.connect(self._location, reached, settings)


def connect(
    address: str,
    credentials: Any = None,
    *,
    mind: Any = None,
    tls: TLS | None = None,
    policy: Policy = STRICT,
    timeout: float = 10.0,
    proxy: str | None = None,
    observers: Sequence[Observer] = (),
) -> Connect:
    """Connect to a server, and log in if credentials are given.

    Args:
        address: ``pb://host:port``, or ``pbs://host:port`` for TLS; the port is 8787 unless given.
            ``pb+unix:///path`` is a UNIX socket; ``pb+exec:command args`` runs a program, which
            serves on its standard input and output, and ends with the connection.
        credentials: of ``cred.credentials``, for a server with a login.
        mind: the object that the server's realm gets, to call this client; often a Referenceable.
        tls: the trusted authorities and the client's certificate; default the authorities of the
            system, and no certificate.
        policy: what is allowed.
        timeout: seconds for all steps: name lookup, TCP, the proxy's answer, the TLS handshake, the
            server's offer, and the login.
        proxy: the URL of the proxy to connect through: ``socks5://host:port``,
            ``socks4://host:port``, ``socks4a://host:port`` or ``http://host:port`` (CONNECT), with
            ``user:password@`` before the host if it asks for a login. The proxy looks up the name
            of the server. ``"env"`` takes the URL from ``ALL_PROXY``, unless ``NO_PROXY`` lists
            the server; no other value reads the environment. SOCKS needs the package python-socks:
            the extra ``proxy``.
        observers: are told of this connection and its calls; see `Observer`.

    Returns:
        An object to ``await``, or to use in ``async with``, for a Connection. The end of the block
        closes it, after all that was written has been sent.

    Raises:
        ConfigError: the address is not understood, or is public and without TLS; or an argument
            cannot work; or python-socks is missing. Raised by ``connect`` itself, before the
            ``await``.
        ConnectError: the host refuses or does not answer; the proxy cannot connect or refuses; or
            the program cannot be run.
        DNSLookupError: the host name does not resolve.
        TimeoutError: a ConnectError: there is no connection after ``timeout`` seconds; the text
            names the step.
        TLSError: the TLS handshake failed, such as for a certificate that is not trusted.
        ProtocolError: the server does not speak Perspective Broker.
        LoginFailed: the server does not accept these credentials.
        PBConnectionLost: the connection ended before the last step.
    """
    return Connect(
        address,
        credentials,
        mind=mind,
        tls=tls,
        policy=policy,
        timeout=timeout,
        proxy=proxy,
        observers=checked_observers(observers),
    )


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


def _client_tls(
    location: Location, scheme: Scheme[Any], tls: TLS | None, policy: Policy
) -> TLS | None:
    if scheme.is_tls:
        tls = TLS.client() if tls is None else tls
    elif tls is not None:
        raise fixed_by(ConfigError, "", "no certificate", f" pbs:// addresses, not {location}")
    scheme.check_client(location, policy.insecure_plaintext)
    return tls


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
