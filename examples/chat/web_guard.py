"""What the chat's web pages refuse: forms of other sites, other hosts, long or odd bodies, floods.

No page of another site can send a form to these pages, because each form must come from an origin
of `Site`. These are set by the program; the ``Host`` of a request cannot add to them.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Final
from urllib.parse import parse_qs

from aiohttp import web

__all__ = [
    "HEADERS",
    "LONGEST_BODY",
    "HourlyLimit",
    "Refused",
    "Site",
    "origins_of",
    "put_off",
    "read_form",
    "source_of",
]

LONGEST_BODY: Final = 65_536
"""The most bytes of a form."""

READ_SECONDS: Final = 20.0
"""The seconds in which a form must arrive."""

MOST_SOURCES: Final = 10_000
"""The most sources that an `HourlyLimit` remembers."""

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # With "no-referrer" browsers would send "Origin: null" with the forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Server": "chat",
}
"""The headers of each response."""

_FORM: Final = "application/x-www-form-urlencoded"
_SAFE: Final = ("GET", "HEAD")


class Refused(Exception):
    """The request is refused: the page of the answer shows the text.

    Args:
        status: the status of HTTP.
        text: the reason, for the user.
        headers: more headers of the response.
    """

    def __init__(self, status: int, text: str, headers: Mapping[str, str] | None = None):
        super().__init__(text)
        self.status = status
        self.text = text
        self.headers = dict(headers or {})


def origins_of(names: Iterable[str], port: int, *, is_tls: bool) -> frozenset[str]:
    """Return the origins of pages, as browsers write them.

    Args:
        names: host names and IP addresses of the server. ``localhost`` comes with an address of
            this machine.
        port: that it listens on.
        is_tls: whether it takes https.
    """
    scheme, usual = ("https", 443) if is_tls else ("http", 80)
    suffix = "" if port == usual else f":{port}"
    names = {name.lower() for name in names}
    if any(map(_is_loopback, names)):
        names.add("localhost")
    hosts = (f"[{name}]" if ":" in name else name for name in names)
    return frozenset(f"{scheme}://{host}{suffix}" for host in hosts)


@dataclass(frozen=True)
class Site:
    """Where the pages are, as browsers see them.

    Attributes:
        origins: such as ``https://chat.example`` or ``http://127.0.0.1:8080``.
        is_behind_proxy: whether all requests come from a proxy of ours. It must set the last
            address of ``X-Forwarded-For``, and pass ``Host`` on.
    """

    origins: frozenset[str]
    is_behind_proxy: bool = False

    @property
    def is_tls(self) -> bool:
        """Whether browsers come by https."""
        return all(origin.startswith("https://") for origin in self.origins)

    def check(self, request: web.Request) -> None:
        """Raise Refused if the request is for another host, or its form is of another site."""
        if request.host.lower() not in {each.partition("://")[2] for each in self.origins}:
            raise Refused(421, "these pages have another address")
        if request.method in _SAFE:
            return
        headers = request.headers
        sites = headers.getall("Sec-Fetch-Site", ["same-origin"])
        origins = headers.getall("Origin", [])
        if sites != ["same-origin"] or any(each not in self.origins for each in origins):
            raise Refused(403, "this form is of another site")

    def check_origin(self, request: web.Request) -> None:
        """Raise Refused if a page of another site asks for a WebSocket."""
        origins = request.headers.getall("Origin", [])
        if any(each not in self.origins for each in origins):
            raise Refused(403, "this page is of another site")

    def address_of(self, request: web.Request) -> str:
        """Return the IP address of the browser.

        Raises:
            Refused: it is not known.
        """
        address = request.remote or ""
        if self.is_behind_proxy:
            forwarded = ",".join(request.headers.getall("X-Forwarded-For", []))
            address = forwarded.rpartition(",")[2].strip()
        try:
            ipaddress.ip_address(address)
        except ValueError:
            raise Refused(400, "the address of the browser is not known") from None
        return address

    def is_private(self, request: web.Request) -> bool:
        """Return whether a third party cannot read what the browser sends."""
        if self.is_behind_proxy:
            return self.is_tls
        return request.secure or _is_loopback(self.address_of(request))


async def read_form(request: web.Request, *names: str) -> list[str]:
    """Read the form of a request.

    Args:
        request: a POST.
        names: the names of the fields; each must be there once.

    Returns:
        Their values, in this order.

    Raises:
        Refused: it is not such a form, or it does not arrive in time.
        web.HTTPRequestEntityTooLarge: it has more than `LONGEST_BODY` bytes.
    """
    if request.content_type != _FORM or "Content-Encoding" in request.headers:
        raise Refused(415, "this page takes its own form only")
    try:
        async with asyncio.timeout(READ_SECONDS):
            body = (await request.read()).decode("ascii")
        fields = parse_qs(body, keep_blank_values=True, errors="strict", max_num_fields=8)
    except TimeoutError:
        raise Refused(408, "the form did not arrive in time") from None
    except (ValueError, web.RequestPayloadError):
        raise Refused(400, "this form cannot be read") from None
    if any(len(fields.get(name, ())) != 1 for name in names):
        raise Refused(400, "the form has other fields")
    return [fields[name][0] for name in names]


class HourlyLimit:
    """Limits how often each source may do something in any hour.

    Args:
        most: how often.
        clock: returns seconds; only differences count.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic):
        self._most = most
        self._clock = clock
        # The times of each source; the sources in the order of their last time.
        self._times: dict[str, deque[float]] = {}

    def take(self, address: str) -> None:
        """Count one.

        Args:
            address: of the peer. All addresses of an IPv6 network of 64 bits are one source.

        Raises:
            Refused: the source has done it too often.
        """
        now, source = self._clock(), source_of(address)
        times = self._times.pop(source, deque())
        while times and times[0] <= now - 3600:
            times.popleft()
        while len(self._times) >= MOST_SOURCES:
            del self._times[next(iter(self._times))]
        self._times[source] = times
        if len(times) >= self._most:
            raise put_off(times[0] + 3600 - now)
        times.append(now)


def put_off(seconds: float) -> Refused:
    """Return a Refused that tells when to try again."""
    after = max(1, ceil(seconds))
    wait = f"{after} seconds" if after < 120 else f"{ceil(after / 60)} minutes"
    return Refused(429, f"too many attempts; try again in {wait}", {"Retry-After": str(after)})


def source_of(address: str) -> str:
    """Return the source of an IP address: itself, or an IPv6 network of 64 bits."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, 64), strict=False))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host == "localhost"
