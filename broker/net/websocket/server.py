"""The server's end of a WebSocket: reads one request, and answers it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from broker.errors import ConnectionLost
from broker.net.filters import Admission
from broker.net.websocket.door import Door, answer
from broker.net.websocket.filter import WebSocketFilter

__all__ = ["ServerFilter"]

logger = logging.getLogger("broker.net")

_END = b"\r\n\r\n"
_LETTERS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ")


class ServerFilter(WebSocketFilter):
    """The server's end of one connection.

    From the first byte of the connection it counts among those that have not logged in. When the
    request is known to be right, the client is admitted, or is answered 503; then the answer 101
    is sent. A page, or a refusal, is sent, and the connection ends.

    Args:
        door: what the connections of the listener share.
    """

    admits = True

    __slots__ = ("_admission", "_answering", "_door", "_leave", "_peer", "is_quiet")

    is_quiet: bool

    def __init__(self, door: Door):
        super().__init__(door.pings, is_server=True)
        self._door = door
        self._admission: Admission | None = None
        self._peer: Any = None
        self._leave: Callable[[], object] | None = None
        self._answering: asyncio.Future[None] | None = None
        self.is_quiet = False

    def begin(self, peer: Any, admission: Admission, /) -> None:
        """Wait for a request, unless too many connections do."""
        self._peer, self._admission = peer, admission
        address = None if self._door.trusts(peer) else peer
        self._leave = self._door.arrive(address, admission.cut)
        if self._leave is None:
            self._admission = None
            admission.cut()

    def ended(self) -> None:
        """Give back the place of a connection that was not admitted."""
        self._admission = None
        self._give_place_back()
        if self._answering is not None:
            self._answering.cancel()

    def _give_place_back(self) -> None:
        leave, self._leave = self._leave, None
        if leave is not None:
            leave()

    def _shake_hands(self, data: bytes | memoryview) -> bytes | memoryview:
        admission = self._admission
        if admission is None or self._answering is not None:
            # Refused; or answered soon, and a connection has one request.
            return b""
        known = self._rest or b""
        head = bytes(known) + data
        if head and head[0] not in _LETTERS:
            self._refuse(400, "not a valid request")
        # The last bytes may be the first of the end.
        most = self._door.most_head
        at = head.find(_END, max(0, len(known) - len(_END)), most)
        if at < 0:
            if len(head) >= most:
                self._refuse(431, f"a head of more than {most} bytes")
            self._rest = bytearray(head)
            return b""
        self._rest = None
        end = at + len(_END)
        rest = head[end:]
        found = self._door.answer(head[:end], rest, self._peer)
        if found.later is not None:
            self._answering = asyncio.ensure_future(self._answer(found.later, admission))
            return b""
        if found.route is None:
            self._end_with(found.data, found.refusal)
        else:
            self._give_place_back()
            if not admission.admit(found.route):
                # The server has logged why.
                self._end_with(answer(503, "too many connections\n"), "")
            self._admission = None
            self._out.append(found.data)
            self.is_open = True
        return rest

    async def _answer(self, later: Awaitable[bytes], admission: Admission) -> None:
        """Send an answer that takes some time, and end the connection."""
        try:
            data = await later
        except Exception:
            logger.exception("a request could not be answered")
            data = answer(500, "this cannot be answered now\n")
        self._out.append(data)
        self.is_quiet = True
        admission.end(self, ConnectionLost("the request was answered"))

    def _refuse(self, status: int, text: str) -> None:
        self._end_with(answer(status, f"{text}\n"), f"{status} {text}")

    def _end_with(self, data: bytes, refusal: str) -> None:
        self._rest = None
        self._out.append(data)
        self.is_quiet = not refusal
        raise ConnectionLost(f"refused: {refusal}" if refusal else "the request was answered")
