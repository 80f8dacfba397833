"""What one seed decides before its run begins: who, over which network, and what goes wrong."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from broker.core.policy import PUBLISHED, STRICT, Policy
from broker.testing.flow import Profile

__all__ = ["Fault", "Plan", "draw_fault"]


@dataclass(frozen=True)
class Fault:
    """Something that happens to one connection.

    Attributes:
        kind: ``"cut"``, ``"half-close"``, ``"stall"``, ``"black hole"``, or who ends it: ``"client
            closes"``, ``"server closes"``, ``"server aborts"``.
        when: seconds after it was begun.
        side: which direction, 0 from the client, 1 from the server.
        seconds: how long a stall lasts.
    """

    kind: str
    when: float
    side: int
    seconds: float


@dataclass(frozen=True)
class Plan:
    """A run.

    Attributes:
        is_strict: which policy both sides have.
        dialects, turn_messages, stream_items, stream_window: as of that policy.
        login: how clients log in: ``""`` for a server without login, ``"password"``,
            ``"challenge"``, ``"anonymous"`` or ``"wrong"``.
        is_realm_slow: whether the realm takes its time.
        profiles: of each client's connection.
        faults: of each client's connection, or None.
        steps, pause: of each actor.
        drain_at: when the server closes in good order in the middle of it all, or None.
        drain: seconds that it then waits.
        server_ends: whether the server closes in the end, rather than the clients.
        turn_cost: seconds that a turn of the loop takes at most.
    """

    is_strict: bool
    dialects: tuple[str, ...]
    turn_messages: int
    stream_items: int
    stream_window: int
    login: str
    is_realm_slow: bool
    profiles: list[Profile] = field(default_factory=list)
    faults: list[Fault | None] = field(default_factory=list)
    steps: int = 8
    pause: float = 0.1
    drain_at: float | None = None
    drain: float = 30.0
    server_ends: bool = False
    turn_cost: float = 0.0

    @property
    def policy(self) -> Policy:
        """The policy of both sides."""
        policy = STRICT if self.is_strict else PUBLISHED
        return policy.but(
            dialects=self.dialects,
            turn_messages=self.turn_messages,
            stream_items=self.stream_items,
            stream_window=self.stream_window,
        )

    @classmethod
    def draw(cls, dice: random.Random) -> Plan:
        """Return any plan."""
        is_strict = dice.random() < 0.6
        is_ours = dice.random() < 0.6
        clients = dice.choice((1, 1, 2, 2, 3))
        logins = ["", "", "password", "anonymous"] + ["challenge"] * (not is_strict)
        return cls(
            is_strict=is_strict,
            dialects=("msgpack/1", "pb", "none") if is_ours else ("pb", "none"),
            turn_messages=dice.choice((1, 4, 64)),
            stream_items=dice.choice((256, 256, 6)),
            stream_window=dice.choice((262_144, 262_144, 20_000)),
            login="wrong" if dice.random() < 0.03 else dice.choice(logins),
            is_realm_slow=dice.random() < 0.2,
            profiles=[Profile.draw(dice) for _ in range(clients)],
            faults=[draw_fault(dice, is_ours) for _ in range(clients)],
            steps=dice.choice((3, 6, 10)),
            pause=dice.choice((0.0, 0.02, 0.3)),
            drain_at=dice.random() * dice.choice((0.2, 1.5)) if dice.random() < 0.2 else None,
            drain=dice.choice((30.0, 30.0, 0.5, 0.0)),
            server_ends=dice.random() < 0.4,
            turn_cost=dice.choice((0.0, 0.0001, 0.002)),
        )


def draw_fault(dice: random.Random, can_ping: bool) -> Fault | None:
    """Return any fault, or None; ``can_ping`` tells whether an end notices a mute peer."""
    if dice.random() < 0.55:
        return None
    kinds = ["cut", "cut", "half-close", "stall", "stall"]
    kinds += ["client closes", "server closes", "server aborts"]
    # Where nobody pings, nobody notices; TCP does in the end, which is not simulated.
    kinds += ["black hole"] * can_ping
    return Fault(
        dice.choice(kinds),
        dice.random() * dice.choice((0.05, 0.5, 2.0)),
        dice.randrange(2),
        dice.choice((0.05, 1.0, 8.0, 15.0)),
    )
