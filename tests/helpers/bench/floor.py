"""The floor: processor time of what asyncio does in any case, beside what is done here.

Both ends are in one process, so that no scheduling of the machine's comes between. The bare ones
are those of `bench.bare_side`. Their login is a TCP connection with the four round trips of a
login, each of a few bytes. The difference to ours is objects, references, limits, fairness and
logins; the ratio says how far a target can be.

``python -m bench.floor`` prints microseconds for each, interleaved, the median of the rounds;
with ``--uvloop`` those of that loop, with ``--general`` those of connections without a lane, and
with ``--json`` all in one line. With ``--memory`` it prints, instead, what OpenSSL keeps for
the server's end of a connection: no socket, no loop, and nothing of ours but the filter.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import statistics
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import broker
from bench.asyncio_side import runner
from bench.bare_side import End
from bench.general_path import use_general_path
from bench.identities import write_identities
from bench.meter import memory_of
from broker.defer import gatherResults
from broker.net.tls.filter import TLSFilter
from cred import Portal, UsernamePassword
from cred.checkers import InMemoryUsernamePasswordDatabaseDontUse

__all__ = ["main"]

ROUNDS, CALLS, LOGINS, EVENTS = 7, 2000, 150, 20
IN_FLIGHT, CROWD = 100, 200
CALLS_IN_FLIGHT = 20 * IN_FLIGHT
"""The calls of one measurement, made by so many tasks as are in flight."""
PIECE = bytes(64 * 1024)


class Root(broker.Root):
    """Echoes, measures, and has listeners."""

    def __init__(self) -> None:
        self.listeners: list[Any] = []

    def remote_echo(self, value: Any) -> Any:
        """Return it."""
        return value

    def remote_length(self, value: bytes) -> int:
        """Return how long it is."""
        return len(value)

    def remote_listen(self, listener: Any) -> None:
        """Keep a listener."""
        self.listeners.append(listener)


class Listener(broker.Referenceable):
    """Answers events."""

    def remote_event(self, text: str) -> str:
        """Return it."""
        return text


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
    """Return the median microseconds of each, by name: bare, and ours."""
    loop = asyncio.get_running_loop()
    root = Root()
    ends: list[End] = []

    def bare_server() -> End:
        ends.append(End({"echo": root.remote_echo, "length": len}))
        return ends[-1]

    def bare_client() -> End:
        return End({"event": Listener().remote_event})

    bare = await loop.create_server(bare_server, "127.0.0.1", 0)
    where = bare.sockets[0].getsockname()
    portal = Portal(clerks, [InMemoryUsernamePasswordDatabaseDontUse(alice="secret")])
    found: dict[str, list[float]] = {}
    async with (
        broker.serve(root, "pb://127.0.0.1:0") as open_server,
        broker.serve(portal, "pb://127.0.0.1:0") as server,
        broker.connect(open_server.addresses[0]) as connection,
    ):
        _, end = await loop.create_connection(bare_client, *where)
        crowd = [await loop.create_connection(bare_client, *where) for _ in range(CROWD)]
        connections = [await broker.connect(open_server.addresses[0]) for _ in range(CROWD)]
        for each in connections:
            await each.root.callRemote("listen", Listener())
        call = connection.root.callRemote

        async def bare_login() -> None:
            transport, fresh = await loop.create_connection(bare_client, *where)
            for _ in range(4):
                await fresh.call("echo", "hello")
            transport.close()

        async def login() -> None:
            credentials = UsernamePassword("alice", "secret")
            async with broker.connect(server.addresses[0], credentials) as logged_in:
                await logged_in.avatar.callRemote("echo", "hello")

        async def in_flight(one: Callable[..., Awaitable[Any]]) -> None:
            async def chain() -> None:
                for _ in range(CALLS_IN_FLIGHT // IN_FLIGHT):
                    await one("echo", "hello")

            await asyncio.gather(*(chain() for _ in range(IN_FLIGHT)))

        async def bare_event() -> None:
            for answer in [each.call("event", "ping") for each in ends[1 : CROWD + 1]]:
                await answer

        async def event() -> None:
            await gatherResults([each.callRemote("event", "ping") for each in root.listeners])

        kinds: dict[str, tuple[int, Callable[[], Awaitable[Any]], Callable[[], Awaitable[Any]]]] = {
            "call": (CALLS, lambda: end.call("echo", "hello"), lambda: call("echo", "hello")),
            f"{IN_FLIGHT} calls in flight": (
                1,
                lambda: in_flight(end.call),
                lambda: in_flight(call),
            ),
            "64 KiB, answered": (
                CALLS,
                lambda: end.call("length", PIECE),
                lambda: call("length", PIECE),
            ),
            f"event to {CROWD}, all answer": (EVENTS, bare_event, event),
            "login": (LOGINS, bare_login, login),
        }
        for _ in range(ROUNDS):
            for name, (times, bare_act, act) in kinds.items():
                found.setdefault(f"{name}, bare", []).append(await _microseconds(times, bare_act))
                found.setdefault(f"{name}, ours", []).append(await _microseconds(times, act))
        for transport, _ in crowd:
            transport.close()
        for each in connections:
            await each.close()
        end.transport.close()
    bare.close()
    return {name: statistics.median(values) for name, values in found.items()}


def openssl_kib(folder: Path, ends: int = 500) -> float:
    """Return the KiB of resident memory that a server's end of a connection at rest takes."""
    write_identities(folder)
    server = broker.TLS.server(folder / "server.pem", folder / "server.key")
    client = broker.TLS.client(ca=folder / "server.pem")
    makers = (
        server.filter_maker(is_server=True),
        client.filter_maker(is_server=False, host="127.0.0.1"),
    )
    kept = [_met(*makers) for _ in range(20)]
    gc.collect()
    before = memory_of(os.getpid()) or 0
    kept += [_met(*makers) for _ in range(ends)]
    gc.collect()
    return ((memory_of(os.getpid()) or 0) - before) / ends / 1024


def _met(make_server: Callable[[], TLSFilter], make_client: Callable[[], TLSFilter]) -> TLSFilter:
    server, client = make_server(), make_client()
    while not (server.is_open and client.is_open):
        server.receive(client.data_to_send())
        client.receive(server.data_to_send())
    server.shrink()
    client.send(b"hello")
    server.receive(client.data_to_send())
    server.send(b"hello")
    client.receive(server.data_to_send())
    return server


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--uvloop", action="store_true")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--general", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.memory:
        with TemporaryDirectory() as folder:
            print(f"an end of TLS, OpenSSL alone {openssl_kib(Path(folder)):14.1f} KiB")
        return
    if options.general:
        use_general_path()
    with runner(options.uvloop) as running:
        found = running.run(measure())
    if options.json:
        print(json.dumps(found))
        return
    for name, microseconds in found.items():
        print(f"{name:32}{microseconds:10.1f} us")


if __name__ == "__main__":
    main()
