"""The client's end: it asks for a WebSocket of Perspective Broker, and takes nothing else."""

from __future__ import annotations

import pytest
from support.web_ends import PLACE, frame, joined, served

from broker.net.locations import WebPlace
from broker.net.websocket.client import ClientFilter, Refusal
from broker.net.websocket.filter import PingLimit

PINGS = PingLimit(40, 20.0)


def asked(place: WebPlace = PLACE) -> tuple[ClientFilter, bytes]:
    """Return a client, and its request."""
    client = ClientFilter(place, PINGS)
    return client, client.data_to_send()


@pytest.mark.parametrize(
    ("place", "host", "path"),
    [
        (WebPlace("broker.example", None, "/", False), "broker.example", "/"),
        (WebPlace("broker.example", None, "/pb", True), "broker.example", "/pb"),
        (WebPlace("broker.example", 8443, "/a%20b", True), "broker.example:8443", "/a%20b"),
        (WebPlace("::1", 8788, "/pb", False), "[::1]:8788", "/pb"),
    ],
)
def test_request(place: WebPlace, host: str, path: str) -> None:
    """The request has the path, the host, and the subprotocol; no origin, extension or version."""
    _, request = asked(place)
    assert request.startswith(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n".encode())
    assert b"Sec-WebSocket-Protocol: pb\r\n" in request
    for absent in (b"Origin", b"Extensions", b"User-Agent", b"Authorization"):
        assert absent not in request


def test_data_behind_the_answer() -> None:
    """What comes with the answer is data, whatever the pieces."""
    client, request = asked()
    server = served()
    server.receive(request)
    server.send(b"offer")
    sent = server.data_to_send()
    data = b"".join(client.receive(sent[at : at + 1]) for at in range(len(sent)))
    assert data == b"offer" and client.is_open


@pytest.mark.parametrize(
    ("answer", "text", "status"),
    [
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", "the server answers 403 Forbidden", 403),
        (b"HTTP/1.1 404 \x1b[31mred\r\n\r\n", "the server does not answer in HTTP", None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n", "answers 200 OK", 200),
        (b"HTTP/1.1 101 x\r\n\r\n", "not a WebSocket: ", None),
        (b"\x0e\x80\x02\x82pb", "the server does not answer in HTTP", None),
        (b"SSH-2.0-x\r\n", "the server does not answer in HTTP", None),
        (b"HTTP/1.1 101 x\r\nX: " + bytes(17_000), "the server does not answer in HTTP", None),
    ],
)
def test_refused(answer: bytes, text: str, status: int | None) -> None:
    """Another answer is a Refusal with its reason, which is printable."""
    client, _ = asked()
    with pytest.raises(Refusal) as caught:
        client.receive(answer)
    assert text in str(caught.value)
    assert str(caught.value).isprintable()
    assert caught.value.status == status
    assert not client.is_open


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        (b"Sec-WebSocket-Protocol: pb\r\n", b"", "is not one of Perspective Broker"),
        (b"Protocol: pb", b"Protocol: soap", "not a WebSocket: "),
        (b"Sec-WebSocket-Accept: ", b"Sec-WebSocket-Accept: x", "not a WebSocket: "),
        (b"Upgrade: websocket\r\n", b"", "not a WebSocket: "),
        (
            b"Upgrade: websocket\r\n",
            b"Upgrade: websocket\r\nSec-WebSocket-Extensions: permessage-deflate\r\n",
            "not a WebSocket: ",
        ),
    ],
)
def test_wrong_handshakes(old: bytes, new: bytes, text: str) -> None:
    """An answer 101 that is not right in each part is refused."""
    client, request = asked()
    server = served()
    server.receive(request)
    sent = server.data_to_send()
    assert old in sent
    with pytest.raises(Refusal, match=text):
        client.receive(sent.replace(old, new))


def test_masked_frames_of_a_server() -> None:
    """A server that masks is refused, as a client that does not."""
    client, _ = joined()
    with pytest.raises(Exception, match="incorrect masking"):
        client.receive(frame(b"hello"))
