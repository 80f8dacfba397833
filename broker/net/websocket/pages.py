"""The few pages of a WebSocket port: the client for browsers, and whether the server is well.

The files are those of the package, in ``broker/web/static``; none of the user is served.
"""

from __future__ import annotations

import functools
import hashlib
from importlib import resources

from msgspec import Struct

__all__ = ["Page", "static_page"]

_KINDS = {
    "js": "text/javascript; charset=utf-8",
    "mjs": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "json": "application/json",
    "map": "application/json",
    "svg": "image/svg+xml",
    "png": "image/png",
    "ico": "image/x-icon",
    "txt": "text/plain; charset=utf-8",
}

_INDEX = "index.html"
_DEFAULT_INDEX = b"""<!DOCTYPE html>
<html lang="en"><meta charset="utf-8"><title>Perspective Broker</title>
<h1>Perspective Broker</h1>
<p>This is the WebSocket port of a server. The client for browsers is at
<a href="/broker.js">/broker.js</a>.
"""


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


def static_page(path: str) -> Page | None:
    """Return the file of the package for a path such as ``/broker.js``; None if there is not one.

    ``/`` is ``index.html``, or a page of a few lines.
    """
    return _pages().get(path.removeprefix("/") or _INDEX)


@functools.cache
def _pages() -> dict[str, Page]:
    """Return all pages by their names; a name comes from the folder, never from a request."""
    folder = resources.files("broker") / "web" / "static"
    bodies = {_INDEX: _DEFAULT_INDEX}
    if folder.is_dir():
        bodies.update((each.name, each.read_bytes()) for each in folder.iterdir() if each.is_file())
    return {
        name: Page(_kind(name), body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')
        for name, body in bodies.items()
    }


def _kind(name: str) -> str:
    return _KINDS.get(name.rpartition(".")[2], "application/octet-stream")
