"""One attack on one server in a process of its own: what it costs there, and what others notice."""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from attacker import NOTHING, Speaker

from jelly.codec import Reader
from jelly.limits import Limits
from jelly.vocabulary import NONE_VOCABULARY, PB_VOCABULARY

__all__ = ["PATIENCE", "Client", "Outcome", "Server", "fight"]

HERE = Path(__file__).resolve().parent
PATIENCE = 10.0
"""Seconds after which a server that does not answer counts as stopped."""

_TICK = os.sysconf("SC_CLK_TCK")
_AFTER = 1_000_000
"""The number of a harmless call that is sent behind an attack that is no call."""


@dataclass(frozen=True)
class Outcome:
    """What one attack did to one server.

    Attributes:
        cpu: seconds of the processor that the server took.
        memory: bytes by which its resident memory grew at most.
        log: bytes that it wrote into its log.
        wait: the longest that another client waited for an answer meanwhile, in seconds.
        end: how it ended for the attacker.
        survived: whether other clients are served afterwards.
    """

    cpu: float
    memory: int
    log: int
    wait: float
    end: str
    survived: bool


class Server:
    """A server that is attacked; a context manager that ends it.

    Attributes:
        ports: by what is served there.
    """

    def __init__(self, program: str):
        self._folder = tempfile.TemporaryDirectory(prefix="duel-")
        self._log = Path(self._folder.name) / "log"
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / program), str(self._log)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=dict(os.environ, PYTHONHASHSEED="0"),
        )
        assert self._process.stdout is not None
        self.ports: dict[str, int] = json.loads(self._process.stdout.readline())

    @property
    def cpu(self) -> float:
        """The seconds of the processor so far."""
        fields = self._proc("stat").rpartition(") ")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICK

    def memory(self, name: str) -> int:
        """Resident bytes now (``VmRSS``), or at most since :meth:`mark` (``VmHWM``)."""
        for line in self._proc("status").splitlines():
            if line.startswith(name):
                return int(line.split()[1]) * 1024
        raise ValueError(name)

    def mark(self) -> None:
        """Begin the most resident bytes anew."""
        Path(f"/proc/{self._process.pid}/clear_refs").write_text("5", "ascii")

    @property
    def log(self) -> int:
        """Bytes of the log so far."""
        return self._log.stat().st_size

    def _proc(self, name: str) -> str:
        return Path(f"/proc/{self._process.pid}/{name}").read_text("ascii")

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._folder.cleanup()


class Client:
    """A peer that speaks ``pb`` over a plain socket.

    Args:
        port: the server's.
        greets: whether to choose the dialect, and say the version.

    Attributes:
        speaker: writes what it sends.
    """

    def __init__(self, port: int, greets: bool = True):
        self.speaker = Speaker("pb")
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = Reader(Limits(max_expression=1 << 30, max_nodes=1 << 30), NONE_VOCABULARY)
        self._has_offer = False
        if greets:
            self.send(self.speaker.greeting)

    def send(self, data: bytes) -> None:
        """Send all of it; whatever the server does meanwhile is no error."""
        try:
            self._socket.sendall(data)
        except OSError:
            return

    def call(self, *values: Any, **options: Any) -> bytes:
        """The bytes of a call; see Speaker."""
        return self.speaker.call(*values, **options)

    def fate(self, number: int, seconds: float = PATIENCE) -> Any:
        """Wait for what comes of a call.

        Returns:
            The message that answers it; ``"closed"``; or ``"no answer"`` where none came in time.
        """
        ends = time.monotonic() + seconds
        while (left := ends - time.monotonic()) > 0:
            self._socket.settimeout(left)
            try:
                data = self._socket.recv(1 << 20)
            except TimeoutError:
                break
            except OSError:
                return "closed"
            if not data:
                return "closed"
            for message in self._read(data):
                if message[0] in (b"answer", b"error") and message[1] == number:
                    return message
        return "no answer"

    @property
    def is_open(self) -> bool:
        """Whether the server has not closed; what it has sent is thrown away."""
        self._socket.setblocking(False)
        try:
            while self._socket.recv(1 << 20):
                pass
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    @property
    def is_cut(self) -> bool:
        """Whether the server has reset the connection; nothing is read."""
        poll = select.poll()
        poll.register(self._socket, 0)
        return bool(poll.poll(0))

    def close(self) -> None:
        """Close."""
        self._socket.close()

    def _read(self, data: bytes) -> list[Any]:
        self._reader.feed(data)
        if not self._has_offer:
            if not self._reader.read(1):
                return []
            self._has_offer = True
            rest = self._reader.take_rest()
            most = Limits(max_expression=1 << 30, max_nodes=1 << 30)
            self._reader = Reader(most, PB_VOCABULARY)
            self._reader.feed(rest)
        return self._reader.read()


class Witness:
    """Another client, which calls again and again, and notes how long it waits.

    Attributes:
        longest: the longest that it waited for an answer, in seconds.
    """

    def __init__(self, port: int):
        self._client = Client(port)
        self._number = 0
        self._is_done = threading.Event()
        self.longest = 0.0
        self.is_served()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def is_served(self, seconds: float = PATIENCE) -> bool:
        """Whether a call is answered."""
        self._number += 1
        began = time.monotonic()
        self._client.send(self._client.call(1, number=self._number))
        answer = self._client.fate(self._number, seconds)
        self.longest = max(self.longest, time.monotonic() - began)
        return isinstance(answer, list)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Call for as long as the block runs."""
        self.longest = 0.0
        self._thread.start()
        try:
            yield
        finally:
            self._is_done.set()
            self._thread.join()

    def close(self) -> None:
        """Close."""
        self._client.close()

    def _run(self) -> None:
        while not self._is_done.is_set() and self.is_served():
            time.sleep(0.005)


def fight(program: str, attack: Callable[[dict[str, int]], str]) -> Outcome:
    """Attack a fresh server, and return what came of it.

    Args:
        program: the server's.
        attack: ``attack(ports)`` does it, and returns how it ended for the attacker.
    """
    with Server(program) as server:
        witness = Witness(server.ports["root"])
        server.mark()
        cpu, memory, log = server.cpu, server.memory("VmRSS"), server.log
        with witness.watching():
            end = attack(server.ports)
        survived = witness.is_served()
        outcome = Outcome(
            cpu=round(server.cpu - cpu, 2),
            memory=max(0, server.memory("VmHWM") - memory),
            log=server.log - log,
            wait=round(witness.longest, 4),
            end=end,
            survived=survived,
        )
        witness.close()
    return outcome


def sent(make: Callable[[Speaker], bytes], port: str = "root") -> Callable[[dict[str, int]], str]:
    """An attack that is a few bytes, of which the first call, if there is one, has the number 1."""

    def attack(ports: dict[str, int]) -> str:
        client = Client(ports[port])
        client.send(make(client.speaker))
        end = described(client.fate(1, PATIENCE))
        client.close()
        return end

    return attack


def thrown(make: Callable[[Speaker], bytes], port: str = "root") -> Callable[[dict[str, int]], str]:
    """An attack that is no call; a harmless call behind it shows how it ended."""

    def attack(ports: dict[str, int]) -> str:
        client = Client(ports[port])
        client.send(make(client.speaker) + client.call(1, number=_AFTER, kw=NOTHING))
        end = described(client.fate(_AFTER, PATIENCE))
        client.close()
        return end

    return attack


def described(fate: Any) -> str:
    """How something ended, in words."""
    if isinstance(fate, list):
        return "answered" if fate[0] == b"answer" else "refused"
    return str(fate)
