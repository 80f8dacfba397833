"""What one seed decides before a run of links: servers, how they end, links, and their networks."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from broker.core.policy import PUBLISHED, STRICT, Policy
from broker.testing.flow import Profile

__all__ = ["ADDRESSES", "LinkPlan", "Restart"]

ADDRESSES = ("pb://127.0.0.1:8787", "pb://127.0.0.1:8788")
"""Where servers are; they are called A and B."""


@dataclass(frozen=True)
class Restart:
    """The end of a server, and the start of another one at its address.

    Attributes:
        when: seconds after the run has begun.
        place: which address.
        kind: ``"kill"``: the process ends at once. ``"drain"``: it closes in good order.
            ``"outage"``: all its connections are cut, and nobody reaches it for a while; it goes on
            itself.
        down: seconds for which nothing listens there.
        drain, after: of a server that drains: how long it waits for running calls, and when its
            clients may come again.
    """

    when: float
    place: int
    kind: str
    down: float
    drain: float
    after: float


@dataclass(frozen=True)
class LinkPlan:
    """A run of links.

    Attributes:
        is_strict, dialects, turn_messages: the policy of both sides.
        login: how links log in: ``""`` for servers without a login, ``"password"`` or
            ``"anonymous"``.
        keeps: seconds for which servers keep replies; 0 for servers that keep none.
        addresses: how many addresses the links have.
        profiles: one for each link.
        harm: the chance that a connection has a fault of its own.
        restarts: what happens to the servers.
        first, most: the delays of the links between attempts.
        steps, pause: of each actor.
        server_ends: whether the servers end before the links are closed.
        turn_cost: seconds that a turn of the loop takes at most.
    """

    is_strict: bool
    dialects: tuple[str, ...]
    turn_messages: int
    login: str
    keeps: int
    addresses: int
    profiles: list[Profile] = field(default_factory=list)
    harm: float = 0.0
    restarts: list[Restart] = field(default_factory=list)
    first: float = 0.1
    most: float = 2.0
    steps: int = 8
    pause: float = 0.1
    server_ends: bool = False
    turn_cost: float = 0.0

    @property
    def policy(self) -> Policy:
        """The policy of both sides."""
        policy = STRICT if self.is_strict else PUBLISHED
        return policy.but(dialects=self.dialects, turn_messages=self.turn_messages)

    @property
    def drains(self) -> bool:
        """Whether a server drains in the middle of it all."""
        return any(each.kind == "drain" for each in self.restarts)

    @classmethod
    def draw(cls, dice: random.Random) -> LinkPlan:
        """Return any plan."""
        links, addresses = dice.choice((1, 1, 2)), dice.choice((1, 1, 2))
        is_ours = dice.random() < 0.7
        return cls(
            is_strict=dice.random() < 0.6,
            dialects=("msgpack/1", "pb", "none") if is_ours else ("pb", "none"),
            turn_messages=dice.choice((1, 4, 64)),
            login=dice.choice(("", "", "password", "anonymous")),
            keeps=dice.choice((120, 120, 120, 4, 0)),
            addresses=addresses,
            profiles=[Profile.draw(dice) for _ in range(links)],
            harm=dice.choice((0.0, 0.2, 0.6)),
            restarts=[_draw_restart(dice, addresses) for _ in range(dice.choice((0, 1, 2, 3, 4)))],
            first=dice.choice((0.05, 0.5)),
            most=dice.choice((0.5, 2.0)),
            steps=dice.choice((3, 6, 10)),
            pause=dice.choice((0.0, 0.05, 0.4)),
            server_ends=dice.random() < 0.4,
            turn_cost=dice.choice((0.0, 0.0001, 0.002)),
        )


def _draw_restart(dice: random.Random, addresses: int) -> Restart:
    return Restart(
        when=dice.random() * dice.choice((0.3, 1.5, 4.0)),
        place=dice.randrange(addresses),
        kind=dice.choice(("kill", "kill", "drain", "drain", "outage")),
        down=dice.choice((0.0, 0.0, 0.3, 3.0)),
        drain=dice.choice((30.0, 30.0, 0.3, 0.0)),
        after=dice.choice((0.0, 0.0, 1.0)),
    )
