"""Opens and accepts stream connections on asyncio; maps OSError to our errors."""

from __future__ import annotations

import asyncio
import builtins
import errno
import functools
import os
import socket
import stat
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from typing import Any, TypeAlias

from broker.errors import (
    CannotListenError,
    ConfigError,
    ConnectError,
    ConnectionRefusedError,
    DNSLookupError,
    NoRouteError,
    TCPTimedOutError,
    TimeoutError,
)
from broker.net.adopting import adopt
from broker.net.filters import Filter
from broker.net.happy_eyeballs import (
    ATTEMPT_DELAY,
    Local,
    Resolved,
    connect_first,
    connect_here,
    is_here,
)
from broker.net.host_names import ascii_name
from broker.net.listener import Listener, MakeTransport
from broker.net.log_throttle import LogThrottle
from broker.net.proxies.settings import Proxy
from broker.net.scheduler import scheduler_of
from broker.net.socket_addresses import host_port, is_loopback
from broker.net.stream_socket import StreamSocket
from broker.net.tls.settings import TLS
from broker.net.tls.transport import RelayedTransport, new_transport
from broker.net.transport_port import LINGER_TIME
from broker.net.transports import MakeProtocol, StreamTransport

__all__ = [
    "bind_stream",
    "bind_unix",
    "connect_stream",
    "connect_unix",
    "start_accepting",
]

BACKLOG = 256
"""How many connections the kernel queues until they are accepted."""

MakeFilters: TypeAlias = Callable[[], Sequence[Filter]]


async def connect_stream(
    make_protocol: MakeProtocol,
    host: str,
    port: int,
    *,
    tls: TLS | None = None,
    make_filters: MakeFilters | None = None,
    timeout: float | None = 10.0,
    handshake_timeout: float = 10.0,
    close_timeout: float = 5.0,
    local_address: Local | None = None,
    attempt_delay: float | None = None,
    at_once: bool = False,
    proxy: Proxy | None = None,
) -> StreamTransport:
    """Connect to a host and give the connection to a protocol.

    The addresses of ``host`` are tried as `connect_first` does. With TLS, this returns once the
    server's certificate is accepted. A server that does not accept *this* end's certificate ends
    the connection with TLSError after that.

    Args:
        make_protocol: called with the peer's address once TCP is connected.
        host: a name or a numeric address; with ``tls``, the certificate must be for it.
        port: the port.
        tls: settings of `TLS.client`; None for plain text.
        make_filters: makes the filters of the connection in place of ``tls``; see
            `StreamTransport`.
        timeout: seconds until TCP must be connected, including the name lookup; None for no limit.
        handshake_timeout: seconds for the TLS handshake after that.
        close_timeout: seconds for the peer to answer the TLS close of this end.
        local_address: the address to connect from, as ``(host, port)``.
        attempt_delay: seconds without an answer after which the host's next address is tried too;
            default 0.25.
        at_once: whether to make the transport without waiting for the loop if the host is this
            machine. If both ends are in one loop, the client's is made first then; in programs of
            Twisted it is made second.
        proxy: connects to the host, and looks up its name; ``timeout`` includes its answer.

    Raises:
        DNSLookupError: the name does not resolve, or is not a host name.
        ConnectionRefusedError: no program listens on that port.
        TimeoutError: no answer in time.
        ConnectError: any other reason; the proxy refuses; or ``make_protocol`` returned None.
        TLSError: the handshake failed, or the server's certificate is not for ``host``.
        ConfigError: ``tls`` has the settings of `TLS.server`.
    """
    target = host, port
    if tls is not None:
        make_filters = _only(tls.filter_maker(is_server=False, host=host, port=port))
    new = _transport_maker(
        make_protocol,
        asyncio.get_running_loop(),
        make_filters,
        kind=StreamTransport if proxy is None or is_loopback(host) else RelayedTransport,
        handshake_timeout=handshake_timeout,
        close_timeout=close_timeout,
    )
    ends = _end_of(timeout)
    if proxy is not None:
        host, port = proxy.host, proxy.port
    resolved = await _resolve_by(ends, host, port, timeout)
    delay = ATTEMPT_DELAY if attempt_delay is None else attempt_delay
    try:
        if at_once and is_here(resolved):
            sock = await connect_here(resolved, ends=ends, local=local_address)
        else:
            sock = await connect_first(resolved, ends=ends, local=local_address, delay=delay)
    except OSError as exc:
        where = host_port(host, port) if proxy is None else f"the proxy {proxy}"
        raise _connect_error(exc, where, timeout) from exc
    if proxy is not None:
        # Imported here: most programs use no proxy.
        from broker.net.proxies.asking import ask

        await ask(proxy, sock, target, ends, timeout)
    return await _adopt(sock, new)


