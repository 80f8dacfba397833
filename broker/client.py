"""The client's side: ``connect``."""

from __future__ import annotations

import asyncio
import builtins
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any

from broker.connecting import Behind, Connecting, Place, client_tls, place_of, reach
from broker.connection.broker import Broker
from broker.connection.connection import Connection
from broker.core.policy import STRICT, Policy
from broker.errors import ConfigError, WrongType
from broker.given import check_given
from broker.interceptors import Interceptor, checked_interceptors
from broker.login.client import Login, taker_of
from broker.net.tls.settings import TLS
from broker.observers import Observer, checked_observers
from broker.opening import Opening
from broker.retry import Attempt, Attempts, Retry, given_addresses

__all__ = ["Connect", "connect"]

# Seconds for the last of several addresses if the time is over.
_SOON = 0.01


class Connect(Opening[Connection]):
    """Connections to be made: ``await`` it, or use it in ``async with`` or ``async for``.

    ``await`` and ``async with`` make one connection. ``async for`` makes the next one when the body
    of the loop has ended; it closes the one before.

    A Connect that is never awaited causes a RuntimeWarning, as a coroutine does.
    """

    makes = "connection"

    def __init__(
        self,
        address: str | Sequence[str],
        credentials: Any,
        *,
        mind: Any,
        tls: TLS | None,
        policy: Policy,
        timeout: float,
        proxy: str | None = None,
        retry: Retry | None = None,
        observers: Sequence[Observer] = (),
        interceptors: Sequence[Interceptor] = (),
    ):
        self._addresses = given_addresses(address)
        check_given(policy, tls)
        self._mind = mind
        self._login: Login | None = None
        self._ask: Callable[[], Any] | None = None
        if credentials is not None:
            self._take(credentials)
        if type(timeout) not in (int, float) or not timeout > 0:
            raise ConfigError(f"timeout={timeout!r}: give a number of seconds, more than 0")
        if retry is not None and not isinstance(retry, Retry):
            raise WrongType(f"retry= is a Retry, such as Retry(most=10), not {_kind(retry)}")
        # One for all attempts: it keeps the tickets of TLS sessions.
        self._tls = client_tls(self._addresses, tls)
        self._policy, self._proxy = policy, proxy
        self._observers = checked_observers(observers) if observers else ()
        self._interceptors = checked_interceptors(interceptors) if interceptors else ()
        self._timeout = timeout
        self._retry = retry
        self._places = {each: self._place(each) for each in self._addresses}
        self._is_awaited = False

    def _take(self, credentials: Any) -> None:
        is_function = callable(credentials) and not isinstance(credentials, type)
        if is_function and taker_of(credentials) is None:
            self._ask = credentials
        else:
            self._login = Login(credentials, self._mind)

    def _call(self) -> str:
        addresses = self._addresses
        shown = repr(addresses[0]) if len(addresses) == 1 else repr(addresses)
        return f"connect({shown})"

    def _description(self) -> str:
        return f"to {', '.join(str(place.location) for place in self._places.values())}"

    async def _close(self, opened: Connection, error: BaseException | None) -> None:
        await opened.close()

    async def _open(self) -> Connection:
        if self._retry is not None:
            return (await self.next(self.attempts()))[1]
        if len(self._addresses) == 1:
            login = self._login if self._ask is None else await self._log_in()
            return await self._attempt(self._addresses[0], login, self._timeout)
        return await self._any_of_them()

    async def _any_of_them(self) -> Connection:
        """Try each address once, within the time limit."""
        login, attempts, now = await self._log_in(), self.attempts(), _clock()
        ends, left = now() + self._timeout, len(self._addresses)
        while True:
            address = attempts.next().address
            # Each has an equal part of the time that is left.
            timeout = max(_SOON, (ends - now()) / left)
            try:
                return await self._attempt(address, login, timeout)
            except Exception as error:
                attempts.failed(address, error)
                left -= 1
                if not left:
                    raise

    def __aiter__(self) -> AsyncIterator[Connection]:
        """Return an iterator over connections, one after the other.

        Its step raises the errors of `connect` that another attempt would not repair; see
        `broker.is_transient` and `Retry`.
        """
        self._is_awaited = True
        return self._connections()

    async def _connections(self) -> AsyncIterator[Connection]:
        attempts = self.attempts()
        while True:
            address, connection = await self.next(attempts)
            try:
                yield connection
            finally:
                await connection.close()
            attempts.ended(address, connection.broker.reason, connection.draining)

    def attempts(self) -> Attempts:
        """Return the attempts of a client that begins now; used by `broker.link`."""
        return Attempts(self._retry or Retry(), self._addresses, _clock())

    async def next(
        self,
        attempts: Attempts,
        tell: Callable[[Attempt], object] | None = None,
        behind: Behind | None = None,
    ) -> tuple[str, Connection]:
        """Connect, again and again until it succeeds; return the address and the connection.

        Args:
            attempts: what `attempts` has returned.
            tell: called with each attempt, before its delay.
            behind: makes calls behind each login; see `Connecting`.

        Raises:
            BaseException: an error that ends the attempts.
        """
        while True:
            attempt = attempts.next()
            if tell is not None:
                tell(attempt)
            if attempt.delay:
                await asyncio.sleep(attempt.delay)
                attempts.check()
            try:
                login = await self._log_in()
            except (ConnectionError, builtins.TimeoutError) as error:
                attempts.failed(attempt.address, error, is_of_credentials=True)
                continue
            try:
                connection = await self._attempt(attempt.address, login, self._timeout, behind)
            except Exception as error:  # noqa: BLE001 - raised again unless it may succeed later
                attempts.failed(attempt.address, error)
            else:
                attempts.connected()
                return attempt.address, connection

    def _attempt(
        self, address: str, login: Login | None, timeout: float, behind: Behind | None = None
    ) -> Coroutine[Any, Any, Connection]:
        # A server that drains may have named another address.
        place = self._places.get(address) or self._place(address)
        return Connecting(place, login, timeout, self._reach, behind).open()

    async def _log_in(self) -> Login | None:
        """Return the login, with credentials of this moment."""
        if self._ask is None:
            return self._login
        credentials = self._ask()
        if inspect.isawaitable(credentials):
            credentials = await credentials
        return Login(credentials, self._mind)

    async def _reach(self, broker: Broker, connecting: Connecting) -> None:
        await reach(broker, connecting)

    def _place(self, address: str) -> Place:
        around = self._observers, self._interceptors
        return place_of(address, self._tls, self._policy, self._proxy, *around)


