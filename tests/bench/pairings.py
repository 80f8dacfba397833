"""Who is measured: the table of pairings, each a client and a server, and what they run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import workloads
from contract import Effort
from processes import cores, sides
from side import Options

__all__ = ["PAIRINGS", "REFERENCE", "Pairing", "measure", "options_for"]

OURS = "ours_side.py"
TWISTED = "twisted_side.py"
PYRO = "pyro_side.py"
GRPC = "grpc_side.py"
WEBSOCKET = "websocket_side.py"

ALL = tuple(workloads.WORKLOADS)
UNPAGED = tuple(name for name in ALL if name != "W4 paging")
# Its server cannot call a client; it can send, and is not answered.
UNANSWERED = tuple(name for name in UNPAGED if name != "W6")
MIXED = ("W1 one core", "W2", "W3", "W5 10k", "W5 50k", "W5 200k")


@dataclass(frozen=True)
class Pairing:
    """A client and a server that are measured together.

    Attributes:
        label: how tables and charts call it.
        client, server: the programs of the sides.
        runs: the workloads that it runs.
        dialect: what they must come to speak, where that is a question.
        uvloop: whether both run in uvloop.
    """

    label: str
    client: str
    server: str
    runs: tuple[str, ...] = ALL
    dialect: str = ""
    uvloop: bool = False


PAIRINGS: Mapping[str, Pairing] = {
    "twisted": Pairing("Twisted PB", TWISTED, TWISTED, dialect="pb"),
    "ours": Pairing("broker", OURS, OURS, dialect="msgpack/1"),
    "ours-uvloop": Pairing("broker, uvloop", OURS, OURS, dialect="msgpack/1", uvloop=True),
    "ours-pb": Pairing("broker, pb dialect", OURS, OURS, dialect="pb"),
    "to-twisted": Pairing("broker to Twisted", OURS, TWISTED, runs=MIXED, dialect="pb"),
    "from-twisted": Pairing("Twisted to broker", TWISTED, OURS, runs=MIXED, dialect="pb"),
    "pyro5": Pairing("Pyro5, msgpack", PYRO, PYRO, runs=UNPAGED),
    "grpc": Pairing("gRPC aio", GRPC, GRPC, runs=UNANSWERED),
    "websocket": Pairing("aiohttp WebSocket", WEBSOCKET, WEBSOCKET, runs=UNPAGED),
}
"""The first is what the others are compared with."""

REFERENCE = "twisted"


def options_for(
    pairing: Pairing, workload: str, certificates: str
) -> tuple[tuple[str, Options], tuple[str, Options]]:
    """Return program and options of the server and of the client for one workload."""
    far, near = (
        Options(
            core=core,
            dialect=pairing.dialect,
            uvloop=pairing.uvloop,
            login=workload in workloads.LOGIN,
            certificates=certificates if workload in workloads.TLS else None,
        )
        for core in cores(one="one core" in workload)
    )
    return (pairing.server, far), (pairing.client, near)


def measure(name: str, workload: str, effort: Effort, certificates: str) -> dict[str, Any]:
    """Run one workload with fresh processes, and return its figures."""
    server, client = options_for(PAIRINGS[name], workload, certificates)
    with sides(server, client) as (_, near):
        near.say([workload, vars(effort)])
        figures: dict[str, Any] = near.hear()
        return figures
