"""Where `pb serve` listens: for clients, for operators, and for requests of HTTP."""

from __future__ import annotations

from msgspec import Struct

from broker.commands.operators import address_in_process
from broker.net.inherited import Inherited
from broker.net.schemes import parse_address, scheme_of

__all__ = ["Places"]


class Places(Struct, frozen=True):
    """Where a process listens.

    Attributes:
        addresses: for clients.
        admin: the socket for operators, or None.
        http: the HTTP port, or None.
    """

    addresses: tuple[str, ...]
    admin: str | None
    http: str | None

    def of_process(self, index: int, addresses: tuple[str, ...]) -> Places:
        """Return the places of one of several processes: operators' data is that of each.

        Args:
            index: its number, from 1.
            addresses: those of all of them.
        """
        admin = None if self.admin is None else address_in_process(self.admin, index)
        return Places(addresses, admin, self._http_of(index))

    def of_another(self) -> Places:
        """Return the places that can be checked in a process that has not got the server's sockets.

        A socket of systemd becomes a port of this machine, with TLS or without it as before.
        """
        return Places(tuple(map(_without_socket, self.addresses)), self.admin, self.http)

    def _http_of(self, index: int) -> str | None:
        host, _, port = (self.http or "").rstrip("/").rpartition(":")
        if not port.isdecimal() or not int(port):
            return self.http
        return f"{host}:{int(port) + index - 1}"


def _without_socket(address: str) -> str:
    location = parse_address(address)
    if not isinstance(location, Inherited):
        return address
    return "pbs://127.0.0.1:0" if scheme_of(location).is_tls else "pb://127.0.0.1:0"
