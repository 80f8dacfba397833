"""aiohttp's WebSocket with a JSON message for each call and each answer, both ways.

A message is ``[number, name, arguments]`` or ``[number, result]``; bytes go as they are, behind the
number. A call numbered 0 is not answered. An item of a stream is a call of ``item`` that is not
answered, or bytes behind the number of the stream; the call that asked for the stream is answered
at its end.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from aiohttp import ClientSession, TCPConnector, WSMsgType, encode_basic_auth, hdrs, web

from bench import answers, workloads
from bench.asyncio_side import AsyncioSide, context_of
from bench.side import Options, play

USER = {hdrs.AUTHORIZATION: encode_basic_auth("alice", "secret")}
NUMBER = 8
"""Bytes of the number before bytes."""
END = object()
"""Follows the last item of a stream."""


class Peer:
    """One end of a connection: calls the other, and answers it.

    Args:
        socket: aiohttp's WebSocket, of either end.
        methods: what the other end may call.
    """

    def __init__(self, socket: Any, methods: dict[str, Callable[..., Any]]):
        self._socket = socket
        self._methods = methods
        self._last = 0
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._last_stream = 0
        self._streams: dict[int, asyncio.Queue[Any]] = {}
        methods["item"] = self._take

    async def call(self, name: str, *args: Any) -> Any:
        """Call a method of the other end."""
        self._last += 1
        answer = self._waiting[self._last] = asyncio.get_running_loop().create_future()
        if args and isinstance(args[0], bytes):
            await self._socket.send_bytes(self._last.to_bytes(NUMBER, "big") + args[0])
        else:
            await self._socket.send_str(json.dumps([self._last, name, args]))
        return await answer

    async def tell(self, name: str, *args: Any) -> None:
        """Call a method of the other end, which does not answer."""
        await self._socket.send_str(json.dumps([0, name, args]))

    async def stream(self, name: str, count: int) -> AsyncIterator[Any]:
        """Call a method of the other end that sends a stream, and yield its items."""
        self._last_stream += 1
        number = self._last_stream
        items = self._streams[number] = asyncio.Queue()
        asked = asyncio.create_task(self.call(name, number, count))
        asked.add_done_callback(lambda _: items.put_nowait(END))
        while (item := await items.get()) is not END:
            yield item
        del self._streams[number]

    async def send(self, stream: int, items: AsyncIterator[Any]) -> None:
        """Send a stream, which the other end has asked for."""
        async for item in items:
            if isinstance(item, bytes):
                await self._socket.send_bytes(stream.to_bytes(NUMBER, "big") + item)
            else:
                await self.tell("item", stream, item)

    def _take(self, stream: int, item: Any) -> None:
        self._streams[stream].put_nowait(item)

    async def read(self) -> None:
        """Handle what comes, until nothing more does."""
        async for message in self._socket:
            if message.type is WSMsgType.BINARY:
                number = int.from_bytes(message.data[:NUMBER], "big")
                if number in self._streams:
                    self._take(number, message.data[NUMBER:])
                    continue
                await self._answer(number, self._methods["length"](message.data[NUMBER:]))
                continue
            number, *rest = json.loads(message.data)
            if len(rest) == 1:
                self._waiting.pop(number).set_result(rest[0])
                continue
            result = self._methods[rest[0]](*rest[1])
            if asyncio.iscoroutine(result):
                # It may wait for answers that are read here.
                task = asyncio.create_task(self._answer_later(number, result))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            elif number:
                await self._answer(number, result)

    async def _answer_later(self, number: int, result: Awaitable[Any]) -> None:
        await self._answer(number, await result)

    async def _answer(self, number: int, result: Any) -> None:
        await self._socket.send_str(json.dumps([number, result]))


class Service(answers.Answers):
    """Answers, and tells its subscribers of events."""

    def __init__(self, login: bool):
        self._login = login
        self._subscribers: list[Peer] = []

    async def enter(self, request: web.Request) -> web.WebSocketResponse:
        """Handle a connection from its upgrade to its end."""
        if self._login and not USER.items() <= request.headers.items():
            raise web.HTTPUnauthorized
        socket = web.WebSocketResponse(compress=False, max_msg_size=0)
        await socket.prepare(request)
        peer = Peer(socket, {})
        peer._methods.update(
            echo=self.echo,
            length=self.length,
            publish=self.publish,
            tell=self.tell,
            integers=lambda stream, count: peer.send(stream, self.integers(count)),
            pieces=lambda stream, count: peer.send(stream, self.pieces(count)),
            subscribe=lambda: self._subscribers.append(peer),
        )
        await peer.read()
        return socket

    async def publish(self, count: int) -> None:
        """Send events; each to all, when all have answered the one before."""
        for number in range(count):
            await asyncio.gather(
                *[each.call("event", number, answers.TEXT) for each in self._subscribers]
            )

    async def tell(self, count: int) -> None:
        """Send events, and wait for nobody."""
        for number in range(count):
            for each in self._subscribers:
                await each.tell("event", number, answers.TEXT)


class Client:
    """Calls what the server serves over one connection."""

    def __init__(self, socket: Any):
        self._methods: dict[str, Callable[..., Any]] = {}
        peer = Peer(socket, self._methods)
        self.call = peer.call
        self.stream = peer.stream
        self._reading = asyncio.create_task(peer.read())

    def subscribe(self, hear: Callable[[int, str], object]) -> Awaitable[Any]:
        """Have a function hear events."""
        self._methods["event"] = hear
        return self.call("subscribe")


class WebSocketSide(AsyncioSide):
    """aiohttp."""

    workloads = workloads.WORKLOADS
    piece = 256 * 1024
    form = ""

    def __init__(self, options: Options, session: ClientSession):
        self._options = options
        self._session = session
        self._context = context_of(options)

    async def serve(self) -> int:
        """Serve at the root of a web server, without an access log."""
        application = web.Application()
        application.router.add_get("/", Service(bool(self._options.login)).enter)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._context).start()
        return int(self._runner.addresses[0][1])

    async def connect(self, port: int) -> Client:
        """Connect; user name and password go with the upgrade."""
        scheme = "https" if self._context else "http"
        socket = await self._session.ws_connect(
            f"{scheme}://127.0.0.1:{port}/",
            headers=USER if self._options.login else None,
            ssl=self._context or True,
            max_msg_size=0,
        )
        return Client(socket)


async def main(options: Options) -> None:
    """Be the side that the options describe."""
    async with ClientSession(connector=TCPConnector(limit=0)) as session:
        await play(WebSocketSide(options, session), options)


if __name__ == "__main__":
    asyncio.run(main(Options.given()))
