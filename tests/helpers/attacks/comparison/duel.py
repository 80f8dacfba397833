"""One attack on one server process: its cost there, and its effect on other clients."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from attacks.attacker import NOTHING, Speaker
from attacks.comparison.peers_raw import Client
from attacks.comparison.processes import PATIENCE, Program, Witness
from broker.core.wire.messages import GraphAnswer

__all__ = ["SIDES", "Arena", "Attack", "End", "Outcome", "Side", "fight", "sent", "thrown"]

_AFTER = 999_999
"""The number of a harmless call that is sent after an attack that is not a call."""
_SETTLING = 0.3
"""Seconds for which the bystander is watched after the attack."""


class Side(NamedTuple):
    """An attacked program.

    Attributes:
        name: in words.
        dialect: the attacker's dialect.
        policy: of the attacked side; empty for Twisted.
        is_ours: whether it is this library.
    """

    name: str
    dialect: str
    policy: str
    is_ours: bool = True


SIDES = [
    *(
        Side(f"{policy}, {dialect}", dialect, policy)
        for policy in ("strict", "published")
        for dialect in ("pb", "msgpack/1")
    ),
    Side("Twisted", "pb", "", is_ours=False),
]


class End(NamedTuple):
    """How an attack ended for the attacker.

    Attributes:
        text: in words.
        fault: the fault in this result, in words; empty without a fault.
    """

    text: str
    fault: str = ""


@dataclass(frozen=True)
class Outcome:
    """The effect of one attack on one side.

    Attributes:
        cpu: processor seconds, without those for the bystander's calls.
        memory: the largest growth of its resident memory, in bytes.
        log: bytes written to its log.
        stall: the bystander's longest wait for an answer, in seconds; None without a bystander.
        end: how it ended for the attacker.
        fault: the fault in this result; empty without a fault.
        survived: whether the bystander is served afterwards.
    """

    cpu: float
    memory: int
    log: int
    stall: float | None
    end: str
    fault: str
    survived: bool


class Arena:
    """The place of an attack.

    Attributes:
        side: the attacked side.
        server: its process.
        speaker: writes in the dialect.
    """

    def __init__(self, side: Side, server: Program):
        self.side = side
        self.server = server
        self.speaker = Speaker(side.dialect)

    def client(self, port: str = "root", greets: bool = True, source: str = "") -> Client:
        """A connection to the object that is served under a name."""
        return Client(self.server.ports[port], self.side.dialect, greets, source)

    def log_text(self) -> str:
        """The text of its log so far."""
        return self.server.log.read_text("utf-8", "replace")


Attack = Callable[[Arena], "End | str"]


def fight(side: Side, attack: Attack, witness: Witness, served: str = "root,portal") -> Outcome:
    """Attack a fresh server, and return the outcome.

    Args:
        side: the attacked side.
        attack: makes the attack, and returns how it ended for the attacker.
        witness: the bystander.
        served: the names of the objects that the server serves.
    """
    with server_of(side, served) as server:
        each = _cost_of_a_call(side, witness)
        witness.connect(server.ports["root"])
        server.mark()
        cpu, memory, log = server.cpu, server.memory(), server.log_size
        witness.start()
        end = attack(Arena(side, server))
        time.sleep(_SETTLING)
        stall, calls, survived = witness.stop()
        text, fault = end if isinstance(end, End) else End(end)
        return Outcome(
            cpu=round(max(0.0, server.cpu - cpu - calls * each), 2),
            memory=max(0, server.memory("VmHWM") - memory),
            log=server.log_size - log,
            stall=round(stall, 4),
            end=text,
            fault=fault,
            survived=survived,
        )


def server_of(side: Side, served: str) -> Program:
    """Start a server."""
    if side.is_ours:
        return Program("ours_target", side.policy, served)
    return Program("twisted_target")


@functools.cache
def _cost_of_a_call(side: Side, witness: Witness) -> float:
    """Seconds that a server takes for one call of the bystander without an attack."""
    with server_of(side, "root") as server:
        witness.connect(server.ports["root"])
        cpu = server.cpu
        witness.start()
        time.sleep(1.0)
        _, calls, _ = witness.stop()
        return (server.cpu - cpu) / calls


class Sent:
    """An attack of bytes that are sent at once, made by :func:`sent` and :func:`thrown`."""

    def __init__(self, make: Callable[[Speaker], bytes], port: str, number: int, tail: bool):
        self._make = make
        self._port = port
        self._number = number
        self._has_tail = tail

    def __call__(self, arena: Arena) -> str:
        """Send, and wait for the answer to the call of the number."""
        client = arena.client(self._port)
        data = self._make(client.speaker)
        if self._has_tail:
            data += client.call(1, number=self._number, kw=NOTHING)
        client.send(data)
        end = described(client.fate(self._number, PATIENCE))
        client.close()
        return end

    def harmless(self, arena: Arena) -> str:
        """The same number of bytes, of one call with long strings, to a server without a login."""
        client = arena.client()
        size = len(self._make(client.speaker))
        strings = [bytes(min(100_000, size - begin)) for begin in range(0, size, 100_000)]
        client.send(client.call([b"list", *strings], name=b"keep"))
        end = described(client.fate(1, PATIENCE))
        client.close()
        return end


def sent(make: Callable[[Speaker], bytes], port: str = "root", number: int = 1) -> Sent:
    """An attack of a few bytes; the call of that number shows how it ended."""
    return Sent(make, port, number, False)


def thrown(make: Callable[[Speaker], bytes], port: str = "root") -> Sent:
    """An attack that is not a call; a harmless call after it shows how it ended."""
    return Sent(make, port, _AFTER, True)


def described(fate: Any) -> str:
    """The end of an attack, in words."""
    if isinstance(fate, str):
        return "answers that are not messages" if fate == "not understood" else fate
    return "answered" if type(fate) is GraphAnswer else "refused"
