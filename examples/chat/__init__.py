"""A chat server with several front ends: PB, IRC, lines of text, and web pages; and its clients."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import broker
    from examples.chat.main import Settings

__all__ = ["town"]


@asynccontextmanager
async def town(settings: Settings | None = None) -> AsyncIterator[broker.PortalLogins]:
    """Serve the chat, but for PB without TLS: that is what ``pb serve examples.chat:town`` serves.

    Args:
        settings: default: those of ``python -m examples.chat``, with PB inside TLS at port 8788,
            since ``pb serve`` takes 8787 if it is given no address.
    """
    # Imported here: the clients do not need what the server needs.
    from examples.chat.__main__ import how
    from examples.chat.main import Chat, Settings

    if settings is None:
        settings = Settings(Path("chat-data"), pb=8788, pb_plain=None)
    async with Chat(settings) as chat:
        print(how(chat), flush=True)
        yield chat.logins
