"""Who is in a crowd: the front end, name and room of each client, and one that reads nothing."""

from __future__ import annotations

import socket

from chat_crowd.clients import DOORS
from chat_crowd.server import PASSWORD

__all__ = ["deaf", "rows_of"]


def deaf(where: dict[str, str], name: str, room: str) -> socket.socket:
    """Come in by IRC, and read nothing, not even into the kernel."""
    host, _, port = where["irc"].rpartition(":")
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect((host, int(port)))
    lines = (f"PASS {PASSWORD}", f"NICK {name}", "USER x 0 * :x", f"JOIN {room}")
    sock.sendall("".join(f"{line}\r\n" for line in lines).encode())
    return sock


def rows_of(clients: int, rooms: int) -> list[tuple[str, str, str]]:
    """Door, name and room of each; the clients of lines are in #lobby, the first room."""
    names = ["#lobby", *(f"#room-{number}" for number in range(1, rooms))]
    rows = []
    for number in range(clients):
        door = DOORS[number % len(DOORS)]
        room = names[0] if door == "lines" else names[number // len(DOORS) % rooms]
        rows.append((door, f"u{number}", room))
    return rows
