r"""Endpoints by descriptions, such as ``tcp:8787:interface=127.0.0.1``.

A description is a kind and its arguments, separated by colons. An argument is given by its name,
``key=value``, or by its position. A backslash before a colon, a backslash or an equals sign makes
it a part of the value: ``tcp:8787:interface=\:\:1``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from cryptography import x509
from OpenSSL import SSL, crypto

from broker.reactor.endpoints.classes import (
    HostnameEndpoint,
    SecuredEndpoint,
    SSL4ClientEndpoint,
    SSL4ServerEndpoint,
    TCP4ClientEndpoint,
    TCP4ServerEndpoint,
    TCP6ServerEndpoint,
    UNIXClientEndpoint,
    UNIXServerEndpoint,
    wrapClientTLS,
)
from broker.reactor.endpoints.proxies import SOCKS4, SOCKS5, HTTPConnect, ProxiedEndpoint
from broker.reactor.endpoints.web import WebSocketClientEndpoint, WebSocketServerEndpoint
from broker.reactor.ssl.certificates import Certificate, KeyPair, PrivateCertificate
from broker.reactor.ssl.options import (
    CertificateOptions,
    ClientTLSOptions,
    DiffieHellmanParameters,
    OpenSSLCertificateAuthorities,
    optionsForClientTLS,
    trustRootFromCertificates,
)
from broker.reactor.typed import ClientEndpoint, NetworkReactor, ServerEndpoint

__all__ = ["clientFromString", "quoteStringArgument", "serverFromString"]

E = TypeVar("E", ClientEndpoint, ServerEndpoint)


def serverFromString(reactor: NetworkReactor, description: str) -> ServerEndpoint:
    """Return the endpoint to listen at for a description (published).

    - ``tcp:PORT:interface=ADDRESS:backlog=50``, and ``tcp6:`` with ``interface=::``
    - ``ssl:PORT:privateKey=server.pem:certKey=FILE:extraCertChain=FILE:sslmethod=NAME:
      dhParameters=FILE:interface=ADDRESS:backlog=50``; without ``certKey`` the file of the key has
      the certificate too
    - ``unix:PATH:mode=666:backlog=50:lockfile=1``
    - ``ws:PORT:path=/:origins=ORIGINS:interface=ADDRESS:backlog=50``: WebSockets at one path, for
      the pages of the origins, with commas between. ``wss:`` has TLS, and the arguments
      ``privateKey``, ``certKey`` and ``extraCertChain`` of ``ssl:``

    Raises:
        ValueError: the kind is not known, or a value has the wrong form.
        TypeError: an argument is missing, unknown, or given twice.
        OSError: a file cannot be read.
    """
    return _parse(SERVERS, reactor, description)


def clientFromString(reactor: NetworkReactor, description: str) -> ClientEndpoint:
    """Return the endpoint to connect to for a description (published).

    - ``tcp:HOST:PORT:timeout=30:bindAddress=ADDRESS``
    - ``tls:HOST:PORT:timeout=30:bindAddress=ADDRESS:trustRoots=FOLDER:certificate=FILE:
      privateKey=FILE:endpoint=DESCRIPTION``: the certificate must be for HOST; with ``endpoint``
      the connection goes there
    - ``ssl:HOST:PORT:timeout=30:bindAddress=ADDRESS:caCertsDir=FOLDER:certKey=FILE:
      privateKey=FILE:hostname=NAME``: the certificate must be for HOST, or for NAME
    - ``unix:PATH:timeout=30:lockfile=0``
    - ``http:HOST:PORT:endpoint=DESCRIPTION:username=NAME:password=TEXT``: through the HTTP proxy at
      that ``tcp`` endpoint, by CONNECT; ``socks5:`` and ``socks4:`` in the same way, the latter
      without a password
    - ``ws:HOST:PORT:path=/:timeout=30:bindAddress=ADDRESS``: a WebSocket at the path; the port is
      80 if none is given. ``wss:`` has TLS, the port 443, and the arguments ``trustRoots``,
      ``certificate`` and ``privateKey`` of ``tls:``

    Raises:
        ValueError, TypeError, OSError: as `serverFromString`.
    """
    return _parse(CLIENTS, reactor, description)


def quoteStringArgument(argument: str) -> str:
    """Return a value for use in a description, with backslashes if needed (published)."""
    return argument.replace("\\", "\\\\").replace(":", "\\:")


def _parse(kinds: Mapping[str, Callable[..., E]], reactor: NetworkReactor, description: str) -> E:
    fields = _fields(description)
    kind, values = fields[0][1], fields[1:]
    make = kinds.get(kind)
    if make is None:
        raise ValueError(f"Unknown endpoint type: {kind!r}; it is one of {', '.join(kinds)}")
    args = [value for name, value in values if name is None]
    named: dict[str, str] = {}
    for name, value in values:
        if name is not None and named.setdefault(name, value) is not value:
            raise TypeError(f"{kind}: the argument {name!r} is given twice")
    try:
        return make(reactor, *args, **named)
    except TypeError as exc:
        raise TypeError(f"{kind}: {str(exc).partition('() ')[2] or exc}") from exc


def _fields(description: str) -> list[tuple[str | None, str]]:
    """Split a description at its colons: for each part the name, or None, and the value."""
    fields: list[tuple[str | None, str]] = []
    name, value = None, ""
    characters = iter(description)
    for character in characters:
        if character == "\\":
            following = next(characters, None)
            if following is None:
                raise ValueError("a description cannot end in a backslash")
            value += following
        elif character == ":":
            fields.append((name, value))
            name, value = None, ""
        elif character == "=" and name is None:
            name, value = value, ""
        else:
            value += character
    return [*fields, (name, value)]


# The kinds: the parameters of these functions are the arguments of a description.


def _tcp_server(
    reactor: NetworkReactor, port: str, interface: str = "", backlog: str = "50"
) -> ServerEndpoint:
    return TCP4ServerEndpoint(reactor, int(port), int(backlog), interface)


def _tcp6_server(
    reactor: NetworkReactor, port: str, interface: str = "::", backlog: str = "50"
) -> ServerEndpoint:
    return TCP6ServerEndpoint(reactor, int(port), int(backlog), interface)


def _unix_server(
    reactor: NetworkReactor,
    address: str,
    mode: str = "666",
    backlog: str = "50",
    lockfile: str = "1",
) -> ServerEndpoint:
    return UNIXServerEndpoint(reactor, address, int(backlog), int(mode, 8), bool(int(lockfile)))


def _ssl_server(
    reactor: NetworkReactor,
    port: str,
    interface: str = "",
    backlog: str = "50",
    privateKey: str = "server.pem",
    certKey: str | None = None,
    sslmethod: str | None = None,
    extraCertChain: str | None = None,
    dhParameters: str | None = None,
) -> ServerEndpoint:
    options = _server_options(
        privateKey,
        certKey,
        extraCertChain,
        method=None if sslmethod is None else _method(sslmethod),
        dhParameters=DiffieHellmanParameters(dhParameters) if dhParameters else None,
    )
    return SSL4ServerEndpoint(reactor, int(port), options, int(backlog), interface)


def _ws_server(
    reactor: NetworkReactor,
    port: str,
    path: str = "/",
    origins: str = "",
    interface: str = "",
    backlog: str = "50",
) -> ServerEndpoint:
    return WebSocketServerEndpoint(
        reactor, int(port), path, _listed(origins), int(backlog), interface
    )


def _wss_server(
    reactor: NetworkReactor,
    port: str,
    path: str = "/",
    origins: str = "",
    interface: str = "",
    backlog: str = "50",
    privateKey: str = "server.pem",
    certKey: str | None = None,
    extraCertChain: str | None = None,
) -> ServerEndpoint:
    options = _server_options(privateKey, certKey, extraCertChain)
    return WebSocketServerEndpoint(
        reactor, int(port), path, _listed(origins), int(backlog), interface, options
    )


def _listed(text: str) -> list[str]:
    return [each for each in text.split(",") if each]


def _tcp_client(
    reactor: NetworkReactor,
    host: str,
    port: str,
    timeout: str = "30",
    bindAddress: str | None = None,
) -> TCP4ClientEndpoint:
    return TCP4ClientEndpoint(reactor, host, int(port), int(timeout), bindAddress)


def _tls_client(
    reactor: NetworkReactor,
    host: str,
    port: str,
    timeout: str = "30",
    bindAddress: str | None = None,
    certificate: str | None = None,
    privateKey: str | None = None,
    trustRoots: str | None = None,
    endpoint: str | None = None,
) -> SecuredEndpoint:
    below = (
        HostnameEndpoint(reactor, host, int(port), int(timeout), bindAddress)
        if endpoint is None
        else clientFromString(reactor, endpoint)
    )
    return wrapClientTLS(_client_options(host, trustRoots, certificate, privateKey), below)


def _ssl_client(
    reactor: NetworkReactor,
    host: str,
    port: str,
    timeout: str = "30",
    bindAddress: str | None = None,
    certKey: str | None = None,
    privateKey: str | None = None,
    caCertsDir: str | None = None,
    hostname: str | None = None,
) -> SSL4ClientEndpoint:
    options = _client_options(hostname or host, caCertsDir, certKey, privateKey)
    return SSL4ClientEndpoint(reactor, host, int(port), options, int(timeout), bindAddress)


def _unix_client(
    reactor: NetworkReactor, path: str, timeout: str = "30", lockfile: str = "0"
) -> UNIXClientEndpoint:
    return UNIXClientEndpoint(reactor, path, int(timeout), int(lockfile))


def _ws_client(
    reactor: NetworkReactor,
    host: str,
    port: str = "80",
    path: str = "/",
    timeout: str = "30",
    bindAddress: str | None = None,
) -> ClientEndpoint:
    return WebSocketClientEndpoint(reactor, host, int(port), path, int(timeout), bindAddress)


def _wss_client(
    reactor: NetworkReactor,
    host: str,
    port: str = "443",
    path: str = "/",
    timeout: str = "30",
    bindAddress: str | None = None,
    certificate: str | None = None,
    privateKey: str | None = None,
    trustRoots: str | None = None,
) -> ClientEndpoint:
    options = _client_options(host, trustRoots, certificate, privateKey)
    return WebSocketClientEndpoint(
        reactor, host, int(port), path, int(timeout), bindAddress, options
    )


def _through(
    kind: type[ProxiedEndpoint],
    reactor: NetworkReactor,
    host: str,
    port: str,
    endpoint: str,
    username: str | None = None,
    password: str | None = None,
) -> ClientEndpoint:
    return kind(clientFromString(reactor, endpoint), host, int(port), username, password)


def _socks4_client(
    reactor: NetworkReactor, host: str, port: str, endpoint: str, username: str | None = None
) -> ClientEndpoint:
    return _through(SOCKS4, reactor, host, port, endpoint, username)


SERVERS: dict[str, Callable[..., ServerEndpoint]] = {
    "tcp": _tcp_server,
    "tcp6": _tcp6_server,
    "ssl": _ssl_server,
    "unix": _unix_server,
    "ws": _ws_server,
    "wss": _wss_server,
}
CLIENTS: dict[str, Callable[..., ClientEndpoint]] = {
    "tcp": _tcp_client,
    "tls": _tls_client,
    "ssl": _ssl_client,
    "unix": _unix_client,
    "http": partial(_through, HTTPConnect),
    "socks5": partial(_through, SOCKS5),
    "socks4": _socks4_client,
    "ws": _ws_client,
    "wss": _wss_client,
}


def _server_options(
    key: str, certificate: str | None, chain: str | None, **options: Any
) -> CertificateOptions:
    pair = _pair(certificate or key, key)
    return CertificateOptions(
        privateKey=pair.privateKey.original,
        certificate=pair.original,
        extraCertChain=_certificates(Path(chain)) if chain else None,
        **options,
    )


def _client_options(
    host: str, trusted: str | None, certificate: str | None, key: str | None
) -> ClientTLSOptions:
    return optionsForClientTLS(
        host,
        trustRoot=None if trusted is None else _trust_in(trusted),
        clientCertificate=_pair(certificate, key or certificate) if certificate else None,
    )


def _trust_in(folder: str) -> OpenSSLCertificateAuthorities:
    """Trust every certificate in the PEM files of a folder."""
    paths = [path for path in sorted(Path(folder).iterdir()) if path.suffix.lower() == ".pem"]
    return trustRootFromCertificates([found for path in paths for found in _certificates(path)])


def _pair(certificate: str, key: str | None) -> PrivateCertificate:
    return PrivateCertificate.fromCertificateAndKeyPair(
        Certificate.loadPEM(Path(certificate).read_bytes()),
        KeyPair.load(Path(key or certificate).read_bytes(), crypto.FILETYPE_PEM),
    )


def _certificates(path: Path) -> list[crypto.X509]:
    found = x509.load_pem_x509_certificates(path.read_bytes())
    return [crypto.X509.from_cryptography(certificate) for certificate in found]


def _method(name: str) -> int:
    method = getattr(SSL, name, None)
    if not name.endswith("_METHOD") or method is None:
        raise ValueError(f"pyOpenSSL has no method {name!r}, such as TLS_METHOD")
    return int(method)
