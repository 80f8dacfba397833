"""Cap'n Proto's Python, pycapnp: its RPC in asyncio, two parties to a connection."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import capnp

from bench import answers, workloads
from bench.asyncio_side import AsyncioSide, context_of
from bench.side import Options, play

capnp.remove_import_hook()
MESSAGES = capnp.load(str(Path(__file__).with_name("messages.capnp")))
NAME, PASSWORD = "alice", "secret"


class Service(MESSAGES.Service.Server):  # type: ignore[misc]
    """Answers, and tells its subscribers of events."""

    def __init__(self, subscribers: list[Any]) -> None:
        self._subscribers = subscribers

    async def echo(self, text: str, **context: Any) -> str:
        """Return what came."""
        return text

    async def records(self, records: Any, **context: Any) -> Any:
        """Return what came."""
        return records

    async def numbers(self, numbers: Any, **context: Any) -> int:
        """Return how many there are."""
        return len(numbers)

    async def upload(self, data: bytes, **context: Any) -> int:
        """Return how many there are."""
        return len(data)

    async def subscribe(self, listener: Any, **context: Any) -> None:
        """Tell the listener of events from now on."""
        self._subscribers.append(listener)

    async def publish(self, count: int, **context: Any) -> int:
        """Send events; each to all, when all have answered the one before."""
        for number in range(count):
            await asyncio.gather(*(each.event(number, answers.TEXT) for each in self._subscribers))
        return count


class Listener(MESSAGES.Listener.Server):  # type: ignore[misc]
    """Hears events.

    Args:
        hear: called with each, its number and its text.
    """

    def __init__(self, hear: Callable[[int, str], object]) -> None:
        self._hear = hear

    async def event(self, number: int, text: str, **context: Any) -> None:
        """Hear one."""
        self._hear(number, text)


class Door(MESSAGES.Door.Server):  # type: ignore[misc]
    """Gives the service to who knows the password."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def open(self, name: str, password: str, **context: Any) -> Service:
        """Return the service, or raise."""
        if (name, password) != (NAME, PASSWORD):
            raise PermissionError("wrong user name or password")
        return self._service


class Client:
    """Calls what the server serves over one connection.

    A value is put into a message for each call, and read out of the answer into what Python uses,
    as is done for the other libraries.
    """

    def __init__(self, ends: Any, service: Any):
        self._ends = ends
        self._service = service
        self._calls = {
            ("echo", str): self._echo,
            ("echo", list): self._records,
            ("length", list): self._numbers,
            ("length", bytes): self._upload,
            ("publish", int): self._publish,
        }

    def call(self, name: str, value: Any) -> Awaitable[Any]:
        """Call the method that is for this type."""
        return self._calls[name, type(value)](value)

    async def _echo(self, text: str) -> str:
        answer = await self._service.echo(text)
        return str(answer.text)

    async def _records(self, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        answer = await self._service.records(records)
        return [each.to_dict() for each in answer.records]

    async def _numbers(self, numbers: list[int]) -> int:
        return int((await self._service.numbers(numbers)).count)

    async def _upload(self, data: bytes) -> int:
        return int((await self._service.upload(data)).count)

    async def _publish(self, count: int) -> int:
        return int((await self._service.publish(count)).count)

    async def subscribe(self, hear: Callable[[int, str], object]) -> None:
        """Have a function hear events."""
        await self._service.subscribe(Listener(hear))


class CapnpSide(AsyncioSide):
    """Cap'n Proto."""

    workloads = workloads.WORKLOADS
    piece = 256 * 1024
    form = ""

    def __init__(self, options: Options):
        self._options = options
        self._service: Any = None
        self._ssl = context_of(options)

    async def serve(self) -> int:
        """Serve the service, or a door to it."""
        subscribers: list[Any] = []

        async def welcome(stream: Any) -> None:
            service = Service(subscribers)
            served = Door(service) if self._options.login else service
            await capnp.TwoPartyServer(stream, bootstrap=served).on_disconnect()

        self._server = await capnp.AsyncIoStream.create_server(
            welcome, "127.0.0.1", 0, ssl=self._ssl
        )
        return int(self._server.sockets[0].getsockname()[1])

    async def connect(self, port: int) -> Client:
        """Connect; the door gives the service for user name and password."""
        stream = await capnp.AsyncIoStream.create_connection("127.0.0.1", port, ssl=self._ssl)
        ends = capnp.TwoPartyClient(stream)
        if self._options.login:
            door = ends.bootstrap().cast_as(MESSAGES.Door)
            service = (await door.open(NAME, PASSWORD)).service
        else:
            service = ends.bootstrap().cast_as(MESSAGES.Service)
        return Client(ends, service)


if __name__ == "__main__":
    options = Options.given()
    asyncio.run(capnp.run(play(CapnpSide(options), options)))
