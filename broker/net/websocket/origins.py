"""Origins: the web pages that may connect.

A browser tells the origin of the page that makes a WebSocket. Without a list of origins, each page
that a user visits could use what the browser of that user can reach.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from broker.errors import ConfigError, WrongType
from broker.printable import printable

__all__ = ["checked_origins", "refused_origin"]

# As browsers write it (RFC 6454): in lower case, and without the port of the scheme.
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(\[[0-9a-f:.]+\]|[^/\s:@?#*\[\]A-Z]+)(:[0-9]{1,5})?")
_OWN_PORT = re.compile(r"http://.*:80|https://.*:443")


def checked_origins(given: Iterable[str]) -> frozenset[str]:
    """Return the origins that ``origins=`` lists.

    Raises:
        ConfigError: one of them is not written as browsers write it.
        WrongType: a ConfigError: the argument is not a list of texts.
    """
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise WrongType(
            f'origins= is a list, such as ["https://broker.example"], not {type(given).__name__}'
        )
    origins = tuple(given)
    for origin in origins:
        if not isinstance(origin, str):
            raise WrongType(f"origins= lists texts, not {type(origin).__name__}")
        if not _ORIGIN.fullmatch(origin) or _OWN_PORT.fullmatch(origin):
            raise ConfigError(
                f"origins=: {origin!r} is not an origin; write https://broker.example, or"
                " http://127.0.0.1:8000: scheme and host in lower case, the port unless it is"
                " that of the scheme, and no path"
            )
    return frozenset(origins)


def refused_origin(origins: frozenset[str], sent: Iterable[str]) -> str | None:
    """Return why a request with these ``Origin`` headers is refused; None if it is not.

    A request without an origin is not from a page.
    """
    for origin in sent:
        if origin not in origins:
            return f"origin {printable(origin, 200)} is not allowed"
    return None
