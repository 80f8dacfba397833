"""The server's end: one head of at most 16 KiB, in any pieces; admitted, or answered and ended."""

from __future__ import annotations

import asyncio
import logging

import pytest
from support.web_ends import PEER, Admission, frame, new_door, outcome, request, served, trusting

from broker.net.socket_addresses import IPv4Address


def test_pieces() -> None:
    """A head may come a byte at a time; the client is admitted once, before the answer."""
    admission = Admission()
    end = served(admission=admission)
    head = request()
    for at in range(len(head) - 1):
        assert end.receive(head[at : at + 1]) == b""
    assert (admission.routes, end.data_to_send()) == ([], b"")
    assert end.receive(head[-1:]) == b""
    assert [route.address for route in admission.routes] == [PEER]
    assert end.data_to_send().startswith(b"HTTP/1.1 101 ")
    assert end.is_open
    assert end.receive(frame(b"hello")) == b"hello"


def test_a_full_server() -> None:
    """Where there is no room, a right request is answered 503, and that is not logged twice."""
    end = served(admission=Admission(is_full=True))
    _, failure, sent = outcome(end, [request()])
    assert failure is not None
    assert sent.startswith(b"HTTP/1.1 503 ")
    assert not end.is_open and end.is_quiet


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 16_384, 431),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 3000, 431),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 9_000 + b"\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n", 400),
        (b"\x16\x03\x01\x02\x00", 400),
        (b"\n\nGET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\n\n\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 421),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
    ],
)
def test_refused(data: bytes, status: int) -> None:
    """What is not a right head is answered, and logged."""
    for pieces in ([data], [bytes([byte]) for byte in data]):
        end = served()
        _, failure, sent = outcome(end, pieces)
        assert failure is not None and failure.startswith(f"refused: {status} ")
        assert sent.startswith(f"HTTP/1.1 {status} ".encode())
        assert sent.count(b"HTTP/1.1") == 1
        assert not end.is_quiet


def test_pages_are_quiet() -> None:
    """A page, or a missing one, is answered and not logged; what follows is dropped."""
    for path, status in ((b"/health", b"200"), (b"/favicon.ico", b"404"), (b"/pb", b"426")):
        end = served()
        head = b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\n\r\n"
        _, failure, sent = outcome(end, [head + request()])
        assert failure == "the request was answered"
        assert sent.startswith(b"HTTP/1.1 " + status)
        assert sent.count(b"HTTP/1.1") == 1
        assert end.is_quiet and not end.is_open


def test_places() -> None:
    """A connection has a place until it is admitted, or has ended; without one it is cut."""
    told: list[object] = []

    def arrive(address: object, cut: object) -> object:
        told.append(address)
        return lambda: told.append("leaves")

    end = served(new_door(arrive=arrive))
    assert told == [PEER]
    end.receive(request())
    assert told == [PEER, "leaves"]
    end.ended()
    assert told == [PEER, "leaves"]

    served(new_door(arrive=arrive)).ended()
    assert told[2:] == [PEER, "leaves"]

    # One behind a proxy has no address as yet.
    proxy = IPv4Address("TCP", "10.0.0.1", 1)
    served(new_door(arrive=arrive, proxies=trusting("10.0.0.1")), peer=proxy)
    assert told[4:] == [None]

    admission = Admission()
    end = served(new_door(arrive=lambda address, cut: None), admission)
    assert admission.is_cut
    assert end.receive(request()) == b""
    assert admission.routes == []


READY = b"GET /ready HTTP/1.1\r\n\r\n"


async def test_an_answer_that_takes_time() -> None:
    """It is sent when it is there, and the connection ends; what came meanwhile is dropped."""
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    admission = Admission()
    end = served(new_door(state=lambda: ready), admission)
    assert end.receive(READY) == b""
    assert end.receive(request()) == b""
    await asyncio.sleep(0)
    assert (end.data_to_send(), admission.ended) == (b"", None)
    ready.set_result("ready")
    while admission.ended is None:
        await asyncio.sleep(0)
    sent = end.data_to_send()
    assert sent.startswith(b"HTTP/1.1 200 ") and sent.endswith(b"\r\n\r\nready\n")
    assert end.is_quiet and admission.routes == []


async def test_an_answer_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    """An error of the program is logged, and answered without its text."""

    async def state() -> str:
        raise ZeroDivisionError("secret")

    admission = Admission()
    end = served(new_door(state=state), admission)
    with caplog.at_level(logging.ERROR, "broker.net"):
        end.receive(READY)
        while admission.ended is None:
            await asyncio.sleep(0)
    sent = end.data_to_send()
    assert sent.startswith(b"HTTP/1.1 500 ") and b"secret" not in sent
    assert caplog.messages == ["a request could not be answered"]


async def test_the_end_before_the_answer() -> None:
    """A connection that ends is not answered, and what it waited for goes on for others."""
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    admission = Admission()
    end = served(new_door(state=lambda: asyncio.shield(ready)), admission)
    end.receive(READY)
    await asyncio.sleep(0)
    end.ended()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert admission.ended is None
    assert not ready.cancelled()


def test_a_port_with_a_smaller_head() -> None:
    """The most bytes of a head are a setting of the port."""
    end = served(new_door(most_head=100))
    _, failure, sent = outcome(end, [b"GET / HTTP/1.1\r\nX: " + b"x" * 100])
    assert failure == "refused: 431 a head of more than 100 bytes"
    assert sent.startswith(b"HTTP/1.1 431 ")
