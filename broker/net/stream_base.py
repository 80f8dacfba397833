"""How each piece of bytes goes from a socket to the protocol of its connection, and back.

Each class whose name begins with ``Python`` has a form in C, in ``broker._lane``; it is the
specification of that form, and used where that is missing. The classes on top of them are
`broker.net.socket_source.SocketSource` and `broker.net.transports.StreamTransport`.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any, Protocol

from broker.native import native
from broker.net.read_buffer import SLICE_SIZE, scratch
from broker.net.stream_socket import StreamSocket

if TYPE_CHECKING:
    from broker.net.filters import Source

__all__ = ["PythonSourceBase", "PythonStreamBase", "Receiver", "SourceBase", "StreamBase"]


class Receiver(Protocol):
    """The protocol of a source, as asyncio's BufferedProtocol: a stream, or its filters."""

    def connection_made(self, source: Any, /) -> object:
        """Use the source."""

    def get_buffer(self, sizehint: int, /) -> memoryview:
        """Return the buffer for the next bytes."""

    def buffer_updated(self, nbytes: int, /) -> object:
        """Take the bytes in the buffer."""

    def eof_received(self) -> bool | None:
        """Take no more: the peer has closed its half. False closes this end too."""

    def pause_writing(self) -> object:
        """Stop writing: too many bytes are unsent."""

    def resume_writing(self) -> object:
        """Go on writing: few bytes are unsent."""

    def connection_lost(self, exc: Exception | None, /) -> object:
        """Report the end."""


class PythonSourceBase:
    """The work of a source with each piece of bytes that it reads or writes."""

    __slots__ = ()

    if TYPE_CHECKING:
        _is_closing: bool
        _is_half_closed: bool
        _is_over: bool
        _receiver: Receiver
        _sock: socket.socket
        _unsent: int

    def write(self, data: bytes, /) -> None:
        """Send bytes after earlier writes; drop them once this end closes.

        Raises:
            TypeError: ``data`` is not bytes.
            RuntimeError: ``write_eof`` was called.
        """
        if type(data) is not bytes or self._is_half_closed or self._is_over:
            allowed = self._allowed(data)
            if allowed is None:
                return
            data = allowed
        sent = 0
        if not self._unsent:
            try:
                sent = self._sock.send(data)
            except (BlockingIOError, InterruptedError):
                pass
            except OSError as exc:
                self._cut(exc)
                return
            if sent == len(data):
                return
        self._keep(data, sent)

    def _readable(self) -> None:
        """Read from the socket, and deliver the bytes. Called by the loop."""
        if self._is_closing:
            return
        try:
            count = self._sock.recv_into(self._receiver.get_buffer(-1))
        except (BlockingIOError, InterruptedError):
            return
        except OSError as exc:
            self._cut(exc)
            return
        try:
            if count:
                self._receiver.buffer_updated(count)
            else:
                self._peer_ended()
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as exc:  # noqa: BLE001 - reported, and ends only this connection
            self._failed(exc)

    def _allowed(self, data: Any) -> bytes | None:
        """Return the bytes to write; None if they are dropped."""
        raise NotImplementedError

    def _keep(self, data: bytes, sent: int) -> None:
        """Send the bytes later that are behind the first ``sent`` ones."""
        raise NotImplementedError

    def _peer_ended(self) -> None:
        """Deliver the end: the peer has closed its half."""
        raise NotImplementedError

    def _cut(self, exc: Exception | None) -> None:
        """Close now, for an error of the system."""
        raise NotImplementedError

    def _failed(self, exc: BaseException) -> None:
        """Close now, for an error of the receiver."""
        raise NotImplementedError


class PythonStreamBase:
    """The work of a stream with each piece of bytes that it delivers or writes."""

    __slots__ = ()

    if TYPE_CHECKING:
        _own_buffer: memoryview | None
        _source: Source
        disconnecting: bool
        is_closing: bool
        protocol: Any
        reads_ahead: bool

    def write(self, data: bytes) -> None:
        """Send ``data`` after earlier writes; drop it once the connection closes.

        Raises:
            TypeError: ``data`` is not bytes.
            RuntimeError: this process was forked after the connection was made.
        """
        if not self.is_closing:
            self._source.write(data)
        else:
            self._check_forked()

    def get_buffer(self, sizehint: int, /) -> memoryview:
        """Return the buffer of this thread."""
        return self._own_buffer or (scratch.large if self.reads_ahead else scratch.view)

    def buffer_updated(self, nbytes: int, /) -> None:
        """Deliver the bytes that were read into the buffer."""
        if nbytes > SLICE_SIZE:
            self._take_slices(nbytes)
            return
        if self.disconnecting or self.protocol is None:
            self._drop(nbytes)
            return
        view = self._own_buffer or scratch.view
        try:
            self.protocol.dataReceived(bytes(view[:nbytes]))
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as exc:  # noqa: BLE001 - one connection's protocol must not harm another's
            self._protocol_raised(exc)

    def _take_slices(self, nbytes: int) -> None:
        """Deliver the bytes of a large buffer in several pieces."""
        raise NotImplementedError

    def _drop(self, size: int) -> None:
        """Note that bytes of the peer are dropped."""
        raise NotImplementedError

    def _protocol_raised(self, exc: BaseException) -> None:
        """Abort the connection, since its protocol has raised."""
        raise NotImplementedError

    def _check_forked(self) -> None:
        """Raise if this is the copy of the connection in a child process."""
        raise NotImplementedError


if TYPE_CHECKING or native is None:
    SourceBase = PythonSourceBase
    StreamBase = PythonStreamBase
else:
    SourceBase = native.SourceBase
    StreamBase = native.StreamBase
    native.use_sockets(scratch, SLICE_SIZE, socket.socket, StreamSocket)
