"""asyncio alone: messages on a socket, without a library. It shows how far a target can be.

A message is a length of four bytes and an array that msgspec encodes: ``[number, name, arguments]``
is a call, ``[number, result]`` an answer. What is due in a turn of the loop is one write. There are
no objects, references, limits, flow control or errors; a login is one call with name and password.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from bench import answers, workloads
from bench.asyncio_side import AsyncioSide, context_of, runner
from bench.side import Options, play

__all__ = ["BareSide", "End"]

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode
_SECRET = "secret"


class End(asyncio.BufferedProtocol):
    """One end of a connection: calls the other, and answers it.

    Args:
        methods: what the other end may call.
    """

    def __init__(self, methods: dict[str, Callable[..., Any]]):
        self.methods = methods
        self._view = memoryview(bytearray(256 * 1024))
        self._rest = b""
        self._due: list[bytes] = []
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._count = 0
        self._has_flush = False

    def connection_made(self, transport: Any) -> None:
        """Keep it."""
        self.transport = transport
        self.loop = asyncio.get_running_loop()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Lend the buffer."""
        return self._view

    def buffer_updated(self, nbytes: int) -> None:
        """Answer calls, and take answers."""
        data = self._rest + bytes(self._view[:nbytes])
        pos, end = 0, len(data)
        while end - pos >= 4:
            stop = pos + 4 + int.from_bytes(data[pos : pos + 4], "big")
            if stop > end:
                break
            message = _decode(data[pos + 4 : stop])
            pos = stop
            if len(message) == 2:
                self._waiting.pop(message[0]).set_result(message[1])
            else:
                self._answer(*message)
        self._rest = data[pos:]
        self._flush()

    def call(self, name: str, *args: Any) -> asyncio.Future[Any]:
        """Call a method of the other end; return the future of the answer."""
        self._count += 1
        future = self._waiting[self._count] = self.loop.create_future()
        self._send((self._count, name, args))
        return future

    def tell(self, name: str, *args: Any) -> None:
        """Call a method of the other end, which does not answer."""
        self._send((0, name, args))

    def _answer(self, number: int, name: str, args: list[Any]) -> None:
        result = self.methods[name](*args)
        if asyncio.iscoroutine(result):
            task = self.loop.create_task(result)
            task.add_done_callback(lambda done: self._send((number, done.result())))
        elif number:
            self._due.append(_frame((number, result)))

    def _send(self, message: Any) -> None:
        if not self._has_flush:
            self._has_flush = True
            self.loop.call_soon(self._flush)
        self._due.append(_frame(message))

    def _flush(self) -> None:
        self._has_flush = False
        if self._due:
            self.transport.write(b"".join(self._due))
            self._due.clear()


def _frame(message: Any) -> bytes:
    data = _encode(message)
    return len(data).to_bytes(4, "big") + data


class Service(answers.Answers):
    """Answers, and tells its subscribers of events."""

    def __init__(self) -> None:
        self._subscribers: list[End] = []

    def enter(self) -> End:
        """Return the end of a new connection."""
        end = End({"echo": self.echo, "length": self.length, "log_in": self.log_in})
        end.methods.update(publish=self.publish, tell=self.tell)
        end.methods["subscribe"] = lambda: self._subscribers.append(end)
        return end

    def log_in(self, name: str, password: str) -> bool:
        """Check a password."""
        return password == _SECRET

    async def publish(self, count: int) -> None:
        """Send events; each to all, when all have answered the one before."""
        for number in range(count):
            calls = [each.call("event", number, answers.TEXT) for each in self._subscribers]
            for call in calls:
                await call

    def tell(self, count: int) -> None:
        """Send events, and wait for nobody."""
        for number in range(count):
            for each in self._subscribers:
                each.tell("event", number, answers.TEXT)


class Client:
    """Calls what the server serves over one connection."""

    def __init__(self, end: End):
        self._end = end
        self.call = end.call

    def subscribe(self, hear: Callable[[int, str], object]) -> Awaitable[Any]:
        """Have a function hear events."""
        self._end.methods["event"] = hear
        return self.call("subscribe")


class BareSide(AsyncioSide):
    """asyncio, or uvloop."""

    workloads = workloads.WORKLOADS
    piece = 64 * 1024
    form = ""

    def __init__(self, options: Options):
        self._options = options
        self._context = context_of(options)

    async def serve(self) -> int:
        """Serve."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            Service().enter, "127.0.0.1", 0, ssl=self._context, backlog=1024
        )
        return int(self._server.sockets[0].getsockname()[1])

    async def connect(self, port: int) -> Client:
        """Connect, and log in if the options say so."""
        loop = asyncio.get_running_loop()
        _, end = await loop.create_connection(lambda: End({}), "127.0.0.1", port, ssl=self._context)
        if self._options.login:
            workloads.check(await end.call("log_in", "alice", _SECRET), True)
        return Client(end)


def main(options: Options) -> None:
    """Be the side that the options describe."""
    with runner(options.uvloop) as running:
        running.run(play(BareSide(options), options))


if __name__ == "__main__":
    main(Options.given())
