"""The client's end of a WebSocket: asks for it, and reads the answer."""

from __future__ import annotations

from websockets.client import ClientProtocol
from websockets.exceptions import WebSocketException
from websockets.http11 import Response
from websockets.uri import WebSocketURI

from broker.errors import ConnectionLost
from broker.net.locations import WebPlace
from broker.net.websocket.door import MOST_HEAD, SUBPROTOCOL, parse_head
from broker.net.websocket.filter import PingLimit, WebSocketFilter
from broker.printable import printable

__all__ = ["ClientFilter", "Refusal"]

_END = b"\r\n\r\n"


class Refusal(ConnectionLost):
    """The server does not answer with a WebSocket.

    Attributes:
        status: the status of its answer; None if it does not answer in HTTP.
    """

    status: int | None = None


class ClientFilter(WebSocketFilter):
    """The client's end of one connection.

    Args:
        place: what to ask for.
        pings: how many small frames may come.
    """

    __slots__ = ("_asked",)

    def __init__(self, place: WebPlace, pings: PingLimit):
        super().__init__(pings, is_server=False)
        uri = WebSocketURI(place.is_tls, place.host, place.port_to_reach, place.path, "")
        self._asked: ClientProtocol | None = ClientProtocol(
            uri,
            subprotocols=[SUBPROTOCOL],  # type: ignore[list-item]
        )
        self._out.append(self._asked.connect().serialize())

    def _shake_hands(self, data: bytes | memoryview) -> bytes | memoryview:
        asked = self._asked
        if asked is None:
            return data
        known = self._rest or b""
        head = bytes(known) + data
        at = head.find(_END, max(0, len(known) - len(_END)), MOST_HEAD)
        if at < 0:
            if len(head) >= MOST_HEAD or not head.startswith(b"HTTP/1."[: len(head)]):
                raise Refusal("the server does not answer in HTTP")
            self._rest = bytearray(head)
            return b""
        self._rest = None
        end = at + len(_END)
        response = _parse_response(head[:end])
        if response.status_code != 101:
            phrase = f"{response.status_code} {response.reason_phrase}"
            refusal = Refusal(f"the server answers {printable(phrase, 200)}")
            refusal.status = response.status_code
            raise refusal
        try:
            asked.process_response(response)
        except WebSocketException as exc:
            raise Refusal(f"not a WebSocket: {printable(str(exc), 200)}") from None
        if asked.subprotocol != SUBPROTOCOL:
            raise Refusal("the WebSocket is not one of Perspective Broker")
        self._asked = None
        self.is_open = True
        return head[end:]


def _parse_response(head: bytes) -> Response:
    try:
        return parse_head(
            # Without its body: the status says all that counts.
            lambda reader: Response.parse(
                reader.read_line, reader.read_exact, reader.read_to_eof, proxy=True
            ),
            head,
        )
    except (ValueError, LookupError, EOFError, NotImplementedError, WebSocketException):
        raise Refusal("the server does not answer in HTTP") from None
