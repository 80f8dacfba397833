"""Makes the errors of the limits of connections and servers.

``jelly.limit_errors`` makes those of the limits of one message.
"""

from __future__ import annotations

from collections.abc import Callable

from jelly.limit_errors import TEXTS as TEXTS_OF_JELLY
from jelly.limit_errors import Beyond, Texts
from jelly.limit_errors import limit_error as limit_error_of

__all__ = ["AT_SERVER", "CACHES", "PROXY", "RECEIVED", "TEXTS", "WEBSOCKET", "limit_error"]

AT_SERVER = "at a server"
"""The text is for the side that is the server."""

RECEIVED = "received"
"""The text is for the end that sends too many."""

CACHES = "caches"
"""The text is about caches, which are counted apart from other references."""

WEBSOCKET = "WebSocket"
"""The text is about the WebSocket, not about TLS."""

PROXY = "PROXY"
"""The text is about the header of the PROXY protocol."""

TEXTS: Texts = {
    **TEXTS_OF_JELLY,
    ("frame", ""): "expression of {got} bytes; the peer takes {most} (frame)",
    ("nodes", ""): "expression of more than {most} elements, which the peer takes (nodes)",
    ("max_refs", ""): "more than {most} live references (max_refs)",
    ("max_refs", CACHES): "more than {most} live caches (max_refs)",
    ("max_calls", ""): "{most} calls in flight (max_calls)",
    ("max_streams", ""): "{most} streams open (max_streams)",
    ("max_streams", RECEIVED): "more than {most} streams (max_streams)",
    ("stream_window", ""): "{got} bytes of items that were not taken (stream_window)",
    ("max_pings", ""): "too many pings",
    ("max_unsent", ""): "peer is not reading ({got} bytes unsent)",
    ("max_buffered", ""): "connection holds {got} bytes of a full server (max_buffered)",
    ("max_waiting_each", ""): "{got} connections waiting for login",
    ("max_waiting", ""): "{got} connections waiting for login",
    ("handshake_timeout", ""): "TLS handshake not completed in {most:g} s",
    ("handshake_timeout", WEBSOCKET): "WebSocket handshake not completed in {most:g} s",
    ("handshake_timeout", PROXY): "no PROXY header in {most:g} s",
    ("offer_timeout", ""): "no Perspective Broker offer in {most:g} s; is this a TLS port?",
    ("offer_timeout", AT_SERVER): "no choice of a dialect in {most:g} s",
    ("login_timeout", ""): "login not completed in {most:g} s",
    ("close_timeout", ""): "no TLS close from the peer in {most:g} s",
    ("close_timeout", WEBSOCKET): "no WebSocket close from the peer in {most:g} s",
    ("partial_timeout", ""): "message not completed in {most:g} s",
    ("ping_timeout", ""): "no data from peer for {got:g} s",
    ("stall_timeout", ""): "peer is not reading ({unsent} bytes unsent)",
}
"""The texts of all limits, by the name of the setting and the purpose of the text.

``docs/reference/limits.md`` shows the same texts.
"""


def limit_error(
    kind: Callable[[str], Beyond],
    limit: str,
    most: float | None = None,
    got: float | None = None,
    what: str = "",
    **others: float,
) -> Beyond:
    """Return an error of the given class, with the text and the attributes of a limit.

    The arguments are those of ``jelly.limit_errors.limit_error``, without the table.
    """
    return limit_error_of(kind, limit, most, got, what, TEXTS, **others)
