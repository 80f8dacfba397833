"""Debian's nginx and HAProxy in front of a server: `make system` runs this.

nginx has a short read timeout, so that a connection that is silent would be cut. HAProxy sends the
header of the PROXY protocol. Clients come from 127.0.0.1. Each proxy connects from an address of
its own, so that only proxies are trusted.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from support.certificates import Authority, Pair

import broker
import cred
from broker.core.policy import STRICT
from cred.scram_verifier import ScramVerifier

READ_TIMEOUT = 4
NGINX_HOST, HAPROXY_HOST = "127.0.0.2", "127.0.0.3"
ADDRESS = "ws://127.0.0.1:0/pb"
ALICE = cred.UsernamePassword("alice", "wonderland")

NGINX = """
worker_processes 1;
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  map $http_upgrade $connection_upgrade {{ default upgrade; '' close; }}
  server {{
    listen 127.0.0.1:{port};
    listen 127.0.0.1:{tls_port} ssl;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    location / {{
      proxy_pass http://127.0.0.1:{target};
      proxy_bind 127.0.0.2;
      proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
      proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_read_timeout {timeout}s;
    }}
  }}
}}
"""

HAPROXY = """
global
  maxconn 64
defaults
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend pb
  mode tcp
  bind 127.0.0.1:{port}
  default_backend target
backend target
  mode tcp
  server one 127.0.0.1:{target} source 127.0.0.3 check inter 200ms {how}
"""

HAPROXY_HTTP = """
global
  maxconn 64
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout tunnel 60s
frontend web
  bind 127.0.0.1:{port}
  option forwardfor
  default_backend target
backend target
  server one 127.0.0.1:{target} source 127.0.0.3
