"""A server of this library to be attacked: prints its ports, logs to a file.

Its arguments are the path of its log, the policy, and the names of the served objects, with commas
between.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

from zope.interface import implementer

import broker
import cred
from attacks.comparison.methods import Methods, State
from broker import pb
from broker.core.policy import PUBLISHED, STRICT, Policy
from cred.checkers import ICredentialsChecker
from cred.credentials import IUsernameHashedPassword
from cred.identity import Identity
from examples.chat.line_clients.connection import LineConnection, LinePort
from examples.chat.line_clients.irc import IRC
from examples.chat.line_clients.lines import PlainLines
from examples.chat.main import make_logins
from examples.chat.model import Town
from examples.chat.pace import USUAL_RATE, Rate
from jelly.limits import Limits

POLICIES = {"strict": STRICT, "published": PUBLISHED}
TOKEN_LIFE = 1.0
"""Seconds for which a login of the portal ``expiring`` is valid."""


class Root(Methods, broker.Root):
    """The attacked object."""

    def __init__(self) -> None:
        self.table: broker.Table[str, str] = broker.Table({})
        self.changing: asyncio.Future[None] | None = None

    async def remote_endless(self) -> AsyncIterator[bytes]:
        """Make pieces without end."""
        while True:
            yield bytes(65_536)

    async def remote_small(self) -> AsyncIterator[int]:
        """Make small items without end."""
        while True:
            yield 1

    async def remote_sleep(self, streams: Any) -> None:
        """Keep streams, and read none of them."""
        await asyncio.Event().wait()

    def remote_table(self) -> broker.Table[str, str]:
        """Return a table, which changes from then on."""
        if not self.table:
            self.table["begun"] = ""
            self.changing = asyncio.ensure_future(self.change())
        return self.table

    async def change(self) -> None:
        """Change the table 3,000 times, without a pause for its followers."""
        for number in range(3_000):
            self.table[f"k{number % 100}"] = "x" * 1000
            self.table[f"passing {number}"] = "x" * 1000
            del self.table[f"passing {number}"]
            await asyncio.sleep(0)


class Inside(broker.Manhole, broker.Root):
    """A manhole that everybody reaches, and nobody may use."""

    def remote_echo(self, value: Any) -> Any:
        """Return the value."""
        return value


class Thing(broker.Referenceable):
    """An object that an avatar returns."""

    def remote_echo(self, value: Any) -> Any:
        """Return the value."""
        return value


class Avatar(broker.Avatar):
    """The avatar of a login."""

    def perspective_who(self) -> str | None:
        """Return the caller."""
        return broker.current_call().peer.avatar_id

    def perspective_thing(self) -> Thing:
        """Return an object."""
        return Thing()


class Point(State, broker.Copyable, broker.RemoteCopy):
    """A copy of a peer."""

    x: int | bytes = 0


@implementer(ICredentialsChecker)
class Expiring:
    """Accepts alice, for a limited time."""

    credentialInterfaces = (IUsernameHashedPassword,)

    def requestAvatarId(self, credentials: Any) -> Identity:
        """Return the time of expiry."""
        return Identity("alice", expires=time.time() + TOKEN_LIFE)


def portal(*checkers: Any) -> cred.Portal:
    """A portal with these checkers."""
    return cred.Portal(broker.realm(lambda avatar_id, mind: Avatar()), list(checkers))


def known_users() -> Any:
    """Users with plaintext passwords."""
    return cred.InMemoryUsernamePasswordDatabaseDontUse(alice="secret", bob="hidden")


def tokens() -> Any:
    """A checker of tokens whose key is not known to any client."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from cred.tokens import TokenChecker

    raw = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    x = base64.urlsafe_b64encode(raw).decode("ascii").rstrip("=")
    key = {"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "kid": "one", "x": x}
    return TokenChecker({"keys": [key]}, issuer="us", audience="you")


def mixed() -> Any:
    """A store in which one user's password costs far less than the other's."""
    from cred.passwords import STANDARD, Profile, hash_password
    from cred.store_checker import StoreChecker
    from cred.stores.files import FileStore
    from cred.users import User

    store = FileStore("users.db", create=True)
    store.add(User("alice", hash_password("secret", Profile(64, 1, 1))))
    store.add(User("bob", hash_password("hidden", STANDARD)))
    return StoreChecker(store)


def served(name: str, policy: Policy) -> tuple[Any, Policy]:
    """The object and the policy of a name."""
    match name:
        case "root" | "ws":
            return Root(), policy
        case "manhole":
            return Inside({}), policy
        case "small":
            limits = Limits(max_string=1000, max_list=100, max_depth=10)
            return Root(), policy.but(limits=limits)
        case "hasty":
            return Root(), policy.but(ping_after=1.0, ping_timeout=1.0, max_backlog=65536)
        case "portal":
            return portal(known_users()), policy.but(challenge_login=True)
        case "expiring":
            return portal(Expiring()), policy.but(challenge_login=True)
        case "tokens":
            return portal(tokens()), policy
        case "mixed":
            return portal(mixed()), policy
    raise ValueError(name)


FRONT_ENDS: dict[str, tuple[type[LineConnection], Rate]] = {
    "irc": (IRC, USUAL_RATE),
    "quick": (IRC, Rate(100_000, 1.0)),
    "lines": (PlainLines, USUAL_RATE),
}
"""Front ends of one chat, and how often a guest may say something."""


def front_ends(names: list[str]) -> dict[str, LinePort]:
    """Open those of these names that are front ends of the chat."""
    town = Town()
    users = cred.InMemoryUsernamePasswordDatabaseDontUse(
        alice="secret", bob="hidden", carol="unseen"
    )
    logins = make_logins(town, users)
    ports = {}
    for name in names:
        kind, rate = FRONT_ENDS[name]

        def make(kind: type[LineConnection], rate: Rate) -> LineConnection:
            town.rate = rate
            return kind(town, logins, "irc")

        ports[name] = LinePort(partial(make, kind, rate), "127.0.0.1", 0)
    return ports


async def main(policy: Policy, names: list[str]) -> None:
    """Serve until the parent has ended."""
    broker.register(Point, "demo.Point")
    pb.setUnjellyableForClass("demo.Point", Point)
    lines = front_ends([name for name in names if name in FRONT_ENDS])
    ports = {name: line.port for name, line in lines.items()}
    async with AsyncExitStack() as stack:
        for name in names:
            if name in lines:
                continue
            target, chosen = served(name, policy)
            replies = broker.Replies()
            address = "ws://127.0.0.1:0/pb" if name == "ws" else "pb://127.0.0.1:0"
            server = broker.serve(target, address, policy=chosen, replies=replies)
            addresses = (await stack.enter_async_context(server)).addresses
            ports[name] = int(addresses[0].rpartition(":")[2].removesuffix("/pb"))
        print(json.dumps(ports), flush=True)
        await asyncio.Event().wait()


logging.basicConfig(filename=sys.argv[1], format="%(asctime)s %(message)s", level=logging.INFO)
asyncio.run(main(POLICIES[sys.argv[2]], sys.argv[3].split(",")))