async def connect_unix(
    make_protocol: MakeProtocol,
    path: str,
    *,
    timeout: float | None = 10.0,
    at_once: bool = False,
) -> StreamTransport:
    """Connect to a UNIX socket, as `connect_stream` does to a host.

    Raises:
        ConnectionRefusedError: no program listens on that socket.
        ConnectError: any other reason, or ``make_protocol`` returned None.
    """
    resolved = [(socket.AF_UNIX, socket.SOCK_STREAM, 0, "", path)]
    try:
        connect = connect_here if at_once and is_here(resolved) else connect_first
        sock = await connect(resolved, ends=_end_of(timeout))
    except OSError as exc:
        raise _connect_error(exc, path, timeout) from exc
    return await _adopt(sock, _transport_maker(make_protocol, asyncio.get_running_loop()))


def bind_stream(
    host: str, port: int, backlog: int = BACKLOG, *, reuse_port: bool = False
) -> tuple[socket.socket, ...]:
    """Open a listening port; this does not need an event loop.

    Returns one socket for each address of ``host``, all with the same port, bound, listening and
    non-blocking. An empty ``host`` means every IPv4 address of this machine; port 0 means a free
    port. With ``reuse_port``, other processes of the same user may listen at the port with it too,
    and the kernel gives each connection to one of them; ``backlog`` 0 then only holds the port.

    Raises:
        CannotListenError: the port is in use or needs more rights, or ``host`` is not this machine;
            or this system has no SO_REUSEPORT.
    """
    if reuse_port and not hasattr(socket, "SO_REUSEPORT"):
        raise CannotListenError(host, port, "this system cannot share a port (SO_REUSEPORT)")
    try:
        name = ascii_name(host or "0.0.0.0")  # noqa: S104 - the caller asked for it
        resolved = _lookup(name, port)
    except ConfigError as exc:
        raise CannotListenError(host, port, exc) from None
    except socket.gaierror as exc:
        raise CannotListenError(host, port, f"host {host!r} does not resolve") from exc
    sockets: list[socket.socket] = []
    missing: OSError | None = None
    with ExitStack() as undo:
        for family, kind, proto, _, address in resolved:
            same_port = sockets[0].getsockname()[1] if sockets else port
            try:
                where = (address[0], same_port, *address[2:])
                sock = _listening(family, kind, proto, where, backlog, reuse_port)
            except OSError as exc:
                # A name such as localhost may have an IPv6 address on a system without IPv6.
                if exc.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    raise CannotListenError(host, port, exc) from exc
                missing = missing or exc
                continue
            undo.callback(sock.close)
            sockets.append(sock)
        undo.pop_all()
    if not sockets:
        raise CannotListenError(host, port, missing) from missing
    return tuple(sockets)


def bind_unix(
    path: str, backlog: int = BACKLOG, *, is_private: bool = False
) -> tuple[socket.socket, ...]:
    """Open a listening UNIX socket; replace a socket at that path that no program listens on.

    If it is private, its mode is 0600 from the start.

    Raises:
        CannotListenError: that path is in use, or the socket cannot be made.
    """
    sock = StreamSocket(socket.AF_UNIX, socket.SOCK_STREAM)
    with ExitStack() as undo:
        undo.callback(sock.close)
        try:
            if _is_dead_socket(path):
                os.unlink(path)
            mask = os.umask(0o177) if is_private else None
            try:
                sock.bind(path)
            finally:
                if mask is not None:
                    os.umask(mask)
            sock.listen(backlog)
        except OSError as exc:
            raise CannotListenError(path, "unix", exc) from exc
        sock.setblocking(False)
        undo.pop_all()
    return (sock,)


def start_accepting(
    sockets: Sequence[socket.socket],
    make_protocol: MakeProtocol,
    *,
    tls: TLS | None = None,
    make_filters: MakeFilters | None = None,
    handshake_timeout: float = 10.0,
    close_timeout: float = 5.0,
    loop: asyncio.AbstractEventLoop | None = None,
    log_throttle: LogThrottle | None = None,
    removes_paths: bool = True,
) -> Listener:
    """Accept connections on listening sockets, and own those sockets from now on.

    Args:
        sockets: the result of `bind_stream` or `bind_unix`.
        make_protocol: called for each connection with the peer's address; it returns None to refuse
            the connection.
        tls: settings of `TLS.server`; None for plain text.
        make_filters: makes the filters of a connection in place of ``tls``; see `StreamTransport`.
        handshake_timeout: seconds for the TLS handshake.
        close_timeout: seconds for the peer to answer the TLS close of this end.
        loop: the event loop, which need not run yet; default the running one.
        log_throttle: limits the log records about these connections; default a new one.
        removes_paths: whether the files of UNIX sockets are removed when the listener is closed.

    Raises:
        ConfigError: ``tls`` has the settings of `TLS.client`.
    """
    loop = loop or asyncio.get_running_loop()
    if tls is not None:
        make_filters = _only(tls.filter_maker(is_server=True))
    if log_throttle is None:
        log_throttle = LogThrottle(scheduler_of(loop))
    new = _transport_maker(
        make_protocol,
        loop,
        make_filters,
        log_throttle,
        handshake_timeout=handshake_timeout,
        close_timeout=close_timeout,
    )
    return Listener(sockets, new, loop, log_throttle, removes_paths=removes_paths)