def connect(
    address: str | Sequence[str],
    credentials: Any = None,
    *,
    mind: Any = None,
    tls: TLS | None = None,
    policy: Policy = STRICT,
    timeout: float = 10.0,
    proxy: str | None = None,
    retry: Retry | None = None,
    observers: Sequence[Observer] = (),
    interceptors: Sequence[Interceptor] = (),
) -> Connect:
    """Connect to a server, and log in if credentials are given.

    ``async for connection in connect(…)`` connects again after each connection, and waits between
    attempts as ``retry`` says. Catch `Disconnected` in the body, and ``continue``. ``break`` ends
    it, and any other exception too.

    Args:
        address: ``pb://host:port``, or ``pbs://host:port`` for TLS; the port is 8787 unless given.
            ``ws://host:port/path`` is a WebSocket, ``wss://…`` one with TLS; the port is 80 or 443
            unless given, and they need the extra ``ws``. ``pb+unix:///path`` is a UNIX socket;
            ``pb+exec:command args`` runs a program, which serves on its standard input and output,
            and ends with the connection. Or a sequence of addresses, of servers that are equal:
            they are tried in this order, from a random one on; one that failed goes last.
        credentials: of ``cred.credentials``, for a server with a login. Or a function without
            arguments, plain or async, that returns them; it is called for each login.
        mind: the object that the server's realm gets, to call this client; often a Referenceable.
        tls: the trusted authorities and the client's certificate; default the authorities of the
            system, and no certificate.
        policy: what is allowed.
        timeout: seconds for all steps: name lookup, TCP, the proxy's answer, the TLS handshake, the
            server's offer, and the login. With several addresses and without ``retry``, for all of
            them together; else for each attempt.
        proxy: the URL of the proxy to connect through: ``socks5://host:port``,
            ``socks4://host:port``, ``socks4a://host:port`` or ``http://host:port`` (CONNECT), with
            ``user:password@`` before the host if it asks for a login. The proxy looks up the name
            of the server. ``"env"`` takes the URL from ``ALL_PROXY``, unless ``NO_PROXY`` lists
            the server; no other value reads the environment. SOCKS needs the package python-socks:
            the extra ``proxy``.
        retry: how often it is tried again. ``None`` is one attempt for each address; in ``async
            for`` it is `Retry()`.
        observers: are told of each connection and its calls; see `Observer`.
        interceptors: run around each call that is made; see `Interceptor`. With observers or
            interceptors calls take the general path, which is slower.

    Returns:
        An object to ``await``, or to use in ``async with``, for a Connection. The end of the block
        closes it, after all that was written has been sent. ``async for`` gives one Connection
        after the other.

    Raises:
        ConfigError: the address is not understood, or is public and without TLS; or an argument
            cannot work; or python-socks or websockets is missing. Raised by ``connect`` itself,
            before the ``await``.
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
        retry=retry,
        observers=observers,
        interceptors=interceptors,
    )


def _clock() -> Callable[[], float]:
    return asyncio.get_running_loop().time


def _kind(given: object) -> str:
    return f"the class {given.__name__}" if isinstance(given, type) else type(given).__name__
