"""Happy Eyeballs, with addresses of 127.0.0.0/8 that answer, refuse, or are black holes."""

from __future__ import annotations

import asyncio
import builtins
import errno
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from broker.net import happy_eyeballs
from broker.net.happy_eyeballs import (
    ATTEMPT_DELAY,
    Resolved,
    connect_first,
    connect_here,
    interleaved,
    is_here,
)
from broker.net.stream_socket import StreamSocket


def entry(host: str, port: int) -> Resolved:
    """An IPv4 address as the system returns it."""
    return (socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port))


@pytest.fixture
def port() -> Iterator[int]:
    """A port at which 127.0.0.1 is a black hole, 127.0.0.2 and .4 answer, and .3 refuses."""
    with ExitStack() as stack:
        deaf = stack.enter_context(socket.socket())
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        port = deaf.getsockname()[1]
        # A queue of length 0 with one connection in it: the kernel ignores further ones.
        stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        for host in ("127.0.0.2", "127.0.0.4"):
            stack.enter_context(socket.create_server((host, port)))
        yield port


def test_families_take_turns() -> None:
    """The family of the first address begins, then they alternate; the rest keeps its order."""
    entries = [
        (family, 1, 6, "", (name, 1)) for family, name in zip("666446", "abcdef", strict=True)
    ]
    tried = "".join(each[4][0] for each in interleaved(entries))
    assert tried == "adbecf"


async def test_black_hole_first(each_loop, port: int) -> None:
    """A first address that is a black hole costs one delay, not a share of the time."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    found = [entry("127.0.0.1", port), entry("127.0.0.2", port)]
    with await connect_first(found, ends=began + 60) as sock:
        assert sock.getpeername() == ("127.0.0.2", port)
    # Far more than it may take: a share of the time would be 30 s.
    assert loop.time() - began < 10


async def test_refused_first(each_loop, port: int) -> None:
    """A first address that refuses costs no delay."""
    found = [entry("127.0.0.3", port), entry("127.0.0.2", port)]
    with await connect_first(found, delay=1e6) as sock:
        assert sock.getpeername() == ("127.0.0.2", port)


async def test_an_attempt_goes_on(each_loop, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow attempt is not cancelled: it is used if those after it fail."""
    connect = happy_eyeballs._connected

    refused = asyncio.Event()

    async def attempt(entry: Resolved, local: object) -> socket.socket:
        if entry[4][0] == "127.0.0.2":
            await refused.wait()
        try:
            return await connect(entry, None)
        except OSError:
            refused.set()
            raise

    monkeypatch.setattr(happy_eyeballs, "_connected", attempt)
    found = [entry("127.0.0.2", port), entry("127.0.0.3", port)]
    with await connect_first(found, delay=0.001) as sock:
        assert sock.getpeername() == ("127.0.0.2", port)


async def test_the_others_are_closed(each_loop, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two that succeed at once one is returned, and the other is closed."""
    connect = happy_eyeballs._connected
    made: list[socket.socket] = []

    both = asyncio.Barrier(2)
    before = asyncio.all_tasks()

    async def attempt(entry: Resolved, local: object) -> socket.socket:
        sock = await connect(entry, None)
        made.append(sock)
        await both.wait()
        return sock

    monkeypatch.setattr(happy_eyeballs, "_connected", attempt)
    found = [entry("127.0.0.2", port), entry("127.0.0.4", port)]
    with await connect_first(found, delay=0.001) as sock:
        for _ in range(3):
            await asyncio.sleep(0)
        (other,) = (each for each in made if each is not sock)
        assert other.fileno() == -1
        assert sock.fileno() >= 0
    assert asyncio.all_tasks() == before


async def test_no_address_answers(each_loop, port: int) -> None:
    """When time is up a TimeoutError is raised, or the refusal of another address."""
    loop = asyncio.get_running_loop()
    hole = entry("127.0.0.1", port)
    with pytest.raises(builtins.TimeoutError):
        await connect_first([hole], ends=loop.time() + 0.05)
    with pytest.raises(builtins.ConnectionRefusedError):
        await connect_first([hole, entry("127.0.0.3", port)], ends=loop.time() + 0.5)
    with pytest.raises(builtins.ConnectionRefusedError):
        await connect_first([entry("127.0.0.3", port), entry("127.0.0.5", port)])


async def test_cancelled(each_loop, port: int) -> None:
    """A cancelled caller leaves no attempt behind."""
    before = asyncio.all_tasks()
    found = [entry("127.0.0.1", port)] * 3
    task = asyncio.create_task(connect_first(found, delay=0.001))
    while len(asyncio.all_tasks() - before) < 4:
        await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    for _ in range(3):
        await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


async def test_this_machine_at_once(each_loop, port: int, tmp_path, monkeypatch) -> None:
    """A connection within this machine takes no turn of the loop; an error takes one."""
    calls: list[object] = []
    loop = asyncio.get_running_loop()
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()
        loop.call_soon(calls.append, None)
        for given in (entry("127.0.0.2", port), (socket.AF_UNIX, socket.SOCK_STREAM, 0, "", path)):
            with await connect_here([given]) as sock:
                assert sock.getpeername() == given[4]
        assert not calls
    with pytest.raises(builtins.ConnectionRefusedError):
        await connect_here([entry("127.0.0.3", port)])
    assert calls


async def test_a_full_queue(each_loop, port: int) -> None:
    """A port of this machine that does not answer at once has the whole time."""
    loop = asyncio.get_running_loop()
    with pytest.raises(builtins.TimeoutError):
        await connect_here([entry("127.0.0.1", port)], ends=loop.time() + 0.05)


async def test_a_queue_that_is_emptied(each_loop) -> None:
    """An attempt that has waited for the queue of the port succeeds later."""
    loop = asyncio.get_running_loop()
    with socket.socket() as deaf, socket.socket() as first:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        first.connect(deaf.getsockname())
        task = asyncio.create_task(
            connect_here([entry(*deaf.getsockname())], ends=loop.time() + 60)
        )
        await asyncio.sleep(0)
        assert not task.done()
        deaf.accept()[0].close()
        with await task as sock:
            assert sock.getpeername() == deaf.getsockname()


@pytest.mark.parametrize("number", [errno.EISCONN, errno.ECONNREFUSED])
async def test_connected_when_the_loop_asks(port: int, monkeypatch, number: int) -> None:
    """The loop may find that the attempt is complete, which some systems call an error."""

    class Late(StreamSocket):
        def connect_ex(self, address: object) -> int:
            return errno.EINPROGRESS

    async def sock_connect(sock: socket.socket, address: object) -> None:
        raise OSError(number, "as the system says")

    monkeypatch.setattr(happy_eyeballs, "StreamSocket", Late)
    monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", sock_connect)
    attempt = connect_here([entry("127.0.0.2", port)])
    if number == errno.EISCONN:
        (await attempt).close()
    else:
        with pytest.raises(builtins.ConnectionRefusedError):
            await attempt


@pytest.mark.parametrize(
    ("hosts", "expected"),
    [(["127.0.0.9"], True), (["192.0.2.1"], False), (["127.0.0.1", "127.0.0.2"], False)],
)
def test_what_is_here(hosts: list[str], expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """One address of the loopback answers at once; on Windows the loop must begin the attempt."""
    assert is_here([entry(host, 1) for host in hosts]) == expected
    monkeypatch.setattr(happy_eyeballs, "_IS_POSIX", False)
    assert not is_here([entry(host, 1) for host in hosts])


def test_the_delay_is_that_of_the_rfc() -> None:
    """RFC 8305 recommends 250 ms."""
    assert ATTEMPT_DELAY == 0.25
