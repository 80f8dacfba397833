"""Sockets on which TLS is spoken by hand."""

from __future__ import annotations

import socket

from broker.net.sockets import bind_stream, start_accepting

__all__ = ["raw_server"]


async def raw_server(factory, server_tls, **kw):
    """Join a recorder behind a TLS port with a plain blocking socket."""
    servers = factory()
    listener = start_accepting(bind_stream("127.0.0.1", 0), servers, tls=server_tls, **kw)
    sock = socket.create_connection(("127.0.0.1", listener.addresses[0].port))
    sock.settimeout(5)
    server = await servers.next()
    listener.close()
    return sock, server
