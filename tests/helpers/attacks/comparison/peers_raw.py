"""The attacker's ends of a connection: plain sockets that can send any bytes."""

from __future__ import annotations

import hashlib
import select
import socket
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import TracebackType
from typing import Any

from attacks.attacker import NO_LIMITS, Speaker
from attacks.comparison.processes import PATIENCE
from broker.core.wire.dialects import NONE
from broker.core.wire.messages import GraphAnswer, GraphCall, GraphError
from jelly.codec import Reader
from jelly.errors import ProtocolError
from jelly.vocabulary import NONE_VOCABULARY

__all__ = ["Client", "FakeServer", "pour"]


class _Peer:
    """One end of a connection.

    Attributes:
        speaker: writes its messages.
    """

    def __init__(self, end: socket.socket, dialect: str):
        self.speaker = Speaker(dialect)
        self.socket = end
        end.settimeout(PATIENCE)
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._handshake = Reader(NO_LIMITS, NONE_VOCABULARY)
        self._messages: Any = None

    def send(self, data: bytes) -> None:
        """Send all bytes; errors caused by the other side are ignored."""
        with suppress(OSError):
            self.socket.sendall(data)

    def close(self) -> None:
        """Close."""
        self.socket.close()

    def heard(self, seconds: float) -> list[Any] | str:
        """Return messages that are received in time.

        Without messages: ``"closed"``, ``"no answer"``, or ``"not understood"`` for bytes that are
        not messages.
        """
        self.socket.settimeout(max(seconds, 0.001))
        try:
            data = self.socket.recv(1 << 20)
        except TimeoutError:
            return "no answer"
        except OSError:
            return "closed"
        try:
            return self.read(data) if data else "closed"
        except ProtocolError:
            return "not understood"

    def read(self, data: bytes) -> list[Any]:
        """Return the messages that bytes complete, as records of expressions."""
        if self._messages is None:
            self._handshake.feed(data)
            if not self._handshake.read(1):
                return []
            self._messages = self.speaker.dialect.reader(NO_LIMITS, True)
            data = self._handshake.take_rest()
        messages: list[Any] = []
        self._messages.receive(data, messages)
        return messages


class Client(_Peer):
    """A client.

    Args:
        port: the server's port.
        dialect: its dialect.
        greets: whether to choose the dialect, and send the version.
        source: its own address; the system's choice if empty.
    """

    def __init__(self, port: int, dialect: str = "pb", greets: bool = True, source: str = ""):
        from_there = (source, 0) if source else None
        end = socket.create_connection(("127.0.0.1", port), PATIENCE, from_there)
        super().__init__(end, dialect)
        self._number = 1_000_000
        if greets:
            self.send(self.speaker.greeting)

    def next_number(self) -> int:
        """A number that no attack uses."""
        self._number += 1
        return self._number

    def call(self, *values: Any, **options: Any) -> bytes:
        """The bytes of a call; see Speaker."""
        return self.speaker.call(*values, **options)

    def fate(self, number: int, seconds: float = PATIENCE) -> Any:
        """Wait for the outcome of a call.

        Returns:
            The GraphAnswer or GraphError; or the result of :meth:`heard` if neither came in time.
        """
        ends = time.monotonic() + seconds
        while (left := ends - time.monotonic()) > 0:
            messages = self.heard(left)
            if isinstance(messages, str):
                return messages
            for message in messages:
                if type(message) in (GraphAnswer, GraphError) and message.request_id == number:
                    return message
        return "no answer"

    def ask(self, *values: Any, **options: Any) -> Any:
        """Make a call, and return its outcome."""
        number = self.next_number()
        self.send(self.call(*values, number=number, **options))
        return self.fate(number)

    def log_in(self, name: bytes, password: bytes) -> int | None:
        """Log in by PB's challenge; return the number of the avatar, or None."""
        offer = self.ask(name, name=b"login")
        if type(offer) is not GraphAnswer:
            return None
        _, challenge, (_, challenger) = offer.value
        digest = hashlib.md5(hashlib.md5(password).digest() + challenge).digest()
        avatar = self.ask(digest, [b"None"], target=challenger, name=b"respond")
        return avatar.value[1] if type(avatar) is GraphAnswer else None

    @property
    def is_open(self) -> bool:
        """Whether the server has not closed; received bytes are discarded."""
        self.socket.setblocking(False)
        try:
            while self.socket.recv(1 << 20):
                pass
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    @property
    def is_cut(self) -> bool:
        """Whether the server has reset the connection; nothing is read."""
        poll = select.poll()
        poll.register(self.socket, 0)
        return bool(poll.poll(0))


def pour(clients: Iterable[Client], data: bytes, seconds: float = PATIENCE) -> None:
    """Send the same to many at once, and discard received bytes, as long as any bytes move."""
    left = {client.socket.fileno(): (client.socket, memoryview(data)) for client in clients}
    poll = select.poll()
    for number, (end, _) in left.items():
        end.setblocking(False)
        poll.register(number, select.POLLIN | select.POLLOUT)
    ends = time.monotonic() + seconds
    moved = time.monotonic()
    while left and time.monotonic() < min(ends, moved + 1.0):
        for number, event in poll.poll(100):
            end, rest = left[number]
            try:
                if event & ~select.POLLOUT:
                    if not end.recv(1 << 20):
                        raise ConnectionResetError
                    moved = time.monotonic()
                if event & select.POLLOUT and rest:
                    rest = rest[end.send(rest[: 1 << 18]) :]
                    moved = time.monotonic()
                    left[number] = end, rest
                    if not rest:
                        poll.modify(number, select.POLLIN)
            except BlockingIOError:
                continue
            except OSError:
                poll.unregister(number)
                del left[number]


Reply = Callable[["FakeServer", Any], bytes]


class FakeServer:
    """A server that attacks its one client; a context manager that runs it in a thread.

    Args:
        dialect: the dialect that it offers.
        reply: ``reply(server, call)`` returns the bytes that answer a call; empty bytes send
            nothing.

    Attributes:
        port: its port.
        speaker: writes its messages.
        hangs_up: set by ``reply`` to close the connection after its bytes have been sent.
    """

    def __init__(self, dialect: str, reply: Reply):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.speaker = Speaker(dialect)
        self.hangs_up = False
        self._reply = reply
        self._end: Any = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> FakeServer:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._listener.close()
        if self._end is not None:
            with suppress(OSError):
                self._end.shutdown(socket.SHUT_RDWR)
        self._thread.join(PATIENCE)

    def _run(self) -> None:
        with suppress(OSError):
            self._end, _ = self._listener.accept()
            peer = _Peer(self._end, self.speaker.name)
            offer = NONE.writer(NO_LIMITS).write_expression([self.speaker.dialect.name])
            peer.send(offer + self.speaker.message(b"version", 6))
            while isinstance(messages := peer.heard(60.0), list):
                for message in messages:
                    if isinstance(message, GraphCall):
                        peer.send(self._reply(self, message))
                if self.hangs_up:
                    break
            peer.close()
