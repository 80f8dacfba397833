"""The files that are served over HTTP: the client for browsers, and the page of operators.

They are those of the package, in ``broker/web/static`` and ``broker/web/admin``. No file of the
user is served.
"""

from __future__ import annotations

import functools
import hashlib
from importlib import resources

from broker.net.web_pages import Page

__all__ = ["admin_page", "static_page"]

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
_ADMIN = "admin.html"
_DEFAULT_INDEX = b"""<!DOCTYPE html>
<html lang="en"><meta charset="utf-8"><title>Perspective Broker</title>
<h1>Perspective Broker</h1>
<p>This is the WebSocket port of a server. The client for browsers is at
<a href="/broker.js">/broker.js</a>.
"""


def static_page(path: str) -> Page | None:
    """Return the file of the package for a path such as ``/broker.js``; None if there is not one.

    ``/`` is ``index.html``, or a page of a few lines.
    """
    return _pages("static").get(path.removeprefix("/") or _INDEX)


def admin_page(path: str) -> Page | None:
    """Return the file of the page of operators for a path; None if there is not one.

    ``/admin`` is the page, ``/admin/NAME`` another file of it.
    """
    name = _ADMIN if path == "/admin" else path.removeprefix("/admin/")
    return None if name == path else _pages("admin").get(name)


@functools.cache
def _pages(kind: str) -> dict[str, Page]:
    """Return all pages by their names; a name comes from the folder, never from a request."""
    folder = resources.files("broker") / "web" / kind
    bodies = {_INDEX: _DEFAULT_INDEX} if kind == "static" else {}
    if folder.is_dir():
        bodies.update((each.name, each.read_bytes()) for each in folder.iterdir() if each.is_file())
    return {
        name: Page(_kind(name), body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')
        for name, body in bodies.items()
    }


def _kind(name: str) -> str:
    return _KINDS.get(name.rpartition(".")[2], "application/octet-stream")
