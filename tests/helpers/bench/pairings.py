"""Who is measured: the table of pairings, each a client and a server, and what they run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bench import workloads
from bench.processes import cores
from bench.side import Options

__all__ = ["FLOORS", "PAIRINGS", "REFERENCE", "Pairing", "options_for"]

OURS = "bench.ours_side"
TWISTED = "bench.twisted_side"
PYRO = "bench.pyro_side"
GRPC = "bench.grpc_side"
WEBSOCKET = "bench.websocket_side"
CAPNP = "bench.capnp_side"
BARE = "bench.bare_side"

ALL = tuple(name for name in workloads.WORKLOADS if workloads.LOGIN.get(name) in (None, "password"))
STREAMLESS = tuple(name for name in ALL if name not in workloads.STREAMS)
# Only broker has contracts.
UNTYPED = tuple(name for name in STREAMLESS if name != "W2 typed")
# Of the others, only Twisted has both kinds of methods.
UNPAGED = tuple(name for name in ALL if name not in ("W4 paging", "W2 async", "W2 typed"))
# Its server cannot call a client; it can send, and is not answered.
UNANSWERED = tuple(name for name in UNPAGED if name != "W6")
CALLS = tuple(name for name in UNPAGED if name in STREAMLESS)
# It has no call without an answer, and streams only to the server.
STEADY = tuple(name for name in CALLS if name != "W6b")
MIXED = ("W1 one core", "W2", "W3", "W5 200k")
# What needs no more than messages.
PLAIN = tuple(name for name in CALLS if name != "W4")


@dataclass(frozen=True)
class Pairing:
    """A client and a server that are measured together.

    Attributes:
        label: how tables and charts call it.
        client, server: the programs of the sides.
        runs: the workloads that it runs.
        dialect: what they must come to speak, where that is a question.
        uvloop: whether both run in uvloop.
        pure: whether both have BROKER_PURE=1 in their environment.
    """

    label: str
    client: str
    server: str
    runs: tuple[str, ...] = ALL
    dialect: str = ""
    uvloop: bool = False
    pure: bool = False


PAIRINGS: Mapping[str, Pairing] = {
    "twisted": Pairing(
        "Twisted PB", TWISTED, TWISTED, runs=(*UNTYPED, "W7 TLS anonymous"), dialect="pb"
    ),
    "ours": Pairing("broker", OURS, OURS, runs=tuple(workloads.WORKLOADS), dialect="msgpack/1"),
    "ours-uvloop": Pairing("broker, uvloop", OURS, OURS, dialect="msgpack/1", uvloop=True),
    "ours-pure": Pairing(
        "broker, pure Python", OURS, OURS, runs=STREAMLESS, dialect="msgpack/1", pure=True
    ),
    "ours-pb": Pairing("broker, pb dialect", OURS, OURS, dialect="pb"),
    "ours-pb-pure": Pairing(
        "broker, pb dialect, pure Python", OURS, OURS, runs=MIXED, dialect="pb", pure=True
    ),
    "to-twisted": Pairing("broker to Twisted", OURS, TWISTED, runs=MIXED, dialect="pb"),
    "from-twisted": Pairing("Twisted to broker", TWISTED, OURS, runs=MIXED, dialect="pb"),
    "pyro5": Pairing("Pyro5, msgpack", PYRO, PYRO, runs=CALLS),
    "grpc": Pairing("gRPC aio", GRPC, GRPC, runs=UNANSWERED),
    "websocket": Pairing("aiohttp WebSocket", WEBSOCKET, WEBSOCKET, runs=UNPAGED),
    "capnp": Pairing("Cap'n Proto, pycapnp", CAPNP, CAPNP, runs=STEADY),
    "bare": Pairing("asyncio alone", BARE, BARE, runs=PLAIN),
    "bare-uvloop": Pairing("uvloop alone", BARE, BARE, runs=PLAIN, uvloop=True),
}
"""The first is what the others are compared with."""

REFERENCE = "twisted"
FLOORS = (("ours", "bare"), ("ours-uvloop", "bare-uvloop"), ("ours-pure", "bare"))
"""Each form of broker, with the loop that it runs in."""


def options_for(
    pairing: Pairing, workload: str, certificates: str
) -> tuple[tuple[str, Options], tuple[str, Options]]:
    """Return program and options of the server and of the client for one workload."""
    far, near = (
        Options(
            core=core,
            dialect=pairing.dialect,
            uvloop=pairing.uvloop,
            pure=pairing.pure,
            login=workloads.LOGIN.get(workload, ""),
            certificates=certificates if workload in workloads.TLS else None,
        )
        for core in cores(one="one core" in workload)
    )
    return (pairing.server, far), (pairing.client, near)
