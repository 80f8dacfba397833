"""Attacks on the front ends of the chat that speak in lines, IRC and netcat's, by raw sockets."""

from __future__ import annotations

import re
import socket
import time
from contextlib import suppress

from attacks.comparison.duel import Arena, End
from attacks.comparison.processes import PATIENCE
from attacks.comparison.rounds import PB, Round

__all__ = ["FRONT_END_ROUNDS"]

MB = 1_000_000
FORGED = "FORGED"
SPOKEN = 5_000
"""How many lines are said while one guest reads nothing."""


class Guest:
    """A client that sends bytes and reads lines.

    Args:
        arena: the place of the attack.
        port: the name of the front end.
        receive: the size of the receive buffer, in bytes; 0 for the usual one.
    """

    def __init__(self, arena: Arena, port: str, receive: int = 0):
        self.socket = socket.socket()
        if receive:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(("127.0.0.1", arena.server.ports[port]))
        self._rest = b""

    def send(self, *lines: str) -> None:
        """Send lines."""
        self.socket.sendall("".join(f"{line}\r\n" for line in lines).encode())

    def read(self, last: str) -> list[str]:
        """Read up to a line that a pattern matches somewhere, or to the end."""
        lines: list[str] = []
        while not (lines and re.search(last, lines[-1])):
            line, end, rest = self._rest.partition(b"\r\n")
            if end:
                lines.append(line.decode("utf-8", "replace"))
                self._rest = rest
                continue
            try:
                data = self.socket.recv(65_536)
            except OSError:
                data = b""
            if not data:
                break
            self._rest += data
        return lines

    def come_in(self, name: str, is_irc: bool = True) -> Guest:
        """Log in, and go into the lobby."""
        password = {"alice": "secret", "bob": "hidden", "carol": "unseen"}[name]
        if is_irc:
            self.send(f"PASS {password}", f"NICK {name}", "USER x 0 * :x", "JOIN #lobby")
            self.read(" 366 ")
        else:
            self.send(name, password)
            self.read("^you are in")
        return self


def poured(guest: Guest, data: bytes, times: int) -> End:
    """Send bytes again and again, until the server closes."""
    sent = 0
    with suppress(OSError):
        for _ in range(times):
            guest.socket.sendall(data)
            sent += len(data)
    guest.socket.settimeout(1.0)
    is_over = sent < len(data) * times
    with suppress(TimeoutError):
        try:
            while guest.socket.recv(65_536):
                pass
        except ConnectionError:
            pass
        is_over = True
    guest.socket.close()
    return End("closed") if is_over else End("taken", "the front end takes a flood")


def flood(line: bytes, times: int, port: str = "irc", name: str = "") -> object:
    """Many lines, before a login or after it."""

    def attack(arena: Arena) -> End:
        guest = Guest(arena, port)
        if name:
            guest.come_in(name, is_irc=port == "irc")
        return poured(guest, line * 1_000, times // 1_000)

    return attack


def endless(port: str) -> object:
    """A line of 64 MB without an end."""
    return lambda arena: poured(Guest(arena, port), b"x" * 65_536, 1_000)


def injected(arena: Arena) -> End:
    """Texts with ends of lines, in each field that others see, by IRC and by netcat's front end."""
    irc, netcat = Guest(arena, "quick").come_in("alice"), Guest(arena, "lines")
    netcat.come_in("bob", is_irc=False)
    mallory = Guest(arena, "quick").come_in("carol")
    for end in ("\r", "\0", "\x85", "\u2028", "\x0b", "\x1b[2K\r"):
        evil = f"x{end}:{FORGED} QUIT :y"
        mallory.send(f"PRIVMSG #lobby :{evil}", f"NOTICE #lobby :{evil}", f"TOPIC #lobby :{evil}",
                     f"PRIVMSG #lobby :\x01ACTION {evil}\x01", f"PRIVMSG alice :{evil}",
                     f"PRIVMSG bob :{evil}", f"JOIN #{evil}", f"PART #lobby :{evil}",
                     "JOIN #lobby", f"PING :{evil}", f"WHOIS {evil}", f"{evil}")  # fmt: skip
    mallory.send(f"QUIT :x\r:{FORGED} QUIT :y")
    seen = irc.read(rf"^:carol!\S+ PART #lobby :x :{FORGED} QUIT :y$|^:{FORGED}")
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline and not seen[-1].endswith("QUIT :y"):
        seen += irc.read("QUIT :y$")
    seen += netcat.read("carol has gone")
    echoed = mallory.read("^ERROR")
    forged = [
        line
        for line in [*seen, *echoed]
        if line.startswith((FORGED, f":{FORGED}")) or re.search("[\\0\\x02-\\x1f\\x85]", line)
    ]
    for guest in (irc, netcat, mallory):
        guest.socket.close()
    text = f"{len(forged)} forged lines among {len(seen) + len(echoed)}"
    return End(text, text if forged else "")


def unread(port: str) -> object:
    """One guest reads nothing while another says much; a third one must hear all of it."""

    def attack(arena: Arena) -> End:
        listener = Guest(arena, "quick").come_in("alice")
        Guest(arena, port, receive=4096).come_in("bob", is_irc=port == "quick")
        speaker = Guest(arena, "quick").come_in("carol")
        text, heard = "x" * 380, 0
        for first in range(0, SPOKEN, 50):
            numbers = range(first, first + 50)
            speaker.send(*(f"PRIVMSG #lobby :{number} {text}" for number in numbers))
            lines = listener.read(f"PRIVMSG #lobby :{first + 49} ")
            heard += sum(" PRIVMSG #lobby :" in line for line in lines)
        for guest in (listener, speaker):
            guest.socket.close()
        text = f"the others hear {heard:,} lines of {SPOKEN:,}"
        return End(text, "" if heard == SPOKEN else text)

    return attack


FRONT_END_ROUNDS = [
    Round("C10", f"{name}: {what}", attack, PB, f"root,{served}", has_twisted=False,
          memory=memory * MB, log=50_000)
    for name, what, attack, served, memory in (
        ("IRC", "500,000 commands before a login", flood(b"PING x\r\n", 500_000), "irc", 4),
        ("IRC", "100 MB of SASL before a login",
         flood(b"AUTHENTICATE PLAIN\r\nAUTHENTICATE " + b"A" * 400 + b"\r\n", 250_000), "irc", 4),
        ("IRC", "500,000 lines of a guest",
         flood(b"PRIVMSG #lobby :x\r\n", 500_000, "irc", "alice"), "irc", 4),
        ("netcat", "500,000 lines of a guest", flood(b"x\n", 500_000, "lines", "bob"), "lines", 4),
        ("IRC", "a line of 64 MB", endless("irc"), "irc", 4),
        ("netcat", "a line of 64 MB", endless("lines"), "lines", 4),
        ("IRC and netcat", "ends of lines in texts, names and commands", injected,
         "quick,lines", 8),
        ("IRC", "a guest that reads nothing", unread("quick"), "quick", 10),
        ("netcat", "a guest that reads nothing", unread("lines"), "quick,lines", 10),
    )
]  # fmt: skip
