"""SOCKS, as small proxies answer it: the words for each refusal, and the request of SOCKS 4a."""

from __future__ import annotations

import pytest
from support.proxies import small_proxy, socks4a, socks5_saying

import broker
from broker.errors import ConnectError, ConnectionRefusedError, NoRouteError

HELLO = b"\x05\x00"
NO_SOCKS = "the proxy does not answer in SOCKS"
LOGIN = "me:secret@"

SOCKS5 = [
    ("", [HELLO, b"\x05\x01\x00"], ConnectError, "the proxy failed"),
    ("", [HELLO, b"\x05\x02\x00"], ConnectError, "the proxy's rules do not allow it"),
    ("", [HELLO, b"\x05\x03\x00"], NoRouteError, "network unreachable"),
    ("", [HELLO, b"\x05\x04\x00"], NoRouteError, "host unreachable"),
    ("", [HELLO, b"\x05\x05\x00"], ConnectionRefusedError, "connection refused"),
    ("", [HELLO, b"\x05\x06\x00"], ConnectError, "the server does not answer the proxy"),
    ("", [HELLO, b"\x05\x07\x00"], ConnectError, "the proxy makes no connections"),
    ("", [HELLO, b"\x05\x08\x00"], ConnectError, "the proxy does not know this kind of address"),
    ("", [HELLO, b"\x05\x99\x00"], ConnectError, NO_SOCKS),
    ("", [HELLO, b"\x05\x00\x00\x03\x02\xff\xfe\x00\x00"], ConnectError, NO_SOCKS),
    ("", [HELLO, b"\x05\x00\x00\x09"], ConnectError, NO_SOCKS),
    ("", [b"\x05\xff"], ConnectError, "the proxy needs a user and a password"),
    ("", [b"\x05\x02"], ConnectError, NO_SOCKS),
    ("", [b"HTTP/1.1 400 Bad Request\r\n\r\n"], ConnectError, NO_SOCKS),
    ("", [b"\x05"], ConnectError, "closed the connection; does it need a user and a password?"),
    (LOGIN, [b"\x05\xff"], ConnectError, "the proxy needs another way to log in"),
    (LOGIN, [b"\x05\x02", b"\x01\x01"], ConnectError, "does not accept this user and password"),
    (LOGIN, [b"\x05\x02"], ConnectError, "the proxy closed the connection; wrong password?"),
    (LOGIN, [b"\x05\x02", b"\x07\x00"], ConnectError, NO_SOCKS),
]
SOCKS4 = [
    (b"\x00\x5b" + bytes(6), "the proxy refused, or cannot reach it"),
    (b"\x00\x5c" + bytes(6), "the proxy cannot verify the user"),
    (b"\x00\x5d" + bytes(6), "the proxy does not accept the user"),
    (b"\x00\x99" + bytes(6), NO_SOCKS),
    (b"\x05\x00" + bytes(6), NO_SOCKS),
    (b"\x00\x5a", "the proxy closed the connection"),
]


@pytest.mark.parametrize(("login", "answers", "kind", "why"), SOCKS5)
async def test_socks5(login: str, answers: list[bytes], kind: type[Exception], why: str) -> None:
    """Each answer is an error that names the server and the proxy, and not the password."""
    async with small_proxy(socks5_saying(*answers)) as port:
        with pytest.raises(ConnectError) as caught:
            await broker.connect("pb://127.0.0.1:7", proxy=f"socks5://{login}127.0.0.1:{port}")
    assert type(caught.value) is kind
    text = str(caught.value)
    assert text.startswith(f"cannot connect to 127.0.0.1:7 through 127.0.0.1:{port}: ")
    assert text.endswith(why)
    assert "secret" not in text


@pytest.mark.parametrize(("answer", "why"), SOCKS4)
async def test_socks4(answer: bytes, why: str) -> None:
    """So are those of SOCKS 4."""
    async with small_proxy(socks5_saying(answer)) as port:
        with pytest.raises(ConnectError) as caught:
            await broker.connect("pb://127.0.0.1:7", proxy=f"socks4://127.0.0.1:{port}")
    assert str(caught.value) == (f"cannot connect to 127.0.0.1:7 through 127.0.0.1:{port}: {why}")


class Echo(broker.Root):
    """What is served."""

    def remote_echo(self, text: str) -> str:
        """Return it."""
        return text


@pytest.mark.parametrize(
    ("host", "scheme", "request_"),
    [
        ("127.0.0.1", "socks4://", b"\x7f\0\0\1\0"),
        ("127.0.0.1", "socks4a://me@", b"\x7f\0\0\1me\0"),
        ("localhost", "socks4a://", b"\0\0\0\1\0localhost\0"),
    ],
)
async def test_socks4a(host: str, scheme: str, request_: bytes) -> None:
    """The name is in the request, so that the proxy looks it up; an address is sent as before."""
    asked: list[bytes] = []
    async with broker.serve(Echo(), "pb://127.0.0.1:0") as server, small_proxy(socks4a(asked)) as p:
        address = server.addresses[0].replace("127.0.0.1", host)
        async with broker.connect(address, proxy=f"{scheme}127.0.0.1:{p}") as connection:
            assert await connection.root.callRemote("echo", "hi") == "hi"
    (request,) = asked
    assert (request[:2], request[4:]) == (b"\x04\x01", request_)
