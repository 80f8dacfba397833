"""What a listener answers over HTTP beside WebSockets: a page, and the pages of operators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct

__all__ = ["OperatorPages", "Page"]


class Page(Struct, frozen=True):
    """The answer to a request for a path.

    Attributes:
        kind: its content type.
        body: the bytes.
        tag: its ``ETag``; empty for a page that changes.
        status: of HTTP.
    """

    kind: str
    body: bytes
    tag: str = ""
    status: int = 200

    @property
    def is_script(self) -> bool:
        """Whether it is a script."""
        return self.kind.startswith("text/javascript")


class OperatorPages(Struct, frozen=True):
    """What a listener shows to operators only, so not at a public address.

    Attributes:
        page: returns the page of a path, or None if there is no such page.
        socket_path: the path of the WebSocket that the page of operators makes; empty without it.
            Only pages of the listener itself may connect to it.
        accept: makes the protocol of such a WebSocket, as `MakeProtocol` does; or None.
    """

    page: Callable[[str], Page | None]
    socket_path: str = ""
    accept: Callable[[Any], Any] | None = None
