"""The floor: processor time of what asyncio does in any case, beside what a call and a login take.

Both ends are in one process, so that no scheduling of the machine's comes between. A bare call is a
length and an array that msgspec decodes, answered and matched to its future; a bare login is a TCP
connection with the four round trips that a login has, of a few bytes each. The difference to ours
is objects, references, limits, fairness and logins; the ratio says how far a target can be.

``python tests/bench/floor.py`` prints microseconds for each, interleaved, the median of the rounds.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

import broker
from cred import Portal, UsernamePassword
from cred.checkers import InMemoryUsernamePasswordDatabaseDontUse

__all__ = ["main"]

ROUNDS, CALLS, LOGINS = 7, 2000, 150

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


class Bare(asyncio.BufferedProtocol):
    """One end of a connection that knows nothing but frames."""

    def __init__(self) -> None:
        self._view = memoryview(bytearray(65536))
        self._waiting: asyncio.Future[Any] | None = None

    def connection_made(self, transport: Any) -> None:
        """Keep it."""
        self.transport = transport

    def get_buffer(self, sizehint: int) -> memoryview:
        """Lend the buffer."""
        return self._view

    def buffer_updated(self, nbytes: int) -> None:
        """Answer a call, or take the answer."""
        message = _decode(self._view[4:nbytes])
        if self._waiting is None:
            self._send((1, message[1], message[2]))
        else:
            waiting, self._waiting = self._waiting, None
            waiting.set_result(message[2])

    def call(self, value: Any) -> asyncio.Future[Any]:
        """Send a value; return the future of the answer."""
        self._waiting = asyncio.get_running_loop().create_future()
        self._send((0, 1, value))
        return self._waiting

    def _send(self, message: Any) -> None:
        data = _encode(message)
        self.transport.write(len(data).to_bytes(4, "big") + data)


class Root(broker.Root):
    """Echoes."""

    def remote_echo(self, value: Any) -> Any:
        """Return it."""
        return value


class Clerk(broker.Avatar):
    """Echoes, for who has logged in."""

    def perspective_echo(self, value: Any) -> Any:
        """Return it."""
        return value


@broker.realm
def clerks(avatar_id: Any, mind: Any) -> Clerk:
    """Give everybody a clerk."""
    return Clerk()


async def _microseconds(times: int, act: Callable[[], Awaitable[Any]]) -> float:
    begun = time.process_time()
    for _ in range(times):
        await act()
    return (time.process_time() - begun) / times * 1e6


async def measure() -> dict[str, float]:
    """Return the median microseconds of each, by name."""
    loop = asyncio.get_running_loop()
    bare = await loop.create_server(Bare, "127.0.0.1", 0)
    where = bare.sockets[0].getsockname()
    portal = Portal(clerks, [InMemoryUsernamePasswordDatabaseDontUse(alice="secret")])
    found: dict[str, list[float]] = {}
    async with (
        broker.serve(Root(), "pb://127.0.0.1:0") as open_server,
        broker.serve(portal, "pb://127.0.0.1:0") as server,
        broker.connect(open_server.addresses[0]) as connection,
    ):
        _, end = await loop.create_connection(Bare, *where)

        async def bare_login() -> None:
            transport, fresh = await loop.create_connection(Bare, *where)
            for _ in range(4):
                await fresh.call("hello")
            transport.close()

        async def login() -> None:
            credentials = UsernamePassword("alice", "secret")
            async with broker.connect(server.addresses[0], credentials) as logged_in:
                await logged_in.avatar.callRemote("echo", "hello")

        kinds: dict[str, tuple[int, Callable[[], Awaitable[Any]]]] = {
            "bare call": (CALLS, lambda: end.call("hello")),
            "call": (CALLS, lambda: connection.root.callRemote("echo", "hello")),
            "bare login": (LOGINS, bare_login),
            "login": (LOGINS, login),
        }
        for _ in range(ROUNDS):
            for name, (times, act) in kinds.items():
                found.setdefault(name, []).append(await _microseconds(times, act))
        end.transport.close()
    bare.close()
    return {name: statistics.median(values) for name, values in found.items()}


def main() -> None:
    """Measure and print."""
    for name, microseconds in asyncio.run(measure()).items():
        print(f"{name:12}{microseconds:10.1f} us")


if __name__ == "__main__":
    main()
