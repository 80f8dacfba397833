"""Attacks on clients by the proxy that they connect through."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from types import TracebackType

from attacks.comparison.client_rounds import outcome_of
from attacks.comparison.duel import Outcome, Side
from attacks.comparison.processes import Program
from attacks.comparison.rounds import PB, Round

__all__ = ["PROXY_ROUNDS", "Hostile", "fight_proxied"]

MB = 1_000_000


class Hostile:
    """How a proxy attacks.

    Args:
        scheme: of its URL: ``http``, ``socks5`` or ``socks4``.
        first: what it answers.
        then: what it sends after that, until the client closes; empty to send nothing more.
    """

    def __init__(self, scheme: str, first: bytes, then: bytes):
        self.scheme = scheme
        self.first = first
        self.then = then


class HostileProxy:
    """A proxy that answers each client in one way, in threads of its own."""

    def __init__(self, hostile: Hostile):
        self._hostile = hostile
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"{hostile.scheme}://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._run, daemon=True).start()

    def __enter__(self) -> HostileProxy:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._socket.close()

    def _run(self) -> None:
        with suppress(OSError):
            while True:
                end, _ = self._socket.accept()
                threading.Thread(target=self._answer, args=(end,), daemon=True).start()

    def _answer(self, end: socket.socket) -> None:
        with end, suppress(OSError):
            end.recv(65_536)
            end.sendall(self._hostile.first)
            while self._hostile.then:
                end.sendall(self._hostile.then)
            end.recv(65_536)


def fight_proxied(side: Side, hostile: Hostile) -> Outcome:
    """Let a fresh client connect through a hostile proxy, and return the outcome."""
    with (
        Program("ours_target", "strict", "root") as other,
        HostileProxy(hostile) as proxy,
        Program("ours_client", side.policy, side.dialect, str(other.ports["root"])) as client,
    ):
        return outcome_of(client, ["pb://127.0.0.1:8787", proxy.url], side)


PROXY_ROUNDS = [
    Round("C9", f"a proxy: {name}", Hostile(scheme, first, then), PB, has_twisted=False,
          memory=4 * MB, log=8_000, kind="proxied")
    for name, scheme, first, then in (
        ("headers without end", "http", b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 8192),
        ("a status without end", "http", b"HTTP/1.1 200 ", b"x" * 65_536),
        ("zeros without end, by SOCKS 5", "socks5", b"", bytes(65_536)),
        ("zeros without end, by SOCKS 4", "socks4", b"", bytes(65_536)),
        ("a refusal with lines and colours for the log", "http",
         b"HTTP/1.1 502 \x1b[31m\rforged\r\n\r\n", b""),
        ("an answer, and bytes that no PB server sends", "http",
         b"HTTP/1.1 200 OK\r\n\r\n", b"\x01" * 65_536),
        ("an answer, and a PB server's first bytes without end", "http",
         b"HTTP/1.1 200 OK\r\n\r\n", b"\x02\x80\x02\x82pb\x04\x82none" * 4_096),
    )
]  # fmt: skip