"""


class Avatar(broker.Avatar):
    """Says who it is."""

    def perspective_who(self) -> tuple[str, str | None, bool]:
        """Return the address, the mechanism of the login, and whether the connection is private."""
        call = broker.current_call()
        port = call.connection.broker.port
        return str(call.peer.address), call.peer.mechanism, port.is_private


class Users:
    """One user, who logs in by SCRAM."""

    credentialInterfaces = (cred.interfaces.IScramProof,)
    verifier = ScramVerifier.of_password("wonderland", 10_000)

    def scramVerifier(self, username: Any) -> ScramVerifier:
        """Return the verifier."""
        return self.verifier

    def requestAvatarId(self, proof: Any) -> str:
        """Return the user."""
        return "alice"


def portal() -> cred.Portal:
    """A portal that takes passwords as they are, where that is private."""
    users = cred.InMemoryUsernamePasswordDatabaseDontUse(alice="wonderland")
    return cred.Portal(broker.realm(lambda avatar_id, mind: Avatar()), [users])


def scram_portal() -> cred.Portal:
    """A portal whose logins need no privacy."""
    users: Any = Users()
    return cred.Portal(broker.realm(lambda avatar_id, mind: Avatar()), [users])


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def number(address: str) -> int:
    """The port of an address."""
    return int(address.rpartition(":")[2].partition("/")[0])


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """A CA."""
    return Authority(tmp_path)


@pytest.fixture
def pair(authority: Authority) -> Pair:
    """A certificate for the loopback."""
    return authority.issue()


@asynccontextmanager
async def running(port: int, *command: str) -> AsyncIterator[None]:
    """Run a program until the end of the block; it listens when the block begins."""
    program = shutil.which(command[0]) or f"/usr/sbin/{command[0]}"
    process = await asyncio.create_subprocess_exec(program, *command[1:])
    try:
        while True:
            assert process.returncode is None, f"{command[0]} has ended"
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                break
        yield
    finally:
        process.terminate()
        await process.wait()


@asynccontextmanager
async def nginx(folder: Path, pair: Pair, target: int) -> AsyncIterator[tuple[int, int]]:
    """Run nginx; the value is its port, and that for TLS."""
    port, tls_port = free_port(), free_port()
    text = NGINX.format(
        folder=folder,
        port=port,
        tls_port=tls_port,
        certificate=pair.certificate_path,
        key=pair.key_path,
        target=target,
        timeout=READ_TIMEOUT,
    )
    (folder / "nginx.conf").write_text(text)
    async with running(port, "nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")):
        yield port, tls_port


@asynccontextmanager
async def haproxy(folder: Path, template: str, **settings: Any) -> AsyncIterator[int]:
    """Run HAProxy; the value is its port."""
    port = free_port()
    (folder / "haproxy.cfg").write_text(template.format(port=port, **settings))
    async with running(port, "haproxy", "-db", "-f", str(folder / "haproxy.cfg")):
        yield port


@pytest.mark.parametrize("has_pings", [True, False])
async def test_idle_behind_nginx(
    tmp_path: Path, authority: Authority, pair: Pair, has_pings: bool
) -> None:
    """An idle connection outlives the read timeout of nginx by our pings, and not without them."""
    policy = STRICT.but(ping_after=1.0 if has_pings else 60.0, ping_timeout=2.0)
    async with (
        broker.serve(portal(), ADDRESS, policy=policy, trusted_proxies=[NGINX_HOST]) as server,
        nginx(tmp_path, pair, number(server.addresses[0])) as (_, tls_port),
    ):
        tls = broker.TLS.client(ca=authority.ca_path)
        address = f"wss://127.0.0.1:{tls_port}/pb"
        async with broker.connect(address, ALICE, tls=tls, policy=policy) as connection:
            # The time itself is what is tried.
            await asyncio.sleep(2 * READ_TIMEOUT)
            assert connection.is_closed != has_pings, connection.broker.reason
            if has_pings:
                who, _, is_private = await connection.avatar.callRemote("who")
                assert (who, is_private) == ("127.0.0.1:0", True)


async def test_clients_behind_nginx(tmp_path: Path, pair: Pair) -> None:
    """What a client writes of itself does not count; pages and refusals pass through nginx."""
    async with (
        broker.serve(portal(), ADDRESS, trusted_proxies=[NGINX_HOST]) as server,
        nginx(tmp_path, pair, number(server.addresses[0])) as (port, _),
    ):
        ready = b"GET /ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        for header, status in (
            (b"X-Forwarded-For: 127.0.0.2\r\n", 200),
            (b"X-Forwarded-For: nonsense\r\n", 200),
            (b"", 200),
        ):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(ready + header + b"\r\n")
            assert (await reader.read()).startswith(f"HTTP/1.1 {status} ".encode()), header
            writer.close()
        # The outer leg is plain: the password would not be private.
        with pytest.raises(cred.LoginFailed, match="takes: no login that"):
            await broker.connect(f"ws://127.0.0.1:{port}/pb", ALICE)
        with pytest.raises(broker.ConnectError, match="the server answers 404"):
            await broker.connect(f"ws://127.0.0.1:{port}/other", ALICE)
        for connection in server.connections:
            await connection.wait_closed()


@pytest.mark.parametrize("how", ["send-proxy-v2", "send-proxy"])
@pytest.mark.parametrize("scheme", ["pb", "pbs"])
async def test_haproxy(
    tmp_path: Path, authority: Authority, pair: Pair, how: str, scheme: str
) -> None:
    """HAProxy tells the client by either version of the PROXY protocol, before TLS."""
    server_tls = broker.TLS.server(pair.certificate_path, pair.key_path)
    client_tls = broker.TLS.client(ca=authority.ca_path)
    tls, ours = (server_tls, client_tls) if scheme == "pbs" else (None, None)
    address = f"{scheme}://127.0.0.1:0"
    async with (
        broker.serve(scram_portal(), address, tls=tls, trusted_proxies=[HAPROXY_HOST]) as server,
        haproxy(tmp_path, HAPROXY, target=number(server.addresses[0]), how=how) as port,
        broker.connect(f"{scheme}://127.0.0.1:{port}", ALICE, tls=ours) as connection,
    ):
        here = connection.broker.transport.getHost()
        who, mechanism, is_private = await connection.avatar.callRemote("who")
        assert who == str(here)
        assert is_private
        assert mechanism == ("SCRAM-SHA-256-PLUS" if scheme == "pbs" else "SCRAM-SHA-256")


async def test_a_chain(tmp_path: Path, pair: Pair) -> None:
    """Behind HAProxy and nginx, the client is the address that the outer one saw."""
    async with (
        broker.serve(scram_portal(), ADDRESS, trusted_proxies=[NGINX_HOST, HAPROXY_HOST]) as server,
        nginx(tmp_path, pair, number(server.addresses[0])) as (inner, _),
        haproxy(tmp_path, HAPROXY_HTTP, target=inner) as port,
        broker.connect(f"ws://127.0.0.1:{port}/pb", ALICE) as connection,
    ):
        who, mechanism, is_private = await connection.avatar.callRemote("who")
        assert (who, mechanism, is_private) == ("127.0.0.1:0", "SCRAM-SHA-256", False)
        (far,) = server.connections
        assert far.peer.proxy.host == NGINX_HOST
