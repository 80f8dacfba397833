"""gRPC's aio interface, with protobuf messages: unary calls, and streams where those fit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from types import MappingProxyType
from typing import Any, NamedTuple

import grpc

from bench import answers, workloads
from bench.asyncio_side import AsyncioSide
from bench.contract import Bench
from bench.grpc_messages import (
    Count,
    Event,
    Numbers,
    Piece,
    Records,
    Text,
    record_dicts,
    record_list,
)
from bench.side import Options, play

TOKEN = (("authorization", "alice secret"),)
CHANNEL = [
    ("grpc.max_receive_message_length", -1),
    # Each channel is a connection of its own.
    ("grpc.use_local_subchannel_pool", 1),
]


class Method(NamedTuple):
    """A method of the service: how it is made on either side.

    Attributes:
        kind: ``unary_unary`` and so on.
        asked, answered: its messages.
        message: makes the message from what is passed.
        result: makes what the call returns from the answer.
    """

    kind: str
    asked: Any
    answered: Any
    message: Callable[[Any], Any] = lambda value: value
    result: Callable[[Any], Any] = lambda answer: answer


METHODS = {
    "Echo": Method("unary_unary", Text, Text, lambda text: Text(text=text), lambda m: m.text),
    "EchoRecords": Method("unary_unary", Records, Records, record_list, record_dicts),
    "Length": Method(
        "unary_unary", Numbers, Count, lambda some: Numbers(numbers=some), lambda m: m.count
    ),
    "Tell": Method("unary_unary", Count, Count, lambda count: Count(count=count)),
    "Upload": Method("stream_unary", Piece, Count, result=lambda m: m.count),
    "Subscribe": Method("unary_stream", Count, Event),
    "Integers": Method("unary_stream", Count, Count, result=lambda m: m.count),
    "Pieces": Method("unary_stream", Count, Piece, result=lambda m: m.data),
}
NAMES = {("echo", str): "Echo", ("echo", list): "EchoRecords", ("length", list): "Length"}
NAMES |= {("tell", int): "Tell", ("integers", int): "Integers", ("pieces", int): "Pieces"}


class Service:
    """Answers, and tells its subscribers of events."""

    def __init__(self, login: bool):
        self._login = login
        self._subscribers: list[asyncio.Queue[Any]] = []

    def handlers(self) -> dict[str, grpc.RpcMethodHandler]:
        """Return what handles each method."""
        made = {}
        for name, method in METHODS.items():
            make = getattr(grpc, f"{method.kind}_rpc_method_handler")
            made[name] = make(
                getattr(self, name), method.asked.FromString, method.answered.SerializeToString
            )
        return made

    async def _admit(self, context: Any) -> None:
        if self._login and TOKEN[0] not in context.invocation_metadata():
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "wrong token")

    async def Echo(self, request: Any, context: Any) -> Any:
        """Return what came."""
        await self._admit(context)
        return request

    EchoRecords = Echo

    async def Length(self, request: Any, context: Any) -> Any:
        """Return how many there are."""
        return Count(count=len(request.numbers))

    async def Upload(self, requests: AsyncIterator[Any], context: Any) -> Any:
        """Return how many bytes have come."""
        return Count(count=sum([len(request.data) async for request in requests]))

    async def Subscribe(self, request: Any, context: Any) -> AsyncIterator[Any]:
        """Send events, from now on."""
        waiting: asyncio.Queue[Any] = asyncio.Queue()
        self._subscribers.append(waiting)
        # Nothing but a message tells the client that it is subscribed.
        yield Event(number=-1)
        while True:
            yield await waiting.get()

    async def Integers(self, request: Any, context: Any) -> AsyncIterator[Any]:
        """Send so many ints."""
        for number in range(request.count):
            yield Count(count=number)

    async def Pieces(self, request: Any, context: Any) -> AsyncIterator[Any]:
        """Send so many pieces of bytes."""
        for _ in range(request.count):
            yield Piece(data=answers.PIECE)

    async def Tell(self, request: Any, context: Any) -> Any:
        """Send events, and wait for nobody."""
        for number in range(request.count):
            for each in self._subscribers:
                each.put_nowait(Event(number=number, text=answers.TEXT))
        return request


class Client:
    """Calls what the server serves over one connection."""

    def __init__(self, channel: grpc.aio.Channel):
        self._channel = channel
        self.methods = {
            name: getattr(channel, method.kind)(
                f"/bench.Bench/{name}",
                request_serializer=method.asked.SerializeToString,
                response_deserializer=method.answered.FromString,
            )
            for name, method in METHODS.items()
        }

    async def call(self, name: str, value: Any) -> Any:
        """Call the method that is for this type."""
        key = NAMES[name, type(value)]
        method = METHODS[key]
        return method.result(await self.methods[key](method.message(value)))

    async def stream(self, name: str, count: int) -> AsyncIterator[Any]:
        """Call the method that returns a stream, and yield what its messages hold."""
        key = NAMES[name, int]
        result = METHODS[key].result
        async for message in self.methods[key](Count(count=count)):
            yield result(message)

    async def subscribe(self, hear: Callable[[int, str], object]) -> None:
        """Have a function hear events."""
        stream = self.methods["Subscribe"](Count())
        await stream.read()
        self._hearing = asyncio.create_task(_hear(stream, hear))


async def _hear(stream: Any, hear: Callable[[int, str], object]) -> None:
    while (event := await stream.read()) is not grpc.aio.EOF:
        hear(event.number, event.text)


async def in_a_stream(bench: Bench, client: Client, pieces: list[bytes]) -> int:
    """Send pieces as one stream; return how many bytes have come."""

    async def messages() -> AsyncIterator[Any]:
        for piece in pieces:
            yield Piece(data=piece)

    return METHODS["Upload"].result(await client.methods["Upload"](messages()))


class GrpcSide(AsyncioSide):
    """gRPC."""

    workloads = MappingProxyType({**workloads.WORKLOADS, "W4": workloads.uploads(in_a_stream)})
    piece = 256 * 1024
    form = ""

    def __init__(self, options: Options):
        self._options = options
        self._credentials: Any = None
        if options.certificates and options.server:
            self._credentials = grpc.ssl_channel_credentials(options.certificate.read_bytes())
        elif options.certificates:
            pair = options.key.read_bytes(), options.certificate.read_bytes()
            self._credentials = grpc.ssl_server_credentials([pair])

    async def serve(self) -> int:
        """Serve the methods."""
        self._server = grpc.aio.server(options=CHANNEL)
        handlers = Service(bool(self._options.login)).handlers()
        self._server.add_registered_method_handlers("bench.Bench", handlers)
        if self._credentials:
            port = self._server.add_secure_port("127.0.0.1:0", self._credentials)
        else:
            port = self._server.add_insecure_port("127.0.0.1:0")
        await self._server.start()
        return port

    async def connect(self, port: int) -> Client:
        """Connect; a login is a call with a token in its metadata."""
        where = f"127.0.0.1:{port}"
        if self._credentials:
            channel = grpc.aio.secure_channel(where, self._credentials, options=CHANNEL)
        else:
            channel = grpc.aio.insecure_channel(where, options=CHANNEL)
        client = Client(channel)
        if self._options.login:
            await client.methods["Echo"](Text(), metadata=TOKEN)
        else:
            await channel.channel_ready()
        return client


if __name__ == "__main__":
    options = Options.given()
    asyncio.run(play(GrpcSide(options), options))