def _transport_maker(
    make_protocol: MakeProtocol,
    loop: asyncio.AbstractEventLoop,
    make_filters: MakeFilters | None = None,
    log_throttle: LogThrottle | None = None,
    kind: type[StreamTransport] = StreamTransport,
    **settings: Any,
) -> MakeTransport:
    if make_filters is None:
        return lambda: kind(make_protocol, loop, log_throttle)
    settings["kind"] = kind
    return lambda: new_transport(make_protocol, loop, log_throttle, make_filters(), **settings)


def _only(make_filter: Callable[[], Filter]) -> MakeFilters:
    return lambda: (make_filter(),)


def _is_dead_socket(path: str) -> bool:
    """Return whether there is a UNIX socket at ``path`` that no program listens on."""
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            return False
    except FileNotFoundError:
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(path) == errno.ECONNREFUSED


def _listening(
    family: int, kind: int, proto: int, address: Any, backlog: int, reuse_port: bool
) -> socket.socket:
    sock = StreamSocket(family, kind, proto)
    with ExitStack() as undo:
        undo.callback(sock.close)
        if os.name == "posix":
            # A server must be able to restart at once. On Windows this option would let two servers
            # share one port.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(address)
        if backlog:
            sock.listen(backlog)
        sock.setblocking(False)
        undo.pop_all()
    return sock


def _end_of(timeout: float | None) -> float | None:
    """Return the end of a timeout by the clock of the running loop."""
    return None if timeout is None else asyncio.get_running_loop().time() + timeout


def _lookup(host: str, port: int, flags: int = 0) -> list[Resolved]:
    resolved = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    return _without_repeats(resolved)


@functools.lru_cache(256)
def _lookup_numeric(host: str, port: int) -> tuple[Resolved, ...]:
    """Look up a numeric host; raise gaierror if it is a name."""
    return tuple(_lookup(host, port, socket.AI_NUMERICHOST))


def _without_repeats(resolved: Iterable[Resolved]) -> list[Resolved]:
    # As plain numbers: each use of a member of an enum costs a call.
    plain = ((int(family), int(kind), *rest) for family, kind, *rest in resolved)
    return list(dict.fromkeys(plain))


async def _resolve_by(
    ends: float | None, host: str, port: int, timeout: float | None
) -> Sequence[Resolved]:
    try:
        name = ascii_name(host)
    except ConfigError as exc:
        raise DNSLookupError(str(exc)) from None
    # The scope of an IPv6 address is the name of an interface, whose number may change.
    look_up = _lookup_numeric.__wrapped__ if "%" in name else _lookup_numeric
    try:
        return look_up(name, port)
    except socket.gaierror:
        pass
    try:
        async with asyncio.timeout_at(ends):
            return await _resolve(host, name, port)
    except builtins.TimeoutError as exc:
        raise TimeoutError(
            errno.ETIMEDOUT,
            f"no connection to {host_port(host, port)} in {timeout:g} s (name lookup)",
        ) from exc


async def _resolve(host: str, name: str, port: int) -> list[Resolved]:
    """Look up the name of a host, in a thread."""
    loop = asyncio.get_running_loop()
    try:
        return _without_repeats(await loop.getaddrinfo(name, port, type=socket.SOCK_STREAM))
    except socket.gaierror as exc:
        raise DNSLookupError(f"host {host!r} does not resolve") from exc


async def _adopt(sock: socket.socket, new: MakeTransport) -> StreamTransport:
    """Make the transport of a connected socket, and wait for the TLS handshake."""
    loop = asyncio.get_running_loop()
    try:
        transport = new()
        await adopt(loop, sock, transport)
    except BaseException:
        sock.close()
        raise
    try:
        if transport.protocol is None:
            raise ConnectError(None, "no protocol was made for this connection")
        await transport.wait_secured()
    except BaseException as error:
        transport.abortConnection()
        if isinstance(error, Exception):
            # The peer is still told why. The program may end with this error, and its loop too.
            await transport.wait_ended(LINGER_TIME)
        raise
    return transport


def _connect_error(exc: OSError, where: str, timeout: float | None) -> ConnectError:
    number = exc.errno
    if isinstance(exc, builtins.ConnectionRefusedError):
        return ConnectionRefusedError(
            number, f"connection refused by {where}: is the server running?"
        )
    if number == errno.ETIMEDOUT:
        return TCPTimedOutError(number, f"no answer from {where}")
    if isinstance(exc, builtins.TimeoutError):
        return TimeoutError(errno.ETIMEDOUT, f"no answer from {where} in {timeout:g} s")
    if number in (errno.ENETUNREACH, errno.EHOSTUNREACH):
        return NoRouteError(number, f"no way to {where}: the network does not reach it")
    if number == errno.ENOENT:
        return ConnectError(number, f"there is no socket {where}: is the server running?")
    return ConnectError(number, f"cannot connect to {where}: {os.strerror(number or 0)}")
