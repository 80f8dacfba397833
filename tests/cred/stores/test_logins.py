"""Logins at a server whose users are in a database that goes away and comes back."""

from __future__ import annotations

from typing import Any

from support.postgres import Postgres
from support.ways_in import BINDING, ITERATIONS, WaysIn

import cred
from broker.login.throttle import LoginThrottle
from broker.token_bucket import Rate
from cred.passwords import Profile, hash_password
from cred.scram import SCRAM_PLUS, ScramClient
from cred.scram_verifier import ScramVerifier
from cred.store_checker import StoreChecker
from cred.stores import open_store
from cred.users import User

AWAY = "the user store is not available; try again later"


def room_with(postgres: Postgres, *users: User) -> tuple[WaysIn, StoreChecker]:
    """Return a server with these users, which takes one wrong password, and its checker."""
    store = open_store(f"sql:{postgres.url}", create=True)
    for user in users:
        store.add(user)
    room = WaysIn(throttle=LoginThrottle(account=Rate(1, 17.0), clock=lambda: 5.0), connect=False)
    checker = StoreChecker(store)
    room.portal.registerChecker(checker)
    return room, checker


def begun(room: WaysIn) -> tuple[ScramClient, Any]:
    """Begin SCRAM; return the client's half and the answer."""
    client = ScramClient("alice", "secret", binding=BINDING, plus=True)
    return client, room.call("loginScram", SCRAM_PLUS, client.first())


def test_away_in_the_middle_of_scram(postgres: Postgres) -> None:
    """An exchange that the database leaves alone fails as unavailable; the next one succeeds."""
    verifier = str(ScramVerifier.of_password("secret", ITERATIONS))
    room, checker = room_with(postgres, User("alice", verifier, frozenset({"staff"})))
    client, (server_first, exchange) = begun(room)
    final = client.final(server_first)
    postgres.stop()
    failure = room.get(exchange.callRemote("finish", final, None))
    assert failure.check(cred.error.LoginUnavailable)
    assert failure.getErrorMessage() == AWAY
    assert begun(room)[1].getErrorMessage() == AWAY
    assert room.avatars == []
    postgres.start()
    room.log_in(cred.Scram("alice", "secret"))
    assert [avatar.name.groups for avatar in room.avatars] == [{"staff"}]
    checker.close()


def test_away_while_passwords_are_checked(postgres: Postgres) -> None:
    """A password that cannot be checked is neither right nor wrong, and counts for nobody."""
    room, checker = room_with(postgres, User("alice", hash_password("secret", Profile(64, 1, 1))))
    room.take_away(cred.interfaces.IScramProof)
    postgres.stop()
    for _ in range(3):
        assert room.log_in(cred.UsernamePassword("alice", "guess")).getErrorMessage() == AWAY
    postgres.start()
    room.log_in(cred.UsernamePassword("alice", "secret"))
    assert [str(avatar.name) for avatar in room.avatars] == ["alice"]
    wrong = room.log_in(cred.UsernamePassword("alice", "guess"))
    assert wrong.getErrorMessage() == "wrong user name or password"
    checker.close()
